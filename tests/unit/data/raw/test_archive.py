"""Reading members of .tar.gz archives: damaged, hostile and complete ones."""

import gzip
import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.data.raw import archive
from benchmark.data.raw.examples import tar_of

CONTENTS = {"a/one": b"1" * 700, "a/two": b"2" * 30}


def packed(*members):
    """An archive of members, each a name, a type, and a content or a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def read(path, content):
    path.write_bytes(content)
    return dict(archive.read_members(path, CONTENTS))


def assert_refused(path, content, *words):
    with pytest.raises(UserError) as raised:
        read(path, content)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "; get the " in message
    for word in words:
        assert word in message


def test_only_the_named_members_are_read(tmp_path):
    assert read(tmp_path / "x.tar.gz", tar_of(CONTENTS | {"a/three": b"3", "../../etc": b"4"})) == CONTENTS
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_not_followed(kind, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    for target in ("one", "a/one", str(tmp_path / "secret"), "../secret"):
        content = packed(("a/one", tarfile.REGTYPE, b"1"), ("a/two", kind, target))
        assert_refused(tmp_path / "x.tar.gz", content, "a/two: is not a plain file, and links are not followed")


def test_folders_devices_duplicates_and_missing_members_are_refused(tmp_path):
    path = tmp_path / "x.tar.gz"
    one = ("a/one", tarfile.REGTYPE, b"1")
    for kind in (tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        assert_refused(path, packed(one, ("a/two", kind, b"")), "a/two: is not a plain file")
    assert_refused(path, packed(one, one), "a/one: occurs twice")
    assert_refused(path, packed(one), "lacks a/two")
    assert_refused(path, packed(), "lacks a/one, a/two")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LIMIT", 100_000)
    assert_refused(tmp_path / "x.tar.gz", tar_of({"zeros": bytes(10**6)} | CONTENTS), "more than 100,000 bytes")
    assert_refused(tmp_path / "x.tar.gz", tar_of(CONTENTS) + gzip.compress(bytes(10**6)), "more than 100,000 bytes")


def test_every_truncation_of_an_archive_is_refused(tmp_path):
    content = tar_of(CONTENTS)
    for end in range(len(content)):
        assert_refused(tmp_path / "x.tar.gz", content[:end])


def test_a_web_page_is_not_an_archive(tmp_path):
    assert_refused(tmp_path / "x.tar.gz", b"<html>Not found</html>", "cannot be read as a .tar.gz archive")


@given(
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 2), st.binary(max_size=20)), max_size=4),
    compressed=st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_archive_is_read_or_refused(tmp_path, changes, compressed):
    content = bytearray(tar_of(CONTENTS) if compressed else gzip.decompress(tar_of(CONTENTS)))
    for start, removed, added in changes:
        content[start : start + removed] = added
    with suppress(UserError):
        assert (
            read(tmp_path / "x.tar.gz", content if compressed else gzip.compress(content, 1)).keys() == CONTENTS.keys()
        )


def test_an_archive_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        dict(archive.read_members(tmp_path, CONTENTS))
