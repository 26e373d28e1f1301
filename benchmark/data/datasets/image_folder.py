"""Any folder of images, resized and cropped to 32x32, 48x48 or 64x64.

The smaller side is resized with PIL's bilinear filter, then the centre is cropped. If there are folders `train` and
`test`, the latter is held out; else every tenth image is. Folders at the first level are classes, in the order of
their names; an image outside of them has label -1. The number of classes is known only after reading the images; a
method that needs labels is refused then, if there are none.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import UNKNOWN_CLASSES, Dataset
from benchmark.data.raw.decode import ENDINGS, resize_and_crop
from benchmark.data.raw.examples import random_image, write_files
from benchmark.data.raw.image_tree import DirectoryTree, Item, first_folder, image_stream

FOLDER = "folder"
HELD_OUT = 10  # every tenth image is held out


class Folder32(Dataset):
    """(3, 32, 32) images of your own."""

    name = "folder_32"
    about = "your own images, with class folders or without, resized and cropped to 32x32 by PIL (bilinear)"
    licence = "yours"
    source = f"a folder or link named '{FOLDER}' in --data-dir"
    note = "images of your own: no checksum is published, those above are of the files that were found"
    shape = (3, 32, 32)
    num_labels = UNKNOWN_CLASSES
    raw_dir = FOLDER
    how_to_get = (
        f"Put images ({' '.join(ENDINGS)}), in class folders or not, into a folder named '{FOLDER}', or make it a\n"
        "link to them, and pass the folder that contains it as --data-dir. Links among the images are not followed,\n"
        "and hidden files are not read."
    )

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The folders that do not exist or hold no image."""
        return [
            f"images in {root}"
            for root in _roots(data_dir)
            if not root.is_dir() or next(DirectoryTree(root).walk(), None) is None
        ]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits. No published checksum exists for comparison."""
        size = cls.shape[1]

        def transform(image: Image, where: str) -> Image:
            return resize_and_crop(image, size, where)

        checksums: dict[str, str] = {}
        train, test = (
            image_stream(tree, items, transform, size=size, title=f"{FOLDER} {split}", checksums=checksums)
            for split, (tree, items) in zip(("train", "test"), _splits(data_dir), strict=True)
        )
        return train, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """Photographs of several sizes and formats in two class folders, and one outside."""
        rng = np.random.default_rng(5)
        files = {f"cats/{number}.jpg": random_image(rng, 90 + number, 70) for number in range(6)}
        files |= {f"dogs/{number}.png": random_image(rng, 40, 100 + number, "PNG") for number in range(6)}
        files |= {"neither.jpg": random_image(rng, 64, 64), "dogs/read me.txt": b"not an image"}
        write_files(folder / FOLDER, files)
        return {}


class Folder48(Folder32):
    """(3, 48, 48) images of your own."""

    name = "folder_48"
    about = "your own images, with class folders or without, resized and cropped to 48x48 by PIL (bilinear)"
    shape = (3, 48, 48)


class Folder64(Folder32):
    """(3, 64, 64) images of your own."""

    name = "folder_64"
    about = "your own images, with class folders or without, resized and cropped to 64x64 by PIL (bilinear)"
    shape = (3, 64, 64)


def _roots(data_dir: Path) -> list[Path]:
    """`train` and `test` if both exist, else the folder itself."""
    root = data_dir / FOLDER
    splits = [root / "train", root / "test"]
    return splits if all(split.is_dir() for split in splits) else [root]


def _splits(data_dir: Path) -> list[tuple[DirectoryTree, list[Item]]]:
    trees = [DirectoryTree(root) for root in _roots(data_dir)]
    names = [tree.names() for tree in trees]
    labels = class_labels([name for split_names in names for name in split_names])
    items = [[(name, labels[first_folder(name)]) for name in split_names] for split_names in names]
    if len(trees) == 2:
        return list(zip(trees, items, strict=True))
    if len(items[0]) < HELD_OUT:
        raise UserError(
            f"{trees[0].location()}: has {len(items[0])} images; at least {HELD_OUT} are needed, as one in {HELD_OUT}"
            " is held out; add some, or make folders train and test"
        )
    held_out = items[0][HELD_OUT - 1 :: HELD_OUT]
    train = [item for index, item in enumerate(items[0], 1) if index % HELD_OUT]
    return [(trees[0], train), (trees[0], held_out)]


def class_labels(names: list[str]) -> dict[str, int]:
    """First-level folder -> label, in the order of the folders' names; -1 for images at the top."""
    folders = sorted({first_folder(name) for name in names} - {""}, key=os.fsencode)
    return {"": -1} | {folder: label for label, folder in enumerate(folders)}
