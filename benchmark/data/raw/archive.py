"""Files from a .tar.gz archive, in sequence, without unpacking it to disk and without following links."""

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmark.core.errors import UserError

LIMIT = 512 * 2**20  # bytes of an unpacked archive; CIFAR's have 186 MB


class _LimitedStream:
    """A gzip stream that raises UserError when it exceeds the size of any official archive."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self.path, self.stream, self.remaining = path, stream, LIMIT

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.remaining -= len(block)
        if self.remaining < 0:
            raise UserError(f"{self.path}: unpacks to more than {LIMIT:,} bytes; get the original archive")
        return block


def read_members(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each of the named plain files, in the archive's order.

    Raises UserError, naming archive and file, if the archive is damaged, or a file is missing, a link or duplicated.
    """
    missing = set(names)
    try:
        with gzip.open(path, "rb") as stream:
            limited = _LimitedStream(path, stream)
            with tarfile.open(fileobj=limited, mode="r|", errorlevel=2) as archive:  # type: ignore[call-overload]
                for member in archive:
                    if member.name in names:
                        yield member.name, _content(path, archive, member, missing)
            while limited.read(2**20):  # to the end, where gzip compares its own checksum
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a .tar.gz archive: {error}; get the archive again") from None
    if missing:
        raise UserError(f"{path}: lacks {', '.join(sorted(missing))}; get the original archive")


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, missing: set[str]) -> bytes:
    problem = None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        problem = "is not a plain file, and links are not followed"
    elif member.name not in missing:
        problem = "occurs twice"
    source = None if problem else archive.extractfile(member)
    if source is None:
        raise UserError(f"{path}: {member.name}: {problem or 'cannot be read'}; get the original archive")
    missing.remove(member.name)
    content = source.read()
    if len(content) != member.size:
        raise UserError(
            f"{path}: {member.name}: ends after {len(content)} of {member.size} bytes; get the archive again"
        )
    return content
