"""A file from the web: goes on where it was cut off, is checked, and takes its name only when it is right."""

import http.client
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum

BLOCK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
TOO_FAR = 416  # the answer to a request for bytes after the end

ProgressCallback = Callable[[str, int, int | None], None]  # file name, bytes here, bytes in all


@dataclass(frozen=True)
class Download:
    """A published file, its checksum, and the places that offer it, tried in turn."""

    name: str
    checksum: str
    urls: tuple[str, ...]
    algorithm: Literal["md5", "sha256"] = "md5"


class _BrokenError(Exception):
    """One place did not give the file. The text says why."""


def download(wanted: Download, folder: Path, heard: ProgressCallback | None = None) -> Path:
    """Get the file into `folder`, unless it is there. What a broken connection leaves is kept and used.

    Raises UserError when no place gives the right file, or another file of this name is there.
    """
    target = folder / wanted.name
    if target.exists():
        if file_checksum(target, wanted.algorithm) != wanted.checksum:
            kind = wanted.algorithm.upper()
            raise UserError(f"{target}: is not the published file (its {kind} is not {wanted.checksum}); move it away")
        return target
    problems = []
    for url in wanted.urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{wanted.name}.part"
            _get(url, part, heard)
            _check(part, wanted)
            part.replace(target)
            return target
        except (_BrokenError, OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            problems.append(f"  {url}: {error}")
    raise UserError(f"{wanted.name}: cannot be downloaded:\n" + "\n".join(problems))


def _check(part: Path, wanted: Download) -> None:
    found = file_checksum(part, wanted.algorithm)
    if found != wanted.checksum:
        part.unlink()
        kind = wanted.algorithm.upper()
        raise _BrokenError(f"its {kind} is {found}, expected {wanted.checksum}; what came was removed")


def _get(url: str, part: Path, heard: ProgressCallback | None) -> None:
    """Append to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if have and error.code == TOO_FAR:  # all of it is here, or more: the checksum tells
            return
        raise _BrokenError(f"the server says {error.code} {error.reason}") from None
    with answer:
        start, total = _place(answer, have)
        with part.open("ab" if start else "wb") as file:
            done = start
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                if heard:
                    heard(part.stem, done, total)
    if total is not None and done < total:
        raise _BrokenError(
            f"the connection ended after {done:,} of {total:,} bytes; the same command goes on from there"
        )


def _place(answer: Any, have: int) -> tuple[int, int | None]:
    """From which byte on the answer is, and how many the whole file has. A server may ignore what was asked for."""
    if answer.status == http.client.PARTIAL_CONTENT:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not given or int(given[1]) != have:
            raise _BrokenError("the server sends another part than was asked for")
        return have, int(given[2])
    length = None
    with suppress(TypeError, ValueError):
        length = int(answer.headers.get("Content-Length"))
    return 0, length
