"""Tiny-ImageNet: 64x64 photographs of 200 classes, 500 of each; the official validation images are held out.

The MD5 is that of the archive of Stanford's course CS231n, as public loaders list it. None is published for the
unpacked folder; the SHA-256 in the manifest is the same whether the images come from the folder or from the archive.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, find, md5_of, raw_file_checksum, require
from benchmark.data.raw.download import Download
from benchmark.data.raw.examples import random_image, zip_of
from benchmark.data.raw.image_tree import DirectoryTree, FileTree, Item, ZipTree, first_folder, image_streams

ROOT = "tiny-imagenet-200"
ARCHIVE = Download(
    "tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
)
FOLDERS = (".", "tiny_imagenet", "tiny-imagenet", "TinyImageNet")
PARTS = ("wnids.txt", "train", "val/images", "val/val_annotations.txt")
UNPACKED = ("wnids.txt", "train/**", "val/images/**", "val/val_annotations.txt")
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
    raw_dir = "tiny_imagenet"
    required_files = (((ARCHIVE.name,), tuple(f"{ROOT}/{part}" for part in UNPACKED)),)
    downloads = (ARCHIVE,)
    how_to_get = (
        f"Get the archive (248 MB, MD5 {ARCHIVE.checksum}) with\n  curl -LO {ARCHIVE.urls[0]}\n"
        "and pass the folder that contains it as --data-dir; it need not be unpacked."
    )
    checksums: ClassVar[dict[str, str]] = {ARCHIVE.name: ARCHIVE.checksum}
    split_sizes: ClassVar[dict[str, int]] = {"train": 100_000, "val": 10_000}

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The archive or, if an incomplete folder is there, the parts that it lacks."""
        if find(data_dir, FOLDERS, [ARCHIVE.name]):
            return []
        folder = find(data_dir, FOLDERS, [ROOT])
        if folder is None:
            return [ARCHIVE.name]
        return [f"{part} in {folder}" for part in PARTS if not (folder / part).exists()]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Training and validation images. The archive is compared with its published MD5."""
        checksums: dict[str, str] = {}
        tree = cls._tree(data_dir, checksums)
        classes = _classes(tree)
        names = tree.names()
        splits = {"train": _train_items(tree, names, classes), "val": _validation_items(tree, names, classes)}
        for split, items in splits.items():
            if len(items) != cls.split_sizes[split]:
                raise UserError(
                    f"{tree.location()}: has {len(items):,} images in {split}, expected {cls.split_sizes[split]:,};"
                    f" get or unpack {ARCHIVE.name} again"
                )
        trees: dict[str, tuple[FileTree, list[Item]]] = {
            f"{ROOT} {split}": (tree, items) for split, items in splits.items()
        }
        train, test = image_streams(trees, _transform, size=SIZE, checksums=checksums)
        return train, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """The archive of the example images."""
        archive = zip_of({f"{ROOT}/{name}": content for name, content in example_files().items()})
        (folder / ARCHIVE.name).write_bytes(archive)
        return {"checksums": {ARCHIVE.name: md5_of(archive)}, "split_sizes": {"train": 200, "val": 5}}

    @classmethod
    def _tree(cls, data_dir: Path, checksums: dict[str, str]) -> FileTree:
        """A complete folder, else the archive, whose MD5 is added to `checksums`."""
        folder = find(data_dir, FOLDERS, [ROOT])
        if folder is not None and all((folder / part).exists() for part in PARTS):
            return DirectoryTree(folder)
        archive = require(data_dir, FOLDERS, [ARCHIVE.name])
        checksums[ARCHIVE.name] = raw_file_checksum(archive, "md5")
        check_published(archive, ARCHIVE.name, checksums[ARCHIVE.name], cls.checksums)
        return ZipTree(archive, ROOT)


def _transform(image: Image, where: str) -> Image:
    if image.size != (SIZE, SIZE):
        raise UserError(f"{where}: is {image.width}x{image.height}, expected {SIZE}x{SIZE}; get {ARCHIVE.name} again")
    return image


def _lines(tree: FileTree, name: str) -> list[str]:
    return tree.read(name).decode("ascii", errors="replace").split("\n")


def _classes(tree: FileTree) -> dict[str, int]:
    """WordNet id -> label."""
    ids = [line.strip() for line in _lines(tree, "wnids.txt") if line.strip()]
    if len(set(ids)) != CLASSES or len(ids) != CLASSES:
        raise UserError(
            f"{tree.location('wnids.txt')}: lists {len(set(ids))} different classes in {len(ids)} lines,"
            f" expected {CLASSES}; get {ARCHIVE.name} again"
        )
    return {wordnet_id: label for label, wordnet_id in enumerate(ids)}


def _train_items(tree: FileTree, names: list[str], classes: dict[str, int]) -> list[Item]:
    """In the order of names, which is also the order of the WordNet ids."""
    items = []
    for name in names:
        if first_folder(name) == "train":
            wordnet_id = name.split("/")[1]
            if wordnet_id not in classes:
                raise UserError(
                    f"{tree.location(name)}: {wordnet_id!a} is not a class of wnids.txt; get {ARCHIVE.name} again"
                )
            items.append((name, classes[wordnet_id]))
    return items


def _validation_items(tree: FileTree, names: list[str], classes: dict[str, int]) -> list[Item]:
    """In the order of val_annotations.txt, which gives the classes."""
    present, path = set(names), "val/val_annotations.txt"
    items: dict[str, int] = {}
    for number, line in enumerate(_lines(tree, path), 1):
        if not line.strip():
            continue
        file, _, rest = line.partition("\t")
        name, wordnet_id = f"val/images/{file}", rest.partition("\t")[0].strip()
        if name not in present or wordnet_id not in classes or name in items:
            raise UserError(
                f"{tree.location(path)}: line {number} is {line[:60]!a}, expected an image of val/images, once, and a"
                f" class of wnids.txt; get {ARCHIVE.name} again"
            )
        items[name] = classes[wordnet_id]
    return list(items.items())


def example_files() -> dict[str, bytes]:
    """All 200 classes in random order, with one training image each, and five validation images."""
    rng = np.random.default_rng(4)
    ids = [f"n{number:08}" for number in rng.permutation(CLASSES)]
    files = {f"train/{id_}/images/{id_}_0.JPEG": random_image(rng, SIZE, SIZE) for id_ in ids}
    files |= {f"train/{id_}/{id_}_boxes.txt": f"{id_}_0.JPEG\t0\t10\t63\t58\n".encode() for id_ in ids}
    files |= {f"val/images/val_{number}.JPEG": random_image(rng, SIZE, SIZE) for number in range(5)}
    lines = [f"val_{number}.JPEG\t{ids[40 * number]}\t0\t32\t44\t62\n" for number in range(5)]
    files |= {
        "val/val_annotations.txt": "".join(lines).encode(),
        "test/images/test_0.JPEG": random_image(rng, SIZE, SIZE),
    }
    return files | {"wnids.txt": "".join(f"{id_}\n" for id_ in ids).encode()}
