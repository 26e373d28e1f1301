"""CIFAR-10 from a folder of image files, as mirrors redistribute it: `train/CLASS/` and `test/CLASS/`.

The files hold the official images after JPEG compression, in general; neither their pixels nor their number can be
compared with anything published. The dataset therefore has a name of its own, and no published value is about it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.decode import ENDINGS
from benchmark.data.raw.examples import random_image, write_files
from benchmark.data.raw.file_states import FileStates
from benchmark.data.raw.folder_layout import image_roots, image_states, read_layout
from benchmark.data.raw.image_tree import DirectoryTree, first_folder, image_streams

FOLDER = "cifar10_jpeg"
# In the order of the official labels, which is that of the alphabet (batches.meta of the official archive).
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CIFAR10JPEG(Dataset):
    """(3, 32, 32) images with the official labels."""

    name = "cifar10_jpeg"
    about = "CIFAR-10 from image files in folders of classes, 32x32; not the official pixels if they are JPEG"
    licence = "none stated; the authors ask to cite Krizhevsky (2009)"
    source = f"a folder or link named '{FOLDER}' in --data-dir"
    note = "CIFAR-10 from image files: JPEG changes pixels, and no checksum is published"
    shape = (3, 32, 32)
    num_labels = len(CLASSES)
    raw_dir = FOLDER
    how_to_get = (
        f"Put images ({' '.join(ENDINGS)}) of 32x32 pixels into folders train/CLASS and test/CLASS, with CLASS one of\n"
        f"{', '.join(CLASSES)}, in a folder named '{FOLDER}',\n"
        "or make it a link to that folder, and pass the folder that contains it as --data-dir."
    )

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The folders of splits and classes that do not exist or hold no image."""
        folders = [data_dir / FOLDER / split / name for split in ("train", "test") for name in CLASSES]
        missing = [f for f in folders if not f.is_dir() or next(DirectoryTree(f).walk({}), None) is None]
        if len(missing) == len(folders):
            return [f"images in {data_dir / FOLDER}/train/CLASS and {data_dir / FOLDER}/test/CLASS"]
        return [f"images in {folder}" for folder in missing]

    @classmethod
    def file_states(cls, data_dir: Path) -> FileStates:
        """All images of both splits, as none has a published checksum."""
        return image_states(data_dir / FOLDER) if image_roots(data_dir / FOLDER)[0].is_dir() else {}

    @classmethod
    def describe_files(cls, data_dir: Path) -> dict[str, str]:
        """The splits and classes as they were understood, and what was left out."""
        return read_layout(data_dir / FOLDER).notes

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Both splits. Raises UserError if there are images of another class or size."""
        layout = read_layout(data_dir / FOLDER)
        for split in (layout.train, layout.test):
            other = next((name for name, _ in split.items if first_folder(name) not in CLASSES), None)
            if other is not None:
                raise UserError(f"{split.tree.location(other)}: not in a folder of CIFAR-10's classes; move it away")
        checksums: dict[str, str] = {}
        splits = {f"{FOLDER} {name}": split for name, split in (("train", layout.train), ("test", layout.test))}
        items = {title: (split.tree, split.items) for title, split in splits.items()}
        train, test = image_streams(items, _unchanged, size=cls.shape[1], checksums=checksums)
        return train, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """Two training images and a test image of every class."""
        rng = np.random.default_rng(6)
        images = [
            f"{split}/{name}/{n}.jpg"
            for split, most in (("train", 2), ("test", 1))
            for name in CLASSES
            for n in range(most)
        ]
        write_files(folder / FOLDER, {path: random_image(rng, 32, 32) for path in images})
        return {}


def _unchanged(image: Image, where: str) -> Image:
    if image.size != (32, 32):
        raise UserError(f"{where}: has {image.width}x{image.height} pixels, and images of CIFAR-10 have 32x32")
    return image
