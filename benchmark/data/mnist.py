"""MNIST: single handwritten digits, LeCun, Cortes and Burges."""

from pathlib import Path

from benchmark.data.base import Arrays, Dataset
from benchmark.data.idx import LICENCE, SOURCE, missing_mnist, read_mnist


class MNIST(Dataset):
    """The official 60,000 training digits, all of them, and 10,000 held out."""

    name = "mnist"
    about = "70,000 handwritten digits, grey, 28x28, 60,000 of them for training"
    licence = LICENCE
    source = SOURCE
    shape = (1, 28, 28)
    labels = 10
    digits = True

    @classmethod
    def missing(cls, data_dir: Path) -> str | None:
        """The IDX files that are not under `data_dir`, and where to put them."""
        return missing_mnist(cls.name, data_dir)

    @classmethod
    def read(cls, data_dir: Path) -> tuple[Arrays, Arrays, dict[str, str]]:
        """All four files, checked against the official checksums."""
        return read_mnist(cls.name, data_dir)
