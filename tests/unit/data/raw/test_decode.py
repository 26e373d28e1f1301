"""Image files of every mode, trees of files, and their order."""

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torchvision.transforms import v2

from benchmark.core.errors import UserError
from benchmark.data.raw import image_tree
from benchmark.data.raw.decode import centre_crop, decode, fill, pixels, resize
from benchmark.data.raw.image_tree import (
    CHUNK,
    FILE_LIMIT,
    DirectoryTree,
    ZipTree,
    display_path,
    entry,
    image_stream,
    order,
)

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
ALPHA = RGB[:, :, 1]


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decoded(content):
    """(H, W, 3)."""
    picture = decode(content, "x.png")
    assert picture.mode == "RGB"
    return pixels(picture).transpose(1, 2, 0)


def grey_as_rgb(grey):
    return np.repeat(grey[:, :, None], 3, 2)


def palette(**options):
    return saved(Image.fromarray(RGB).quantize(200), **options)


# --- modes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_rgb_comes_as_it_is_in_every_lossless_format(kind):
    assert np.array_equal(decoded(saved(Image.fromarray(RGB), kind)), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_as_pillow_reads_them(kind):
    content = saved(Image.fromarray(RGB), kind)
    assert np.array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_pixels_are_channels_first():
    found = pixels(Image.fromarray(RGB))
    assert found.shape == (3, 20, 30)
    assert np.array_equal(found[2], RGB[:, :, 2])


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF"])
def test_grey_is_the_same_in_all_channels(kind):
    assert np.array_equal(decoded(saved(Image.fromarray(GREY), kind)), grey_as_rgb(GREY))


def test_black_and_white_is_0_and_255():
    content = saved(Image.fromarray(GREY > 127))
    assert np.array_equal(decoded(content), grey_as_rgb((GREY > 127) * np.uint8(255)))


def test_transparency_is_dropped_and_colours_below_it_kept():
    assert np.array_equal(decoded(saved(Image.fromarray(np.dstack([RGB, ALPHA])))), RGB)
    assert np.array_equal(decoded(saved(Image.fromarray(np.dstack([GREY, ALPHA])))), grey_as_rgb(GREY))


@pytest.mark.parametrize("transparent", [{}, {"transparency": 3}, {"transparency": bytes(range(0, 200))}])
def test_palettes_become_their_colours_transparent_or_not(transparent, recwarn):
    assert np.array_equal(decoded(palette(**transparent)), decoded(palette()))
    assert np.array_equal(decoded(palette()), np.asarray(Image.fromarray(RGB).quantize(200).convert("RGB")))
    assert not recwarn


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_by_its_high_byte_and_not_clipped(kind):
    wide = GREY.astype(np.uint16) * 256 + ALPHA
    content = saved(Image.fromarray(wide), kind)
    assert np.array_equal(decoded(content), grey_as_rgb(GREY))


def test_32_bit_grey_in_16_bits_is_read_and_more_is_refused():
    wide = GREY.astype(np.int32) * 256
    assert np.array_equal(decoded(saved(Image.fromarray(wide), "TIFF")), grey_as_rgb(GREY))
    with pytest.raises(UserError, match="more than 16 bits"):
        decode(saved(Image.fromarray(wide * 256), "TIFF"), "x.tif")


def test_floating_point_is_refused():
    with pytest.raises(UserError, match=r"x\.tif: .*floating-point"):
        decode(saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "x.tif")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read_as_pillow_converts_it(kind):
    content = saved(Image.fromarray(RGB).convert("CMYK"), kind)
    assert np.array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_orientation_tags_are_left_alone():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    plain, turned = (saved(Image.fromarray(RGB), "JPEG", **options) for options in ({}, {"exif": exif}))
    assert np.array_equal(decoded(plain), decoded(turned))


def test_the_content_counts_and_not_the_ending():
    assert np.array_equal(decode(saved(Image.fromarray(RGB), "BMP"), "x.jpg"), RGB)


# --- damaged files -------------------------------------------------------------------------------------


def refused(content):
    with pytest.raises(UserError) as raised:
        decode(content, "some/cat.png")
    assert str(raised.value).startswith("some/cat.png: cannot be read as an image: ")
    assert "replace or remove it" in str(raised.value)
    assert "BytesIO" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG"]
)
def test_what_is_no_image_is_refused(content):
    refused(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused(kind, share):
    content = saved(Image.fromarray(RGB), kind)
    refused(content[: int(share * len(content))])


@given(place=st.integers(0, 2000), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_gives_a_picture_or_a_message(place, value):
    content = bytearray(saved(Image.fromarray(RGB)))
    content[place % len(content)] = value
    try:
        picture = decode(bytes(content), "x.png")
    except UserError:
        return
    assert picture.mode == "RGB"


def test_what_pillow_takes_for_a_bomb_on_the_way_is_refused(monkeypatch):
    """A frame larger than the header says, for one."""

    def load(picture):
        raise Image.DecompressionBombError("a large frame")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(UserError, match=r"cat.png: has more than 89,478,485 pixels"):
        decode(saved(Image.fromarray(RGB)), "cat.png")


# --- sizes ---------------------------------------------------------------------------------------------


def test_the_crop_is_the_middle():
    picture = Image.fromarray(RGB)
    assert np.array_equal(centre_crop(picture, 10, "x"), RGB[5:15, 10:20])
    assert np.array_equal(centre_crop(picture, 20, "x"), RGB[:, 5:25])
    with pytest.raises(UserError, match="x: is 30x20, at least 21x21 is needed"):
        centre_crop(picture, 21, "x")


@given(width=st.integers(1, 150), height=st.integers(1, 150), size=st.sampled_from([8, 32, 64]))
@settings(max_examples=80, deadline=None)
def test_filling_is_torchvisions_resize_and_centre_crop(width, height, size):
    rng = np.random.default_rng(width)
    picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    theirs = v2.CenterCrop(size)(v2.Resize(size)(picture))
    found = fill(picture, size, "x")
    assert found.size == (size, size)
    assert np.array_equal(found, theirs)


def test_resizing_down_averages():
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    small = np.asarray(resize(Image.fromarray(grey_as_rgb(board.astype(np.uint8))), 8))
    assert abs(small.astype(int) - 127).max() <= 2, "a pixel in between two would be black or white"


# --- trees ---------------------------------------------------------------------------------------------


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))


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
OTHERS = ["notes.txt", ".hidden.png", ".git/1.png", "a/.x/1.png", "__MACOSX/a/._9.jpg", "a/jpg", "a/1.jpg.part"]


def test_folder_and_archive_give_images_in_the_same_order(tmp_path):
    put(tmp_path / "tree", *NAMES, *OTHERS)
    folder, archive = DirectoryTree(tmp_path / "tree"), zipped(tmp_path / "x.zip", NAMES + OTHERS)
    assert folder.names() == archive.names() == [*IN_ORDER, "ä/ö.png"]
    for name in NAMES:
        assert folder.read(name) == archive.read(name) == name.encode()


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
names = st.lists(parts, min_size=1, max_size=3).map(lambda some: "/".join(some) + ".png")


@given(found=st.lists(names, min_size=1, max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_odd_names_survive(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("odd")
    put(folder, *found)
    tree = DirectoryTree(folder)
    assert tree.names() == sorted(found, key=order)
    assert all(tree.read(name) == os.fsencode(name) for name in found)
    assert all(tree.where(name).isprintable() for name in found)


def test_a_name_that_is_no_unicode_is_read_and_shown_with_escapes(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    put(tmp_path, name)
    tree = DirectoryTree(tmp_path)
    assert tree.names() == [name]
    tree.where(name).encode()
    assert "caf" in tree.where(name)


def test_what_can_be_shown_is_shown_as_it_is():
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


def many(folder, n):
    folder.mkdir()
    for number in range(n):
        colour = np.full((4, 4, 3), number % 256, np.uint8)
        (folder / f"{number:04}.png").write_bytes(saved(Image.fromarray(colour)))
    return DirectoryTree(folder)


def whole(picture, where):
    return picture


def test_a_stream_comes_in_chunks_and_ends_with_one_checksum(tmp_path):
    tree, n = many(tmp_path / "tree", CHUNK + 5), CHUNK + 5
    checksums = {}
    stream = image_stream(tree, [(name, k) for k, name in enumerate(tree.names())], whole, 4, "tree", checksums)
    chunks = list(stream.chunks)
    assert (stream.length, stream.shape) == (n, (3, 4, 4))
    assert [len(labels) for _, labels in chunks] == [CHUNK, 5]
    assert np.array_equal(np.concatenate([images for images, _ in chunks])[:, 0, 0, 0], np.arange(n) % 256)
    assert np.array_equal(np.concatenate([labels for _, labels in chunks]), np.arange(n))
    assert list(checksums) == [f"tree ({n} files)"]


def header_of(width, height):
    """A PNG that says how large it is and has no pixels: opening one reads no more."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    shape = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", shape) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(30_000, 30_000), (9_460, 9_460), (1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_picture_with_too_many_pixels_is_refused_before_one_is_decoded(monkeypatch, shape):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match=r"here/bomb.png: has more than 89,478,485 pixels; make it smaller, or remove"):
        decode(header_of(*shape), "here/bomb.png")


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (4, 80_000_000 // 4)])
@pytest.mark.parametrize("size", [32, 64])
def test_a_picture_too_thin_to_be_resized_is_refused(monkeypatch, shape, size):
    class Thin:
        """Stands in for a picture of which no copy may be made."""

        def __init__(self):
            self.size = shape

    with pytest.raises(UserError, match=rf"thin.png: is {shape[0]}x{shape[1]}, too thin to be made {size}x{size}"):
        fill(Thin(), size, "thin.png")


@pytest.mark.parametrize("shape", [(1, 4_000), (4_000, 1), (5, 7_000)])
def test_a_thin_picture_is_made_what_torchvision_makes_of_it(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), dtype=np.uint8)
    found = fill(Image.fromarray(pixels), 32, "thin.png")
    expected = v2.Compose([v2.Resize(32), v2.CenterCrop(32)])(Image.fromarray(pixels))
    assert np.array_equal(found, expected)


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
    list(image_stream(tree, [(name, 0) for name in tree.names()], whole, 4, "x", checksums).chunks)
    return next(iter(checksums.values()))


def test_the_checksum_tells_names_and_contents_and_nothing_else(tmp_path):
    first, copy = checksum(many(tmp_path / "a", 3)), many(tmp_path / "b", 3)
    os.utime(tmp_path / "b/0000.png", (1, 1))
    (tmp_path / "b/notes.txt").touch()
    assert checksum(copy) == first
    (tmp_path / "b/0002.png").rename(tmp_path / "b/0003.png")
    assert checksum(copy) != first
    (tmp_path / "b/0003.png").rename(tmp_path / "b/0002.png")
    assert checksum(copy) == first
    (tmp_path / "b/0002.png").write_bytes((tmp_path / "b/0001.png").read_bytes())
    assert checksum(copy) != first


def test_an_entry_of_the_checksum_says_where_the_name_ends():
    assert entry("a", b"bc") != entry("ab", b"c")
    assert entry("a", b"b")[:4] == b"a\x001\0"
