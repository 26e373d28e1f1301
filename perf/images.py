"""How fast training images reach the training loop, beside torchvision's usual way.

    python -m perf.images --json images.json

Ours is what a trial does: `Images.draw` from the prepared, mapped file, then `to_range`. Theirs is what everybody
writes: a dataset that makes a PIL image, `ToTensor`, `Normalize`, a shuffling `DataLoader`. Both give the same float32
(64, 3, 32, 32) batches in [-1, 1] with labels, from the same synthetic images, in one process. The ways take turns, so
that what else the machine does falls on all of them.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import BundledDataset
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import ImageSampler, to_range
from perf.result import kept

CLASSES = 10
WORKERS = (0, 2)
SETTLE = 0.2  # seconds in which workers fill their queues and come to rest
OURS = "Images.draw + to_range"

Batch = Callable[[], tuple[Tensor, Tensor | None]]  # the next images and labels


class Synthetic(BundledDataset):
    """Random pixels in the shape of CIFAR-10."""

    name, about, licence, source = "synthetic", "random pixels", "none", "a random generator"
    shape = (3, 32, 32)
    labels = CLASSES
    length = 50_000

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """The held-out split is one image: it is not measured."""
        del data_dir
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (cls.length, *cls.shape), dtype=np.uint8)
        labels = rng.integers(0, CLASSES, cls.length)
        return ArraySplit(images, labels), ArraySplit(images[:1], labels[:1]), {}


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """The same images as torchvision's datasets of this kind serve them: in memory, one PIL image at a time."""

    def __init__(self, arrays: ArraySplit) -> None:
        self.data = np.ascontiguousarray(arrays.images.transpose(0, 2, 3, 1))
        self.targets = arrays.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """float32 (3, 32, 32) in [-1, 1], and its label."""
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def ours(prepared: PreparedData, batch: int) -> Batch:
    """What a trial does in every turn."""
    images = ImageSampler(
        prepared.train.images, 1, torch.device("cpu"), labels=prepared.train.labels, num_labels=CLASSES
    )
    rng = torch.Generator().manual_seed(0)

    def following() -> tuple[Tensor, Tensor | None]:
        drawn = images.draw(batch, rng)
        return to_range(drawn.images, (-1.0, 1.0)), drawn.labels

    return following


def theirs(pictures: Pictures, batch: int, workers: int) -> Batch:
    """A DataLoader that begins the next epoch by itself."""
    loader = DataLoader(
        pictures, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epochs() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    stream = epochs()
    return lambda: next(stream)


def same_numbers(prepared: PreparedData, pictures: Pictures) -> bool:
    """Whether both sides make the same floats of the same image."""
    image = to_range(torch.from_numpy(np.array(prepared.train.images[:1])), (-1.0, 1.0))[0]
    return torch.allclose(image, pictures[0][0], atol=1e-6)


def rate(following: Batch, seconds: float, batch: int) -> float:
    """Images per second over so many seconds, after a few batches that are not counted: they may lie ready."""
    for _ in range(10):
        following()
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        following()
        count += 1
    return count * batch / spent


def measure(batch: int, repeats: int, seconds: float, length: int) -> dict[str, list[float]]:
    """Images per second of every way, once for each repeat, the ways in turn."""
    Synthetic.length = length
    with tempfile.TemporaryDirectory() as scratch:
        prepared = open_prepared(Synthetic.prepare(Path(scratch), Path(scratch)))
        pictures = Pictures(prepared.train)
        if not same_numbers(prepared, pictures):
            raise AssertionError("the two sides make different numbers of the same image")
        ways = {OURS: ours(prepared, batch)}
        ways |= {f"DataLoader, {n} workers": theirs(pictures, batch, n) for n in WORKERS}
        for following in ways.values():
            rate(following, seconds, batch)  # warm-up: pages, workers, allocator
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, following in ways.items():
                time.sleep(SETTLE)
                rates[way].append(rate(following, seconds, batch))
    return rates


def summary(rates: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    """Lowest, median and highest rate of every way, and how many times as fast ours was in the same repeat."""
    found = {}
    for way, values in rates.items():
        ratios = [one / other for one, other in zip(rates[OURS], values, strict=True)]
        found[way] = {"images_per_second": _spread(values), "times": _spread(ratios)}
    return found


def _spread(values: list[float]) -> list[float]:
    return [min(values), statistics.median(values), max(values)]


def table(found: dict[str, dict[str, list[float]]]) -> Table:
    """The summary for people."""
    shown = Table("way", "images/s, median", "lowest to highest", "ours is faster by", box=None, pad_edge=False)
    for way, numbers in found.items():
        low, median, high = numbers["images_per_second"]
        least, times, most = numbers["times"]
        faster = "" if way == OURS else f"{times:.1f} times ({least:.1f} to {most:.1f})"
        shown.add_row(way, f"{median:,.0f}", f"{low:,.0f} to {high:,.0f}", faster)
    return shown


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads in this process, as a trial has."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Images per second, ours and torchvision's way.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=Synthetic.length, help="how many images there are")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in each repeat")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(arguments)
    with threads(options.threads):
        rates = measure(options.batch, options.repeats, options.seconds, options.images)
    found = summary(rates)
    result = kept(options, options.threads, ["pillow"], summary=found, images_per_second=rates)
    machine = result["environment"]
    Console().print(
        f"{machine['cpu']}, {machine['cores']} cores; torch {machine['packages']['torch']}", highlight=False
    )
    Console(width=110).print(table(found))
    return result


if __name__ == "__main__":
    main()
