"""CelebA: aligned faces, the middle 108x108 pixels made 64x64, as DCGAN does and everybody since.

MSGAN crops alike and makes them smaller by skimage's `resize` (tntrung/msgan modules/celeba.py:10-14); here it is
PIL's bilinear one. Training images are the official training split; the official test split is held out and the
validation split stays unused.

Checksums are those that torchvision lists (torchvision/datasets/celeba.py, 0.29). For the unpacked folder none is
published; the SHA-256 in the manifest is the same whether the images come from the folder or from the archive.
"""

import re
from pathlib import Path

from PIL.Image import Image

from benchmark.core.errors import UserError
from benchmark.data.arrays import StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.raw.checksums import check_md5, find_in
from benchmark.data.raw.decode import centre_crop, resize
from benchmark.data.raw.image_tree import DirectoryTree, FileTree, ZipTree, image_stream

IMAGES = "img_align_celeba"
ARCHIVE = "img_align_celeba.zip"
PARTITION = "list_eval_partition.txt"
MD5 = {ARCHIVE: "00d2c5bc6d35e252742224ab0c1e8fcb", PARTITION: "d32c9cbf5e040fd4025c592c306e6668"}
LENGTH = 202_599
TRAIN, TEST = 0, 2  # 1 is validation
FOLDERS = tuple(f"{top}/{below}" for top in (".", "celeba", "CelebA") for below in (".", "Img", "Eval"))
NESTED = tuple(f"{folder}/{IMAGES}" for folder in FOLDERS)  # as some archives on the web are packed
CROP = 108
SIZE = 64


class CelebA(Dataset):
    """(3, 64, 64) images without labels: 162,770 for training, 19,962 held out."""

    name = "celeba"
    about = "CelebA's aligned faces, the middle 108x108 made 64x64 by PIL (bilinear; MSGAN: skimage)"
    preprocessing = "the middle 108x108 made 64x64"
    licence = "non-commercial research only (Liu, Luo, Wang and Tang, CUHK)"
    source = "img_align_celeba.zip or its folder, and list_eval_partition.txt"
    shape = (3, SIZE, SIZE)

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """The files that are not under `data_dir`, and where to put them."""
        lacking = []
        if _images(data_dir) is None:
            lacking.append(f"{ARCHIVE}, or its images unpacked in {IMAGES}/")
        if find_in(data_dir, FOLDERS, PARTITION) is None:
            lacking.append(PARTITION)
        if not lacking:
            return None
        return (
            f"dataset celeba: not found under {data_dir}:\n"
            + "\n".join(f"  {name}" for name in lacking)
            + "\nDownload by program often fails: Google Drive allows a few a day. Then open\n"
            "  https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html\n"
            "in a browser, get the 'Align&Cropped Images' and the 'Train/Val/Test Partitions' from the Drive folder,\n"
            "put the files into one folder as they are, and pass it as --data-dir."
        )

    @classmethod
    def read(cls, data_dir: Path) -> tuple[StreamSplit, StreamSplit, dict[str, str]]:
        """Training and test images. The archive and the partition are checked against official checksums."""
        images, partition = _images(data_dir), find_in(data_dir, FOLDERS, PARTITION)
        if images is None or partition is None:
            raise UserError(cls.missing_files(data_dir) or f"files of CelebA vanished from {data_dir}")
        check_md5(partition, MD5[PARTITION])
        parts = parse_partition(partition)
        checksums = {PARTITION: MD5[PARTITION]}
        if images.is_file():
            check_md5(images, MD5[ARCHIVE])
            checksums[ARCHIVE] = MD5[ARCHIVE]
        tree: FileTree = ZipTree(images, IMAGES) if images.is_file() else DirectoryTree(images)
        _check_complete(tree, parts)
        train, test = (
            image_stream(tree, _of(parts, part), _fit, SIZE, f"{IMAGES} {title}", checksums)
            for part, title in ((TRAIN, "train"), (TEST, "test"))
        )
        return train, test, checksums


def _fit(picture: Image, where: str) -> Image:
    return resize(centre_crop(picture, CROP, where), SIZE)


def _images(data_dir: Path) -> Path | None:
    """The folder with the images, else the archive."""
    folder = find_in(data_dir, NESTED, IMAGES) or find_in(data_dir, FOLDERS, IMAGES)
    if folder is not None and folder.is_dir():
        return folder
    return find_in(data_dir, FOLDERS, ARCHIVE)


def _of(parts: dict[str, int], wanted: int) -> list[tuple[str, int]]:
    return [(name, -1) for name, part in parts.items() if part == wanted]


def parse_partition(path: Path) -> dict[str, int]:
    """Image name -> 0, 1 or 2. Raises UserError, naming the line, when it says anything else."""
    parts: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        match = re.fullmatch(r"(\d{6}\.jpg) ([012])\s*", line)
        if match is None or match[1] in parts:
            raise UserError(f"{path}: line {number} is {line[:40]!a}, expected as in '000001.jpg 0'; get it again")
        parts[match[1]] = int(match[2])
    if len(parts) != LENGTH:
        raise UserError(f"{path}: lists {len(parts):,} images, expected {LENGTH:,}; get it again")
    return parts


def _check_complete(tree: FileTree, parts: dict[str, int]) -> None:
    absent = sorted(parts.keys() - set(tree.names()))
    if absent:
        raise UserError(
            f"{tree.where()}: {len(absent):,} of {len(parts):,} images are not in it, {absent[0]} for one;"
            f" get or unpack {ARCHIVE} again"
        )
