"""The dataset contract, and how a dataset is prepared once and opened many times."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import UserError
from benchmark.core.spec import content_hash
from benchmark.data.arrays import Shape, Split
from benchmark.data.prepared import ProgressCallback, is_prepared, write_prepared

UNKNOWN_CLASSES = -1


class Dataset(ABC):
    """A source of training images. `shape` is (C, H, W) of what a GAN sees."""

    name: ClassVar[str]
    about: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    shape: ClassVar[Shape]
    stacked: ClassVar[int] = 1  # how many single-channel images make one training image
    num_fixed_stacks: ClassVar[int] = (
        0  # how many stacks there are, the same for all trials; 0: they are drawn on the fly
    )
    num_labels: ClassVar[int] = 0  # of how many classes the stored images are; 0: of none; UNTOLD: the files will tell
    split_names: ClassVar[dict[str, str]] = {}  # what published protocols call its `train` or `test`, where not so
    preprocessing: ClassVar[str] = (
        ""  # what is cut out of the source's pictures, where published protocols differ in it
    )
    is_bundled: ClassVar[bool] = False  # whether it needs no files of anybody's: `run` then prepares it by itself
    is_synthetic: ClassVar[bool] = False  # whether its images are made up, to try things out
    has_digits: ClassVar[bool] = False  # whether every channel is a grey handwritten digit
    note: ClassVar[str] = ""  # what a reader of its results must know: that no checksum was published, say
    variant: ClassVar[str] = "1"  # raised when the preparation changes, so that old arrays are not taken

    @classmethod
    def num_classes(cls) -> int:
        """Of how many classes a training image can be: of as many for each image that is stacked.

        UNTOLD where that is known only when the images are read; then the manifest has it, under `classes`.
        """
        return (
            UNKNOWN_CLASSES
            if cls.num_labels == UNKNOWN_CLASSES
            else cls.num_labels**cls.stacked
            if cls.num_labels
            else 0
        )

    @classmethod
    @abstractmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        """Which files are missing under `data_dir` and how to get them; None when all are there."""

    @classmethod
    @abstractmethod
    def read(cls, data_dir: Path) -> tuple[Split, Split, dict[str, str]]:
        """Train and test images from the raw files, and the checksum of each source.

        Raises UserError naming the file when one is missing or damaged.
        """

    @classmethod
    def prepared_dir(cls, cache: Path) -> Path:
        """Where the prepared arrays stand under `cache`."""
        return cache / f"{cls.name}-{content_hash([cls.name, cls.variant])}"

    @classmethod
    def is_prepared(cls, cache: Path) -> bool:
        """Whether `prepare` has done its work before."""
        return is_prepared(cls.prepared_dir(cache))

    @classmethod
    def prepare(cls, data_dir: Path, cache: Path, told: ProgressCallback | None = None) -> Path:
        """Write the arrays and a manifest under `cache`, atomically, unless they are there. Returns the folder.

        `told` hears how many images of a split are done.
        """
        target = cls.prepared_dir(cache)
        if not cls.is_prepared(cache):
            problem = cls.missing_files(data_dir)
            if problem:
                raise UserError(problem)
            about = {"dataset": cls.name, "variant": cls.variant} | ({"note": cls.note} if cls.note else {})
            write_prepared(target, lambda: cls.read(data_dir), about, told)
        return target


class BundledDataset(Dataset):
    """Images that come with a package or are made: nobody has to get them."""

    is_bundled = True

    @classmethod
    def missing_files(cls, data_dir: Path) -> None:
        """Never."""
        del data_dir
