"""Download of a published file: resumed after an interruption, checked, and renamed only when it is complete."""

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

BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # seconds without a byte

ProgressCallback = Callable[[str, int, int | None], None]  # item, units done, units in total (None if unknown)


@dataclass(frozen=True)
class Download:
    """A published file, its checksum, and its addresses, tried in turn."""

    name: str
    checksum: str
    urls: tuple[str, ...]
    algorithm: Literal["md5", "sha256"] = "md5"


class _AddressFailedError(Exception):
    """One address did not deliver the file; the message says why."""


def download(file: Download, folder: Path, progress: ProgressCallback | None = None) -> Path:
    """Download a file into `folder` unless it is there; returns its path.

    A partial download is kept and resumed. Raises UserError if no address delivers the published file, or if another
    file of this name exists.
    """
    target = folder / file.name
    kind = file.algorithm.upper()
    if target.exists():
        if file_checksum(target, file.algorithm) != file.checksum:
            raise UserError(f"{target}: is not the published file (its {kind} is not {file.checksum}); move it away")
        return target
    problems = []
    for url in file.urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{file.name}.part"
            _resume(url, part, progress)
            checksum = file_checksum(part, file.algorithm)
            if checksum != file.checksum:
                part.unlink()
                raise _AddressFailedError(f"its {kind} is {checksum}, expected {file.checksum}; it was removed")
            part.replace(target)
            return target
        except (_AddressFailedError, OSError, http.client.HTTPException) as error:  # includes URLError and timeouts
            problems.append(f"  {url}: {error}")
    raise UserError(f"{file.name}: cannot be downloaded:\n" + "\n".join(problems))


def _resume(url: str, part: Path, progress: ProgressCallback | None) -> None:
    """Append the missing bytes to `part`."""
    present = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if present and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part is complete, or too long: its checksum decides
        raise _AddressFailedError(f"the server answers {error.code} {error.reason}") from None
    with response:
        start, total = _range_of(response, present)
        with part.open("ab" if start else "wb") as file:
            done = start
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                if progress:
                    progress(part.stem, done, total)
    if total is not None and done < total:
        raise _AddressFailedError(
            f"the connection ended after {done:,} of {total:,} bytes; run the command again to resume"
        )


def _range_of(response: Any, present: int) -> tuple[int, int | None]:
    """The first byte of the response and the size of the file. A server may ignore the requested range."""
    if response.status == http.client.PARTIAL_CONTENT:
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not content_range or int(content_range[1]) != present:
            raise _AddressFailedError("the server sends another range than requested")
        return present, int(content_range[2])
    with suppress(TypeError, ValueError):
        return 0, int(response.headers.get("Content-Length"))
    return 0, None
