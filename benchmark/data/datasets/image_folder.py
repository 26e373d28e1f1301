"""Any folder of images, resized and cropped to 32x32, 48x48 or 64x64.

The smaller side is resized with PIL's bilinear filter, then the centre is cropped. If there are folders `train` and
`test` or `val`, the latter is held out; else every tenth image is. Folders at the first level below are classes, in
the order of their names; an image outside of them has label -1 (`benchmark.data.raw.folder_layout`). The number of
classes is known only after reading the images; a method that needs labels is refused then, if there are none.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from benchmark.data.arrays import StreamSplit
from benchmark.data.base import UNKNOWN_CLASSES, Dataset
from benchmark.data.raw.decode import ENDINGS, resize_and_crop
from benchmark.data.raw.examples import random_image, write_files
from benchmark.data.raw.file_states import FileStates
from benchmark.data.raw.folder_layout import image_roots, image_states, read_layout
from benchmark.data.raw.image_tree import DirectoryTree, image_streams

FOLDER = "folder"


class Folder32(Dataset):
    """(3, 32, 32) images of your own."""

    name = "folder_32"
    about = "your own images, with class folders or without, resized and cropped to 32x32 by PIL (bilinear)"
    licence = "yours"
    source = f"a folder or link named '{FOLDER}' in --data-dir"
    note = "images of your own: no checksum is published, those above are of the files that were found"
    shape = (3, 32, 32)
    num_labels = UNKNOWN_CLASSES
    variant = "2"
    raw_dir = FOLDER
    how_to_get = (
        f"Put images ({' '.join(ENDINGS)}), in class folders or not, with folders train and test or not,\n"
        f"into a folder named '{FOLDER}', or make it a link to them, and pass the folder that contains it as\n"
        "--data-dir. Links among the images are not followed, and hidden files are not read."
    )

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The folders that do not exist or hold no image."""
        return [
            f"images in {root}"
            for root in image_roots(data_dir / FOLDER)
            if not root.is_dir() or next(DirectoryTree(root).walk({}), None) is None
        ]

    @classmethod
    def file_states(cls, data_dir: Path) -> FileStates:
        """All images of both splits, as none has a published checksum."""
        return image_states(data_dir / FOLDER)

    @classmethod
    def describe_files(cls, data_dir: Path) -> dict[str, str]:
        """The splits and classes as they were understood, and what was left out."""
        return read_layout(data_dir / FOLDER).notes

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits. No published checksum exists for comparison."""
        size = cls.shape[1]

        def transform(image: Image, where: str) -> Image:
            return resize_and_crop(image, size, where)

        checksums: dict[str, str] = {}
        layout = read_layout(data_dir / FOLDER)
        splits = {f"{FOLDER} {name}": split for name, split in (("train", layout.train), ("test", layout.test))}
        train, test = image_streams(
            {title: (split.tree, split.items) for title, split in splits.items()},
            transform,
            size=size,
            checksums=checksums,
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
