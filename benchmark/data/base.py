"""The dataset contract, and the preparation that all datasets share."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from benchmark.core.errors import UserError
from benchmark.core.spec import content_hash
from benchmark.data.arrays import Shape, Split, describe_shape
from benchmark.data.prepared import is_prepared, write_prepared
from benchmark.data.raw.download import Download, ProgressCallback
from benchmark.data.raw.file_states import FileStates, differences, read_states
from benchmark.data.raw.import_files import RequiredFile

UNKNOWN_CLASSES = -1


class MixtureComponents(NamedTuple):
    """A mixture of K Gaussians of equal weight: (K, D) centres, and the standard deviation of every coordinate."""

    centres: np.ndarray
    std: float


class Dataset(ABC):
    """A source of training images, or of training points.

    A subclass sets class attributes and implements `missing_files`, `read` and `write_example_files`. That file and a
    line in the registry are all that a dataset needs: `datasets fetch`, `import`, `prepare` and `verify`, training
    and the contract tests use nothing else. A subclass of another dataset shares its raw files.

    Attributes:
        name: the key in the registry and in suites.
        about: one line for listings and reports.
        licence: the terms of use.
        source: the raw files, and where they come from.
        shape: (C, H, W) of a training image, or (D,) of a point.
        is_points: whether it holds points. They are stored as float32, and reach losses and metrics unchanged.
        transformations: the set whose indices self-supervised tasks predict (`baselines.common.transformations`).
        mixture: of points from a mixture of Gaussians, its components; else None.
        stacked: how many stored images form one training image, as its channels.
        num_fixed_stacks: how many stacks there are, the same for all trials; 0 if stacks are drawn on the fly.
        num_labels: the number of classes of the stored images; 0 if they have no labels, UNKNOWN_CLASSES if only
            the raw files tell.
        split_names: the published name of `train` or `test`, where it differs.
        preprocessing: the crop and size, where published protocols differ in it.
        is_bundled: whether the dataset needs no raw files, so that `run` prepares it automatically.
        is_synthetic: whether the images are generated, for trying things out.
        has_digits: whether every channel is a grey handwritten digit.
        note: a caveat for readers of results, such as a missing published checksum. Part of the manifest.
        variant: the version of the preparation. Arrays of another version are not used.
        raw_dir: the folder under the data directory into which `fetch` and `import` put raw files.
        required_files: the raw files by name; `import` searches for them. Empty for files without fixed names.
        downloads: the raw files that a program may download. Empty if the owners offer them to people only.
        how_to_get: instructions for getting the raw files by hand.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    shape: ClassVar[Shape]
    is_points: ClassVar[bool] = False
    transformations: ClassVar[Literal["rotations", "shifts"]] = "rotations"
    mixture: ClassVar[MixtureComponents | None] = None
    stacked: ClassVar[int] = 1
    num_fixed_stacks: ClassVar[int] = 0
    num_labels: ClassVar[int] = 0
    split_names: ClassVar[dict[str, str]] = {}
    preprocessing: ClassVar[str] = ""
    is_bundled: ClassVar[bool] = False
    is_synthetic: ClassVar[bool] = False
    has_digits: ClassVar[bool] = False
    note: ClassVar[str] = ""
    variant: ClassVar[str] = "1"
    raw_dir: ClassVar[str] = ""
    required_files: ClassVar[tuple[RequiredFile, ...]] = ()
    downloads: ClassVar[tuple[Download, ...]] = ()
    how_to_get: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """Raw files that are not under `data_dir`, a line each for a message; empty if the dataset can be read.

        Args:
            data_dir: the data directory. Files may be in it or in the usual folders below it.
        """

    @classmethod
    @abstractmethod
    def read(cls, data_dir: Path) -> tuple[Split, Split, dict[str, str]]:
        """Read the raw files, which are all there according to `missing_files`. Changes none of them.

        Args:
            data_dir: the data directory.

        Returns:
            The training images, the held-out images, and the checksum of each raw file by name. A `StreamSplit` may
            add checksums while it is consumed.

        Raises:
            UserError: if a file is damaged or differs from the published one; names the file and the remedy.
        """

    @classmethod
    def write_example_files(cls, folder: Path) -> dict[str, Any]:
        """Write a few small raw files in the official format, so that tests can read the dataset.

        Args:
            folder: an existing folder.

        Returns:
            Values of class attributes, such as sizes and checksums, that describe these files in place of the
            official ones.
        """
        raise NotImplementedError(f"{cls.__name__} has raw files and writes no example of them")

    @classmethod
    def file_states(cls, data_dir: Path) -> FileStates:
        """The states of the raw files whose content nothing published determines; a change of them is noticed.

        Empty for published datasets: reading compares their files with published checksums or numbers of images.
        """
        del data_dir
        return {}

    @classmethod
    def describe_files(cls, data_dir: Path) -> dict[str, str]:
        """How the raw files were understood, where that is not fixed: entries of the manifest, of `DESCRIPTIONS`."""
        del data_dir
        return {}

    @classmethod
    def missing_message(cls, data_dir: Path) -> str | None:
        """Which raw files are missing under `data_dir` and how to get them; None if none is."""
        lines = cls.missing_files(data_dir)
        if not lines:
            return None
        return "\n".join(
            [f"dataset {cls.name}: not found under {data_dir}:", *(f"  {line}" for line in lines), cls.how_to_get]
        )

    @classmethod
    def num_classes(cls) -> int:
        """The number of classes of a training image: num_labels ** stacked.

        UNKNOWN_CLASSES if only the raw files tell; the manifest then has it under `classes`.
        """
        return cls.num_labels if cls.num_labels <= 0 else cls.num_labels**cls.stacked

    @classmethod
    def describe_samples(cls) -> str:
        """What it holds, in words: `3x32x32 images` or `1-dimensional points`."""
        return describe_shape(cls.shape)

    @classmethod
    def prepared_dir(cls, cache: Path) -> Path:
        """The folder of the prepared arrays under `cache`."""
        return cache / f"{cls.name}-{content_hash([cls.name, cls.variant])}"

    @classmethod
    def is_prepared(cls, cache: Path) -> bool:
        """Whether the prepared arrays are under `cache`."""
        return is_prepared(cls.prepared_dir(cache))

    @classmethod
    def changes(cls, data_dir: Path, cache: Path) -> str:
        """How the raw files differ from those that the arrays were prepared from, by names, sizes and times.

        "" if they do not, if they are absent, or if published checksums determine their content.
        """
        if cls.missing_files(data_dir):
            return ""
        return differences(read_states(cls.prepared_dir(cache)), cls.file_states(data_dir))

    @classmethod
    def is_current(cls, data_dir: Path, cache: Path) -> bool:
        """Whether the prepared arrays are under `cache`, and no change of the raw files is seen."""
        return cls.is_prepared(cache) and not cls.changes(data_dir, cache)

    @classmethod
    def prepare(cls, data_dir: Path, cache: Path, progress: ProgressCallback | None = None) -> Path:
        """Write the arrays and the manifest under `cache`, all or nothing, unless they are there and current.

        Args:
            data_dir: the data directory with the raw files.
            cache: the folder for prepared datasets.
            progress: receives the split, the number of images written and their total.

        Returns:
            The folder of the prepared arrays.

        Raises:
            UserError: if raw files are missing or damaged, or the disk is full.
        """
        target = cls.prepared_dir(cache)
        if not cls.is_current(data_dir, cache):
            problem = cls.missing_message(data_dir)
            if problem:
                raise UserError(problem)
            description = {"dataset": cls.name, "variant": cls.variant} | ({"note": cls.note} if cls.note else {})
            write_prepared(
                target,
                lambda: cls.read(data_dir),
                description | cls.describe_files(data_dir),
                states=cls.file_states(data_dir),
                is_current=lambda: cls.is_current(data_dir, cache),
                progress=progress,
            )
        return target


class BundledDataset(Dataset):
    """Images or points that come with an installed package or are generated."""

    is_bundled = True

    @classmethod
    def missing_files(cls, data_dir: Path) -> list[str]:
        """Always empty: a bundled dataset needs no raw files."""
        del data_dir
        return []
