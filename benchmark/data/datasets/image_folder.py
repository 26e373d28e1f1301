"""Any folder of images, made 32x32, 48x48 or 64x64.

The smaller side is resized, PIL's bilinear way, then the centre is taken. Where there are `train` and `test` folders,
the latter is held out; else every tenth image is. Folders at the first level are classes, in the order of their names;
an image outside of any has label -1. How many classes there are is known when the images are read and not before; a
method that needs labels is refused then, where there are none.
"""

import os
from pathlib import Path

from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import UNKNOWN_CLASSES, Dataset
from benchmark.data.raw.decode import ENDINGS, fill
from benchmark.data.raw.image_tree import DirectoryTree, first_folder, image_stream

FOLDER = "folder"
HELD_OUT = 10  # one image of so many

Items = list[tuple[str, int]]


class Folder32(Dataset):
    """(3, 32, 32) images of your own."""

    name = "folder_32"
    about = "your own images, with class folders or without, the centre made 32x32 by PIL (bilinear)"
    licence = "yours"
    source = f"a folder or link named '{FOLDER}' in --data-dir"
    note = "images of your own: no checksum is published, those above are of the files that were found"
    shape = (3, 32, 32)
    num_labels = UNKNOWN_CLASSES

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The folder that is not there, or has no images, and how to make it."""
        empty = [
            root for root in _roots(data_dir) if not root.is_dir() or next(DirectoryTree(root).walk(), None) is None
        ]
        if not empty:
            return None
        return (
            f"dataset {cls.name}: no images found in {empty[0]}.\nPut images ({' '.join(ENDINGS)}) into"
            f" {data_dir / FOLDER}/, in class folders or not, or make it a link to where\nthey are, and pass the folder"
            f" that it is in as --data-dir. Links among the images are not followed, hidden files not read."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits; no checksum is known that they could be held against."""
        size = cls.shape[1]

        def fit(picture: Image, where: str) -> Image:
            return fill(picture, size, where)

        checksums: dict[str, str] = {}
        train, test = (
            image_stream(tree, items, fit, size, f"{FOLDER} {split}", checksums)
            for split, (tree, items) in zip(("train", "test"), _splits(data_dir), strict=True)
        )
        return train, test, checksums


class Folder48(Folder32):
    """(3, 48, 48) images of your own."""

    name = "folder_48"
    about = "your own images, with class folders or without, the centre made 48x48 by PIL (bilinear)"
    shape = (3, 48, 48)


class Folder64(Folder32):
    """(3, 64, 64) images of your own."""

    name = "folder_64"
    about = "your own images, with class folders or without, the centre made 64x64 by PIL (bilinear)"
    shape = (3, 64, 64)


def _roots(data_dir: Path) -> list[Path]:
    """`train` and `test`, or else the folder itself."""
    root = data_dir / FOLDER
    splits = [root / "train", root / "test"]
    return splits if all(split.is_dir() for split in splits) else [root]


def _splits(data_dir: Path) -> list[tuple[DirectoryTree, Items]]:
    trees = [DirectoryTree(root) for root in _roots(data_dir)]
    names = [tree.names() for tree in trees]
    labels = class_labels([name for some in names for name in some])
    items = [[(name, labels[first_folder(name)]) for name in some] for some in names]
    if len(trees) == 2:
        return list(zip(trees, items, strict=True))
    if len(items[0]) < HELD_OUT:
        raise UserError(
            f"{trees[0].where()}: has {len(items[0])} images; one of {HELD_OUT} is held out, so as many are needed;"
            " add some, or make folders train and test"
        )
    held_out = items[0][HELD_OUT - 1 :: HELD_OUT]
    kept = [item for index, item in enumerate(items[0], 1) if index % HELD_OUT]
    return [(trees[0], kept), (trees[0], held_out)]


def class_labels(names: list[str]) -> dict[str, int]:
    """First-level folder -> label, by the order of the folders' names; -1 for the top itself."""
    folders = sorted({first_folder(name) for name in names} - {""}, key=os.fsencode)
    return {"": -1} | {folder: label for label, folder in enumerate(folders)}
