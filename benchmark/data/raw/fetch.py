"""Which datasets can be downloaded, from where, and what to type when files are missing.

Addresses and checksums are those of torchvision's dataset classes. Its own downloader begins anew when it is cut off,
so ours takes its place.
"""

from collections.abc import Callable
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.data.base import Dataset
from benchmark.data.raw.download import Download, ProgressCallback, download
from benchmark.data.raw.sources import raw_dir, required_files


def mnist() -> list[Download]:
    """The four IDX files."""
    from torchvision.datasets import MNIST

    return [Download(name, md5, tuple(f"{url}{name}" for url in MNIST.mirrors)) for name, md5 in MNIST.resources]


def cifar10() -> list[Download]:
    """One archive."""
    from torchvision.datasets import CIFAR10

    return [Download(CIFAR10.filename, CIFAR10.tgz_md5, (CIFAR10.url,))]


def cifar100() -> list[Download]:
    """One archive."""
    from torchvision.datasets import CIFAR100

    return [Download(CIFAR100.filename, CIFAR100.tgz_md5, (CIFAR100.url,))]


def svhn() -> list[Download]:
    """A MATLAB file for each split."""
    from torchvision.datasets import SVHN

    return [Download(name, md5, (url,)) for url, name, md5 in (SVHN.split_list[split] for split in ("train", "test"))]


def stl10() -> list[Download]:
    """One archive."""
    from torchvision.datasets import STL10

    return [Download(STL10.filename, STL10.tgz_md5, (STL10.url,))]


def tiny_imagenet() -> list[Download]:
    """One archive. torchvision has no class for it; the MD5 is that of public loaders."""
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    return [Download("tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", (url,))]


# by the folder in which a dataset is at home; CelebA is offered by Google Drive only, which refuses programs, and
# ImageNet and LSUN want a registration or tools of their own
DOWNLOADS: dict[str, Callable[[], list[Download]]] = {
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "stl10": stl10,
    "tiny_imagenet": tiny_imagenet,
}


def is_downloadable(dataset: type[Dataset]) -> bool:
    """Whether a program may download its raw files."""
    return raw_dir(dataset.name) in DOWNLOADS


def fetch(dataset: type[Dataset], data_dir: Path, heard: ProgressCallback | None = None) -> Path | None:
    """Download the raw files of a dataset into its folder under `data_dir`; None when nothing is lacking.

    Raises UserError, with what to put where, when the dataset cannot be downloaded or a download fails.
    """
    by_hand = dataset.missing_files(data_dir)
    if by_hand is None:
        return None
    place = raw_dir(dataset.name)
    if place not in DOWNLOADS:
        raise UserError(f"{dataset.name} cannot be downloaded by a program.\n{by_hand}")
    folder = data_dir / place
    try:
        for wanted in DOWNLOADS[place]():
            download(wanted, folder, heard)
    except UserError as error:
        raise UserError(f"{error}\nWhat came so far is kept; try again, or:\n{by_hand}") from None
    return folder


def acquisition_hint(dataset: type[Dataset], options: str) -> str:
    """What to type to get the raw files, with these options; nothing for files that have no names to look for."""
    if not required_files(dataset.name):
        return ""
    command = "python -m benchmark datasets"
    lines = [f"  {command} import {dataset.name} PATH{options}", "    takes them from where you have them"]
    if is_downloadable(dataset):
        lines = [f"  {command} fetch {dataset.name}{options}", "    downloads them", *lines]
    return "\n".join(["", "Or type:", *lines])
