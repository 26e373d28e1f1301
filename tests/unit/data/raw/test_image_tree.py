"""Folders and zip archives of image files: their names, order, contents and checksums."""

import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.raw import image_tree
from benchmark.data.raw.examples import write_files
from benchmark.data.raw.file_states import display_path
from benchmark.data.raw.image_tree import (
    CHUNK,
    FILE_LIMIT,
    DirectoryTree,
    ZipTree,
    checksum_entry,
    image_streams,
    sort_key,
)


def put(folder, *names):
    write_files(folder, {name: os.fsencode(name) for name in names})


def zipped(path, names, root="top"):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{root}/{name}", name.encode())
    return ZipTree(path, root)


NAMES = [
    "b/2.jpg",
    "a/x/9.PNG",
    "a/10.jpg",
    "a/9.Jpeg",
    "a b/1.webp",
    "B/1.tiff",
    "z.bmp",
    "ä/ö.png",
    "new\nline/1.jpg",
]
IN_ORDER = ["z.bmp", "B/1.tiff", "a/10.jpg", "a/9.Jpeg", "a/x/9.PNG", "a b/1.webp", "b/2.jpg", "new\nline/1.jpg"]
OTHERS = [
    "@eaDir/9.jpg/SYNOPHOTO_THUMB_M.jpg",
    "a/__macosx/9.jpg",
    "notes.txt",
    ".hidden.png",
    ".git/1.png",
    "a/.x/1.png",
    "__MACOSX/a/._9.jpg",
    "a/jpg",
    "a/1.jpg.part",
]


def test_folder_and_archive_give_images_in_the_same_order(tmp_path):
    put(tmp_path / "tree", *NAMES, *OTHERS)
    folder, archive = DirectoryTree(tmp_path / "tree"), zipped(tmp_path / "x.zip", NAMES + OTHERS)
    assert folder.names() == archive.names() == [*IN_ORDER, "ä/ö.png"]
    for name in NAMES:
        assert folder.read(name) == archive.read(name) == name.encode()


def test_what_is_left_out_of_a_folder_is_reported_by_kind(tmp_path):
    put(tmp_path, *NAMES, *OTHERS, "a/1.avif", "b/2.HEIC", "b/3.heic", "README")
    (tmp_path / "a/link.jpg").symlink_to(tmp_path / "b/2.jpg")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert DirectoryTree(tmp_path).left_out() == {
        "files that end in .avif": ["a/1.avif"],
        "files that end in .heic": ["b/2.HEIC", "b/3.heic"],
        "files that end in .part": ["a/1.jpg.part"],
        "files that end in .txt": ["notes.txt"],
        "files without an ending": ["README", "a/jpg"],
        "folders of other programs": ["@eaDir", "__MACOSX", "a/__macosx"],
        "hidden files and folders": [".git", ".hidden.png", "a/.x"],
        "links, which are not followed": ["a/link.jpg", "c"],
    }


def test_links_are_not_followed_and_the_root_may_be_one(tmp_path):
    put(tmp_path / "outside", "1.jpg")
    put(tmp_path / "tree", "2.jpg", "a/3.jpg")
    (tmp_path / "tree/out").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree/one.jpg").symlink_to(tmp_path / "outside/1.jpg")
    (tmp_path / "tree/broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    assert DirectoryTree(tmp_path / "link").names() == ["2.jpg", "a/3.jpg"]


def test_an_archive_gives_only_plain_files_below_its_folder(tmp_path):
    link = zipfile.ZipInfo("top/link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("top/1.jpg", "top/../2.jpg", "../top/3.jpg", "/top/4.jpg", "5.jpg", "topmost/6.jpg"):
            archive.writestr(name, b"")
        archive.mkdir("top/7.jpg")
        archive.writestr(link, "/etc/passwd")
    assert ZipTree(tmp_path / "x.zip", "top").names() == ["1.jpg"]


parts = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda part: not part.startswith(".")
)
names = st.lists(parts, min_size=1, max_size=3).map(lambda path: "/".join(path) + ".png")


@given(listed=st.lists(names, min_size=1, max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_unusual_names_survive(tmp_path_factory, listed):
    folder = tmp_path_factory.mktemp("odd")
    put(folder, *listed)
    tree = DirectoryTree(folder)
    assert tree.names() == sorted(listed, key=sort_key)
    assert all(tree.read(name) == os.fsencode(name) for name in listed)
    assert all(tree.location(name).isprintable() for name in listed)


def test_a_name_that_is_not_unicode_is_displayed_with_escapes(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    put(tmp_path, name)
    tree = DirectoryTree(tmp_path)
    assert tree.names() == [name]
    tree.location(name).encode()
    assert "caf" in tree.location(name)


def test_only_unprintable_paths_are_escaped():
    assert display_path("/a b/ä.jpg") == "/a b/ä.jpg"
    assert display_path("a\nb") == r"'a\nb'"


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read"):
        DirectoryTree(tmp_path).read("gone.jpg")
    with pytest.raises(UserError, match=r"nowhere: cannot be read"):
        DirectoryTree(tmp_path / "nowhere").names()
    with pytest.raises(UserError, match=r"x\.zip: top/gone\.jpg: is not in the archive"):
        zipped(tmp_path / "x.zip", NAMES).read("gone.jpg")
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"bad\.zip: cannot be read as a zip archive"):
        ZipTree(tmp_path / "bad.zip", "top")


def test_a_damaged_member_is_named(tmp_path):
    zipped(tmp_path / "x.zip", ["1.jpg"])
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"1.jpg1.jpg", b"1.jpg2.jpg"))
    with pytest.raises(UserError, match=r"x\.zip: top/1\.jpg: cannot be read: Bad CRC"):
        ZipTree(tmp_path / "x.zip", "top").read("1.jpg")


# --- streams -------------------------------------------------------------------------------------------


def coloured_squares(folder, n):
    folder.mkdir()
    for number in range(n):
        colour = np.full((4, 4, 3), number % 256, np.uint8)
        Image.fromarray(colour).save(folder / f"{number:04}.png")
    return DirectoryTree(folder)


def unchanged(image, where):
    return image


def test_a_stream_comes_in_chunks_and_ends_with_one_checksum(tmp_path):
    tree, n = coloured_squares(tmp_path / "tree", CHUNK + 5), CHUNK + 5
    checksums = {}
    items = [(name, k) for k, name in enumerate(tree.names())]
    (stream,) = image_streams({"tree": (tree, items)}, unchanged, size=4, checksums=checksums)
    chunks = list(stream.chunks)
    assert (stream.length, stream.shape) == (n, (3, 4, 4))
    assert [len(labels) for _, labels in chunks] == [CHUNK, 5]
    assert np.array_equal(np.concatenate([images for images, _ in chunks])[:, 0, 0, 0], np.arange(n) % 256)
    assert np.array_equal(np.concatenate([labels for _, labels in chunks]), np.arange(n))
    assert list(checksums) == [f"tree ({n} files)"]


def test_all_images_that_cannot_be_used_are_named_at_once(tmp_path):
    trees = [coloured_squares(tmp_path / name, 3) for name in ("train", "test")]
    for name in ("train/0000.png", "train/0002.png", "test/0001.png"):
        (tmp_path / name).write_bytes(b"no image")
    train, test = image_streams(
        {tree.root.name: (tree, [(name, 0) for name in tree.names()]) for tree in trees},
        unchanged,
        size=4,
        checksums={},
    )
    with pytest.raises(UserError, match="3 images cannot be used") as raised:
        list(train.chunks)
    assert [line.split("/")[-2:] for line in str(raised.value).splitlines()[1:]] == [
        [split, f"{number}.png: cannot be read as an image: it is not an image of a known format; replace or remove it"]
        for split, number in (("train", "0000"), ("train", "0002"), ("test", "0001"))
    ]
    assert test.length == 3


def test_of_very_many_unusable_images_the_first_are_named_and_reading_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(image_tree, "MOST_PROBLEMS", 30)
    put(tmp_path / "tree", *(f"{number:03}.png" for number in range(50)))
    tree = DirectoryTree(tmp_path / "tree")
    (stream,) = image_streams({"x": (tree, [(name, 0) for name in tree.names()])}, unchanged, size=4, checksums={})
    with pytest.raises(UserError, match="at least 30 images cannot be used") as raised:
        list(stream.chunks)
    assert "and 10 more" in str(raised.value)
    assert "019.png" in str(raised.value)
    assert "020.png" not in str(raised.value)


def test_a_file_too_large_for_an_image_is_not_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(FILE_LIMIT + 1)  # a hole
    with pytest.raises(UserError, match=r"huge.png: has 512 MiB, too many for an image"):
        DirectoryTree(tmp_path).read("huge.png")


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(image_tree, "FILE_LIMIT", 10**6)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("root/bomb.png", bytes(10**7))
        archive.writestr("root/fine.png", bytes(10**6))
    tree = ZipTree(tmp_path / "a.zip", "root")
    with pytest.raises(UserError, match=r"a.zip: root/bomb.png: has 10 MiB"):
        tree.read("bomb.png")
    assert len(tree.read("fine.png")) == 10**6


def checksum(tree):
    checksums = {}
    items = [(name, 0) for name in tree.names()]
    (stream,) = image_streams({"x": (tree, items)}, unchanged, size=4, checksums=checksums)
    list(stream.chunks)
    return next(iter(checksums.values()))


def test_the_checksum_depends_on_names_and_contents_only(tmp_path):
    first, copy = checksum(coloured_squares(tmp_path / "a", 3)), coloured_squares(tmp_path / "b", 3)
    os.utime(tmp_path / "b/0000.png", (1, 1))
    (tmp_path / "b/notes.txt").touch()
    assert checksum(copy) == first
    (tmp_path / "b/0002.png").rename(tmp_path / "b/0003.png")
    assert checksum(copy) != first
    (tmp_path / "b/0003.png").rename(tmp_path / "b/0002.png")
    assert checksum(copy) == first
    (tmp_path / "b/0002.png").write_bytes((tmp_path / "b/0001.png").read_bytes())
    assert checksum(copy) != first


def test_an_entry_of_the_checksum_separates_name_and_content():
    assert checksum_entry("a", b"bc") != checksum_entry("ab", b"c")
    assert checksum_entry("a", b"b")[:4] == b"a\x001\0"
