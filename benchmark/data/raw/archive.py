"""Files out of a .tar.gz, one after the other, without unpacking it to disk and without following links."""

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmark.core.errors import UserError

LIMIT = 512 * 2**20  # bytes of the unpacked archive; CIFAR's have 186 MB


class _Counted:
    """A gzip stream that refuses to become larger than any official archive."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self.path, self.stream, self.left = path, stream, LIMIT

    def read(self, size: int) -> bytes:
        found = self.stream.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise UserError(f"{self.path}: unpacks to more than {LIMIT:,} bytes; get the original archive")
        return found


def members(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each of these plain files, in the archive's order.

    Raises UserError naming archive and file when the archive is damaged, or a file is missing, a link or there twice.
    """
    lacking = set(names)
    try:
        with gzip.open(path, "rb") as stream:
            counted = _Counted(path, stream)
            with tarfile.open(fileobj=counted, mode="r|", errorlevel=2) as archive:  # type: ignore[call-overload]
                for member in archive:
                    if member.name in names:
                        yield member.name, _content(path, archive, member, lacking)
            while counted.read(2**20):  # to the end, where gzip has its own checksum
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise UserError(f"{path}: is no readable .tar.gz: {error}; get the archive again") from None
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(sorted(lacking))}; get the original archive")


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, lacking: set[str]) -> bytes:
    problem = None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        problem = "is a link, or something else than a plain file, and is not followed"
    elif member.name not in lacking:
        problem = "is there twice"
    source = None if problem else archive.extractfile(member)
    if source is None:
        raise UserError(f"{path}: {member.name}: {problem or 'cannot be read'}; get the original archive")
    lacking.remove(member.name)
    content = source.read()
    if len(content) != member.size:
        raise UserError(
            f"{path}: {member.name}: ends after {len(content)} of {member.size} bytes; get the archive again"
        )
    return content
