"""Small files in real formats: the building blocks of `Dataset.write_example_files` and of tests."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image


def random_image(rng: np.random.Generator, width: int, height: int, kind: str = "JPEG") -> bytes:
    """An image file with blocks of random colours, which survive JPEG and resizing."""
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    blocks[0, 0], blocks[-1, -1] = 255, 0
    file = io.BytesIO()
    Image.fromarray(blocks.repeat(16, 0).repeat(16, 1)[:height, :width]).save(file, kind)
    return file.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by path relative to the folder, and the folders that they need."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tar_of(files: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> bytes:
    """A tar archive of these files, compressed unless the mode is `w`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
