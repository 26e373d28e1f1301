"""How fast training images reach the training loop, compared with torchvision's usual way.

    python -m perf.images --json images.json

A trial uses `ImageSampler.draw` on the prepared, memory-mapped file, then `to_range`. The usual way is a dataset that
makes a PIL image, `ToTensor`, `Normalize` and a shuffling `DataLoader`. Both give the same float32 (64, 3, 32, 32)
batches in [-1, 1] with labels, from the same synthetic images, in one process. The sides alternate, so that other load
on the machine affects all of them.
"""

import argparse
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
from perf.result import add_json_option, format_range, format_speed_up, spread, write_result

NUM_CLASSES = 10
WORKERS = (0, 2)
SETTLE_SECONDS = 0.2  # for workers to fill their queues
OURS = "ImageSampler.draw + to_range"

NextBatch = Callable[[], tuple[Tensor, Tensor | None]]  # returns images and labels


class Synthetic(BundledDataset):
    """Random pixels in the shape of CIFAR-10."""

    name, about, licence, source = "synthetic", "random pixels", "none", "a random generator"
    shape = (3, 32, 32)
    labels = NUM_CLASSES
    length = 50_000

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        """Random training images. The held-out split, which is not measured, is a single image."""
        del data_dir
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (cls.length, *cls.shape), dtype=np.uint8)
        labels = rng.integers(0, NUM_CLASSES, cls.length)
        return ArraySplit(images, labels), ArraySplit(images[:1], labels[:1]), {}


class PILDataset(TorchDataset[tuple[Tensor, int]]):
    """The same images, served as torchvision's datasets do: held in memory, one PIL image at a time."""

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


def sampler_batches(prepared: PreparedData, batch: int) -> NextBatch:
    """Batches as a trial draws them in each step."""
    sampler = ImageSampler(
        prepared.train.images, 1, torch.device("cpu"), labels=prepared.train.labels, num_labels=NUM_CLASSES
    )
    rng = torch.Generator().manual_seed(0)

    def next_batch() -> tuple[Tensor, Tensor | None]:
        drawn = sampler.draw(batch, rng)
        return to_range(drawn.images, (-1.0, 1.0)), drawn.labels

    return next_batch


def loader_batches(dataset: PILDataset, batch: int, workers: int) -> NextBatch:
    """Batches of a `DataLoader` that starts the next epoch automatically."""
    loader = DataLoader(
        dataset, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epochs() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    stream = epochs()
    return lambda: next(stream)


def have_equal_values(prepared: PreparedData, dataset: PILDataset) -> bool:
    """Whether both sides convert the first image to the same floats."""
    image = to_range(torch.from_numpy(np.array(prepared.train.images[:1])), (-1.0, 1.0))[0]
    return torch.allclose(image, dataset[0][0], atol=1e-6)


def images_per_second(next_batch: NextBatch, seconds: float, batch: int) -> float:
    """The rate over at least `seconds`. Ten batches before that are not counted, because they may be prefetched."""
    for _ in range(10):
        next_batch()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next_batch()
        count += 1
    return count * batch / elapsed


def measure(batch: int, repeats: int, seconds: float, length: int) -> dict[str, list[float]]:
    """Images per second of every side, once per repeat, in alternation."""
    Synthetic.length = length
    with tempfile.TemporaryDirectory() as scratch:
        prepared = open_prepared(Synthetic.prepare(Path(scratch), Path(scratch)))
        dataset = PILDataset(prepared.train)
        if not have_equal_values(prepared, dataset):
            raise AssertionError("the two sides convert the same image to different numbers")
        sides = {OURS: sampler_batches(prepared, batch)}
        sides |= {f"DataLoader, {workers} workers": loader_batches(dataset, batch, workers) for workers in WORKERS}
        for next_batch in sides.values():
            images_per_second(next_batch, seconds, batch)  # warm-up: pages, workers, allocator
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(repeats):
            for side, next_batch in sides.items():
                time.sleep(SETTLE_SECONDS)
                rates[side].append(images_per_second(next_batch, seconds, batch))
    return rates


def summarise(rates: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    """Minimum, median and maximum of each side's rate, and of our speed-up over it within a repeat."""
    return {
        side: {
            "images_per_second": spread(values),
            "speed_up": spread(ours / other for ours, other in zip(rates[OURS], values, strict=True)),
        }
        for side, values in rates.items()
    }


def make_table(summary: dict[str, dict[str, list[float]]]) -> Table:
    """The summary as a table."""
    table = Table("implementation", "images/s, median", "range", "speed-up", box=None, pad_edge=False)
    for side, numbers in summary.items():
        rates = numbers["images_per_second"]
        speed_up = "" if side == OURS else format_speed_up(numbers["speed_up"], 1)
        table.add_row(side, f"{rates[1]:,.0f}", format_range(rates, 0), speed_up)
    return table


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure images per second, compared with a torchvision DataLoader.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=Synthetic.length, help="size of the dataset")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="per side and repeat")
    parser.add_argument("--threads", type=int, default=1)
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    with torch_threads(options.threads):
        rates = measure(options.batch, options.repeats, options.seconds, options.images)
    summary = summarise(rates)
    result = write_result(options, options.threads, ["pillow"], summary=summary, images_per_second=rates)
    machine = result["environment"]
    Console().print(
        f"{machine['cpu']}, {machine['cores']} cores; torch {machine['packages']['torch']}", highlight=False
    )
    Console(width=110).print(make_table(summary))
    return result


if __name__ == "__main__":
    main()
