"""CelebA: aligned faces, the central 108x108 pixels resized to 64x64, as in DCGAN and most papers since.

MSGAN crops the same pixels and resizes them with skimage's `resize` (tntrung/msgan modules/celeba.py:10-14); this
module uses PIL's bilinear filter. Training images are the official training split; the official test split is held
out, and the validation split is not used.

Checksums are those that torchvision lists (torchvision/datasets/celeba.py, 0.29). None is published for the unpacked
folder; the SHA-256 in the manifest is the same whether the images come from the folder or from the archive. Kaggle's
copy has the partition as a .csv, which is compared with the published checksum after its lines are written as in the
original: `000001.jpg 0`, ended by CR and LF.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_published, find, md5_of, raw_file_checksum, require
from benchmark.data.raw.decode import centre_crop, resize
from benchmark.data.raw.examples import random_image, zip_of
from benchmark.data.raw.image_tree import DirectoryTree, FileTree, Item, ZipTree, image_streams

IMAGES = "img_align_celeba"
ARCHIVE = "img_align_celeba.zip"
PARTITION, PARTITION_CSV = "list_eval_partition.txt", "list_eval_partition.csv"
CSV_HEADER = "image_id,partition"
TRAIN, VALIDATION, TEST = 0, 1, 2
FOLDERS = tuple(f"{top}/{below}" for top in (".", "celeba", "CelebA") for below in (".", "Img", "Eval"))
NESTED = tuple(f"{folder}/{IMAGES}" for folder in FOLDERS)  # as some redistributed archives are packed
CROP = 108
SIZE = 64


class CelebA(Dataset):
    """(3, 64, 64) images without labels: 162,770 for training, 19,962 held out."""

    name = "celeba"
    about = "CelebA's aligned faces, the central 108x108 resized to 64x64 by PIL (bilinear; MSGAN: skimage)"
    preprocessing = "the middle 108x108 made 64x64"
    licence = "non-commercial research only (Liu, Luo, Wang and Tang, CUHK)"
    source = "img_align_celeba.zip or its folder, and list_eval_partition.txt or Kaggle's .csv of it"
    shape = (3, SIZE, SIZE)
    raw_dir = "celeba"
    required_files = (((ARCHIVE,), (f"{IMAGES}/*.jpg",)), ((PARTITION,), (PARTITION_CSV,)))
    how_to_get = (
        "Google Drive, the only host, refuses most downloads by programs. Open\n"
        "  https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html\n"
        "in a browser, get the 'Align&Cropped Images' and the 'Train/Val/Test Partitions' from the Drive folder,\n"
        "put the files into one folder as they are, and pass it as --data-dir. Kaggle's copy\n"
        "(jessicali9530/celeba-dataset) will do too: img_align_celeba/ and list_eval_partition.csv."
    )
    num_images: ClassVar[int] = 202_599
    checksums: ClassVar[dict[str, str]] = {  # MD5
        ARCHIVE: "00d2c5bc6d35e252742224ab0c1e8fcb",
        PARTITION: "d32c9cbf5e040fd4025c592c306e6668",
    }

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """The images and the partition, if they are not under `data_dir`."""
        missing = [] if _find_images(data_dir) else [f"{ARCHIVE}, or its images unpacked in {IMAGES}/"]
        partition = find(data_dir, FOLDERS, [PARTITION, PARTITION_CSV])
        return missing if partition else [*missing, f"{PARTITION}, or Kaggle's {PARTITION_CSV}"]

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Training and test images. The archive and the partition are compared with their published MD5."""
        partition = require(data_dir, FOLDERS, [PARTITION, PARTITION_CSV])
        images = _find_images(data_dir) or require(data_dir, FOLDERS, [ARCHIVE])
        checksums, parts = cls._read_partition(partition)
        tree: FileTree = DirectoryTree(images)
        if images.is_file():
            checksums[ARCHIVE] = cls._checked(images)
            tree = ZipTree(images, IMAGES)
        _check_complete(tree, parts)
        splits = {f"{IMAGES} train": (tree, _items(parts, TRAIN)), f"{IMAGES} test": (tree, _items(parts, TEST))}
        train, test = image_streams(splits, _transform, size=SIZE, checksums=checksums)
        return train, test, checksums

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """The archive and the partition of nine faces: 5 for training, 1 for validation and 3 for testing."""
        rng = np.random.default_rng(3)
        images = {f"{number:06}.jpg": random_image(rng, 178, 218) for number in range(1, 10)}
        parts = (TRAIN, TRAIN, TEST, TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN)
        partition = "".join(f"{name} {part}\r\n" for name, part in zip(images, parts, strict=True)).encode()
        archive = zip_of({f"{IMAGES}/{name}": content for name, content in images.items()})
        (folder / PARTITION).write_bytes(partition)
        (folder / ARCHIVE).write_bytes(archive)
        checksums = {ARCHIVE: md5_of(archive), PARTITION: md5_of(partition)}
        return {"num_images": len(images), "checksums": checksums}

    @classmethod
    def _read_partition(cls, path: Path) -> tuple[dict[str, str], dict[str, int]]:
        """The checksum of the official file, and image name -> split, from that file or from the .csv."""
        if path.name == PARTITION:
            checksum = cls._checked(path)
            return {PARTITION: checksum}, parse_partition(path, cls.num_images)
        parts = parse_partition(path, cls.num_images)
        checksum = md5_of("".join(f"{name} {part}\r\n" for name, part in parts.items()).encode())
        check_published(path, PARTITION, checksum, cls.checksums)
        return {PARTITION: checksum}, parts

    @classmethod
    def _checked(cls, path: Path) -> str:
        checksum = raw_file_checksum(path, "md5")
        check_published(path, path.name, checksum, cls.checksums)
        return checksum


def _transform(image: Image, where: str) -> Image:
    return resize(centre_crop(image, CROP, where), SIZE)


def _find_images(data_dir: Path) -> Path | None:
    """The folder with the images, else the archive."""
    folder = find(data_dir, NESTED, [IMAGES]) or find(data_dir, FOLDERS, [IMAGES])
    if folder is not None and folder.is_dir():
        return folder
    return find(data_dir, FOLDERS, [ARCHIVE])


def _items(parts: dict[str, int], wanted: int) -> list[Item]:
    return [(name, -1) for name, part in parts.items() if part == wanted]


def parse_partition(path: Path, num_images: int) -> dict[str, int]:
    """Image name -> TRAIN, VALIDATION or TEST. Raises UserError, naming the line, if the file holds anything else."""
    parts: dict[str, int] = {}
    separator = "," if path.name == PARTITION_CSV else " "
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        if number == 1 and separator == "," and line.strip() == CSV_HEADER:
            continue
        match = re.fullmatch(rf"(\d{{6}}\.jpg){separator}([012])\s*", line)
        if match is None or match[1] in parts:
            expected = f"000001.jpg{separator}0"
            raise UserError(f"{path}: line {number} is {line[:40]!a}, expected as in '{expected}'; get it again")
        parts[match[1]] = int(match[2])
    if len(parts) != num_images:
        raise UserError(f"{path}: lists {len(parts):,} images, expected {num_images:,}; get it again")
    return parts


def _check_complete(tree: FileTree, parts: dict[str, int]) -> None:
    absent = sorted(parts.keys() - set(tree.names()))
    if absent:
        raise UserError(
            f"{tree.location()}: {len(absent):,} of {len(parts):,} images are missing, for example {absent[0]};"
            f" get or unpack {ARCHIVE} again"
        )
