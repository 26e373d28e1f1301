"""Synthetic images for trying every suite on every machine. Numbers measured on them have no meaning.

Each class is a smooth random pattern. An image is the pattern of its class, shifted and dimmed at random, with added
noise: classes and rotations can be distinguished, so there is something to learn.
"""

import hashlib
from pathlib import Path

import numpy as np

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import BundledDataset

CLASSES = 10
TRAIN, TEST = 600, 300
WAVES = 4  # waves in a pattern, and their highest frequency in periods per image
SEED = 2022


class Synthetic(BundledDataset):
    """A pattern per class, the same on every machine."""

    licence = "none needed: made by this program"
    source = "a random generator"
    note = "synthetic images: what is measured on them says nothing about any method"
    num_labels = CLASSES
    is_synthetic = True

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """600 training images and 300 held out."""
        del data_dir
        channels = cls.shape[0] // cls.stacked
        rng = np.random.default_rng([SEED, channels, *cls.shape[1:]])
        patterns = _patterns(rng, channels, *cls.shape[1:])
        train, test = _images(rng, patterns, TRAIN), _images(rng, patterns, TEST)
        checksum = hashlib.sha256(train.images.tobytes() + test.images.tobytes()).hexdigest()
        return train, test, {"synthetic patterns, as uint8": checksum}


def _patterns(rng: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray:
    """(CLASSES, C, H, W) means of a few waves of low frequency, within [-1, 1]."""
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    frequencies = rng.uniform(0.5, WAVES, (CLASSES, channels, WAVES, 2, 1, 1))
    phases = rng.uniform(0, 2 * np.pi, (CLASSES, channels, WAVES, 1, 1))
    waves = np.sin(2 * np.pi * (frequencies[:, :, :, 0] * y + frequencies[:, :, :, 1] * x) + phases)
    patterns: np.ndarray = waves.mean(2)
    return patterns


def _images(rng: np.random.Generator, patterns: np.ndarray, n: int) -> ArraySplit:
    labels = np.arange(n) % CLASSES
    shifts = rng.integers(-2, 3, (n, 2))
    strengths = rng.uniform(0.6, 1, (n, 1, 1, 1))
    shifted = np.stack([np.roll(patterns[k], shift, (1, 2)) for k, shift in zip(labels, shifts.tolist(), strict=True)])
    noisy = strengths * shifted + rng.normal(0, 0.05, shifted.shape)
    return ArraySplit((127.5 + 127.5 * noisy).clip(0, 255).astype(np.uint8), labels)


class Synthetic28(Synthetic):
    """In the shape of MNIST."""

    name = "synthetic_28"
    about = "synthetic 28x28 patterns of 10 classes, for trying things out"
    shape = (1, 28, 28)
    has_digits = True


class Synthetic32(Synthetic):
    """In the shape of CIFAR-10."""

    name = "synthetic_32"
    about = "synthetic 32x32 patterns of 10 classes, for trying things out"
    shape = (3, 32, 32)


class Synthetic48(Synthetic):
    """In the shape of STL-10 as GANs are trained on it."""

    name = "synthetic_48"
    about = "synthetic 48x48 patterns of 10 classes, for trying things out"
    shape = (3, 48, 48)


class Synthetic64(Synthetic):
    """In the shape of CelebA as GANs are trained on it."""

    name = "synthetic_64"
    about = "synthetic 64x64 patterns of 10 classes, for trying things out"
    shape = (3, 64, 64)


class SyntheticStacked(Synthetic):
    """In the shape of Stacked-MNIST: three grey patterns as channels."""

    name = "synthetic_stacked"
    about = "three synthetic 28x28 patterns of 10 classes stacked as channels, for trying things out"
    shape = (3, 28, 28)
    stacked = 3
    has_digits = True
