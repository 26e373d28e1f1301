"""Tiny-ImageNet: 64x64 photographs of 200 classes, 500 of each; the official validation images are held out.

The checksum is that of the archive from Stanford's course CS231n, as other readers of it list it. For the unpacked
folder none is published; the SHA-256 in the manifest is the same whether the images come from the folder or from the
archive.
"""

from pathlib import Path

from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_md5, find_in
from benchmark.data.raw.image_tree import DirectoryTree, FileTree, ZipTree, first_folder, image_stream

ROOT = "tiny-imagenet-200"
ARCHIVE = "tiny-imagenet-200.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
FOLDERS = (".", "tiny_imagenet", "tiny-imagenet", "TinyImageNet")
PARTS = ("wnids.txt", "train", "val/images", "val/val_annotations.txt")
LENGTHS = {"train": 100_000, "val": 10_000}
CLASSES = 200
SIZE = 64


class TinyImageNet(Dataset):
    """(3, 64, 64) images of 200 classes, in the order of wnids.txt."""

    name = "tiny_imagenet"
    about = "Tiny-ImageNet's 100,000 photographs of 200 classes; the validation images are held out"
    licence = "non-commercial research only (ImageNet)"
    source = "tiny-imagenet-200.zip, or unpacked"
    shape = (3, SIZE, SIZE)
    num_labels = CLASSES

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """What is not under `data_dir`, and where to put the archive."""
        folder, archive = find_in(data_dir, FOLDERS, ROOT), find_in(data_dir, FOLDERS, ARCHIVE)
        lacking = [part for part in PARTS if folder is None or not (folder / part).exists()]
        if archive is not None or not lacking:
            return None
        return (
            "dataset tiny_imagenet: "
            + (f"{folder} lacks {', '.join(lacking)}." if folder else f"{ARCHIVE} not found under {data_dir}.")
            + f"\nGet the archive (248 MB, md5 {ARCHIVE_MD5}) with\n  curl -LO {URL}\n"
            "and pass the folder that it is in as --data-dir; it need not be unpacked."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Training and validation images. An archive is checked against the official checksum."""
        checksums: dict[str, str] = {}
        tree = _tree(data_dir, checksums)
        if tree is None:
            raise UserError(cls.missing_files(data_dir) or f"{ROOT} vanished from {data_dir}")
        classes = _classes(tree)
        names = tree.names()
        found = {"train": _train(tree, names, classes), "val": _val(tree, names, classes)}
        for split, items in found.items():
            if len(items) != LENGTHS[split]:
                raise UserError(
                    f"{tree.where()}: has {len(items):,} images in {split}, expected {LENGTHS[split]:,};"
                    f" get or unpack {ARCHIVE} again"
                )
        train, test = (
            image_stream(tree, items, _fit, SIZE, f"{ROOT} {split}", checksums) for split, items in found.items()
        )
        return train, test, checksums


def _tree(data_dir: Path, checksums: dict[str, str]) -> FileTree | None:
    """A complete folder, else the archive, whose checksum is noted."""
    folder, archive = find_in(data_dir, FOLDERS, ROOT), find_in(data_dir, FOLDERS, ARCHIVE)
    if folder is not None and all((folder / part).exists() for part in PARTS):
        return DirectoryTree(folder)
    if archive is None:
        return None
    check_md5(archive, ARCHIVE_MD5)
    checksums[ARCHIVE] = ARCHIVE_MD5
    return ZipTree(archive, ROOT)


def _fit(picture: Image, where: str) -> Image:
    if picture.size != (SIZE, SIZE):
        raise UserError(f"{where}: is {picture.width}x{picture.height}, expected {SIZE}x{SIZE}; get {ARCHIVE} again")
    return picture


def _lines(tree: FileTree, name: str) -> list[str]:
    return tree.read(name).decode("ascii", errors="replace").split("\n")


def _classes(tree: FileTree) -> dict[str, int]:
    """WordNet id -> label."""
    ids = [line.strip() for line in _lines(tree, "wnids.txt") if line.strip()]
    if len(set(ids)) != CLASSES or len(ids) != CLASSES:
        raise UserError(
            f"{tree.where('wnids.txt')}: lists {len(set(ids))} different classes in {len(ids)} lines,"
            f" expected {CLASSES}; get {ARCHIVE} again"
        )
    return {wnid: label for label, wnid in enumerate(ids)}


def _train(tree: FileTree, names: list[str], classes: dict[str, int]) -> list[tuple[str, int]]:
    """In the order of names, which is also that of the WordNet ids."""
    items = []
    for name in names:
        if first_folder(name) == "train":
            wnid = name.split("/")[1]
            if wnid not in classes:
                raise UserError(f"{tree.where(name)}: {wnid!a} is no class of wnids.txt; get {ARCHIVE} again")
            items.append((name, classes[wnid]))
    return items


def _val(tree: FileTree, names: list[str], classes: dict[str, int]) -> list[tuple[str, int]]:
    """In the order of val_annotations.txt, which gives the classes."""
    present, path = set(names), "val/val_annotations.txt"
    items: dict[str, int] = {}
    for number, line in enumerate(_lines(tree, path), 1):
        if not line.strip():
            continue
        file, _, rest = line.partition("\t")
        name, wnid = f"val/images/{file}", rest.partition("\t")[0].strip()
        if name not in present or wnid not in classes or name in items:
            raise UserError(
                f"{tree.where(path)}: line {number} is {line[:60]!a}, expected an image of val/images, once, and a"
                f" class of wnids.txt; get {ARCHIVE} again"
            )
        items[name] = classes[wnid]
    return list(items.items())
