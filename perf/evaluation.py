"""How long a measurement through Inception takes, beside torch-fidelity's on the same images.

    python -m perf.evaluation --images 256 --metrics fid isc kid --json evaluation.json

Both sides look at the same 8-bit images of 32x32 through the same network, with weights drawn from a seed, and must
agree on every number. `cold`: what is known of the real images is worked out, too. `cached`: it was kept, by ours under
a hash of data, preprocessing and extractor, by theirs under a name. Each time both open the network anew, as the first
measurement of a trial does; later ones of ours need not. `look`: the network alone, a batch of 64.

With a few hundred images a covariance does not have full rank, and ours is done with it in no time. With 50,000 the
network takes nearly all time, and the end of a FID as much as is measured here by itself, on features of full rank:
from the kept factor, beside the eigenvalues that torch-fidelity takes and the matrix root that pytorch-fid takes.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.linalg import sqrtm
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from benchmark.core import memory
from benchmark.core.spec import Protocol
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.metrics.fid import covariance_factor, fit_gaussian, frechet_distance
from benchmark.evaluation.references import EvaluationAssets, prepare_references
from benchmark.evaluation.sample_evaluator import SampleEvaluator
from perf.images import Synthetic, threads
from perf.result import kept
from perf.seeded import seeded_inception

CPU = torch.device("cpu")
BATCH = 64  # torch-fidelity's default, and that of our protocols
OURS, THEIRS, PYTORCH_FID = "ours", "torch-fidelity", "pytorch-fid"
# metric -> our key of each number -> theirs
KEYS = {
    "fid": {"fid": "frechet_inception_distance"},
    "isc": {"isc": "inception_score_mean"},
    "kid": {"kid": "kernel_inception_distance_mean"},
    "prc": {"precision_inception": "precision", "recall_inception": "recall"},
}
# More than that, and the two do not measure the same. A KID is near 0, and theirs is worked out in float32.
RELATIVE, ABSOLUTE = 1e-3, 1e-6

Numbers = dict[str, float]
Ways = dict[str, Callable[[], Any]]  # side -> what it does
Seconds = dict[str, list[float]]  # side -> a number for each repeat


class Pictures(TorchDataset[Tensor]):
    """What torch-fidelity takes."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (3, 32, 32)."""
        return self.images[index]


def pictures(n: int, seed: int) -> np.ndarray:
    """uint8 (n, 3, 32, 32): patches of a size that depends on the seed, in colours of their own."""
    rng = np.random.default_rng(seed)
    patch = 2**seed
    colours = rng.integers(0, 256, (n, 3, 32 // patch, 32 // patch), dtype=np.uint8)
    return colours.repeat(patch, 2).repeat(patch, 3)


class Ours:
    """A protocol's measurement, as a trial takes it."""

    def __init__(self, metrics: list[str], fake: np.ndarray, real: np.ndarray, data_dir: Path) -> None:
        own = {"kid": {"subset_size": subset(len(fake))}, "prc": {"extractor": Inception.name}}
        measures = {name: {"n_fake": len(fake), "options": own.get(name, {})} for name in metrics}
        self.protocol = Protocol.model_validate({"measures": measures})
        arrays = ArraySplit(real, np.zeros(len(real), np.int64))
        self.prepared = PreparedData(data_dir, arrays, arrays, {"dataset": "made up"})
        self.fake, self.data_dir = torch.from_numpy(fake), data_dir

    def instruments(self, cache: Path) -> EvaluationAssets:
        """What is known of the real images, from the cache where it lies there."""
        return prepare_references(self.protocol, Synthetic, self.prepared, cache, self.data_dir)

    def cold(self) -> Numbers:
        """With nothing in the cache."""
        with tempfile.TemporaryDirectory() as cache:
            return self.measured(self.instruments(Path(cache)))

    def measured(self, instruments: EvaluationAssets) -> Numbers:
        """All numbers of the generated images."""
        return SampleEvaluator(self.protocol, instruments, CPU).evaluate(torch.split(self.fake, BATCH)).values


class Theirs:
    """torch-fidelity's measurement of the same."""

    def __init__(self, metrics: list[str], fake: np.ndarray, real: np.ndarray, weights: Path) -> None:
        self.metrics = metrics
        self.options: dict[str, Any] = {
            "input1": Pictures(fake),
            "input2": Pictures(real),
            "batch_size": BATCH,
            "feature_extractor": "inception-v3-compat",
            "feature_extractor_weights_path": str(weights),
            "feature_layer_prc": "2048",
            "kid_subset_size": subset(len(fake)),
            "cuda": False,
            "save_cpu_ram": True,  # no workers: images lie in memory
            "verbose": False,
        } | dict.fromkeys(metrics, True)

    def measured(self, cache: Path | None) -> Numbers:
        """With what it keeps of the real images under `cache`, or nothing kept."""
        from torch_fidelity import calculate_metrics

        kept = {"cache": True, "cache_root": str(cache), "input2_cache_name": "real"} if cache else {"cache": False}
        said = calculate_metrics(**self.options, **kept)
        return {key: float(said[name]) for metric in self.metrics for key, name in KEYS[metric].items()}


def subset(n: int) -> int:
    """Images in a subset of KID: a thousand, where there are as many."""
    return min(1000, n)


def whole_measurements(
    metrics: list[str], images: int, repeats: int, scratch: Path
) -> tuple[dict[str, Seconds], dict[str, Numbers]]:
    """Seconds of cold and cached measurements and of a look, and what each side measured.

    Raises AssertionError when the two do not agree.
    """
    fake, real = pictures(images, 1), pictures(images, 2)
    with seeded_inception(scratch) as weights:
        ours, theirs = Ours(metrics, fake, real, scratch), Theirs(metrics, fake, real, weights)
        (scratch / "cache").mkdir()
        instruments = ours.instruments(scratch / "cache")
        numbers = {OURS: ours.measured(instruments), THEIRS: theirs.measured(scratch / "theirs")}  # fills both caches
        must_agree(numbers[OURS], numbers[THEIRS])
        cached: Ways = {
            OURS: lambda: ours.measured(instruments),
            THEIRS: lambda: theirs.measured(scratch / "theirs"),
        }
        found = {
            "look": in_turn(looks(weights), 3 * repeats),
            "cold": in_turn({OURS: ours.cold, THEIRS: lambda: theirs.measured(None)}, repeats),
            "cached": in_turn(cached, repeats),
        }
    return found, numbers


def looks(weights: Path) -> Ways:
    """The network of either side on one batch."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = torch.from_numpy(pictures(BATCH, 3))
    ours = Inception(weights, CPU)
    theirs = FeatureExtractorInceptionV3("theirs", list(Inception.layers), feature_extractor_weights_path=weights)

    def look() -> None:
        with torch.no_grad():
            theirs(images)

    return {OURS: lambda: ours(images), THEIRS: look}


def must_agree(ours: Numbers, theirs: Numbers) -> None:
    """Raises AssertionError when a difference is no rounding."""
    agree = (math.isclose(ours.get(key, math.nan), theirs[key], rel_tol=RELATIVE, abs_tol=ABSOLUTE) for key in theirs)
    if not all(agree):
        raise AssertionError(f"the two sides do not measure the same: {ours} and {theirs}")


def ends(width: int, repeats: int) -> Seconds:
    """Seconds of the end of a FID in so many dimensions, from Gaussians of full rank. They must agree."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 0.01, width)
    real, fake = (
        fit_gaussian((rng.normal(size=(width * 3 // 2, width)) * scales + shift).astype(np.float32))
        for shift in (0, 0.1)
    )
    kept, trace = covariance_factor(real), float(np.trace(real.covariance))
    stats = [{"mu": fitted.mean, "sigma": fitted.covariance} for fitted in (fake, real)]

    def root() -> float:
        apart = np.square(real.mean - fake.mean).sum()
        shared = np.trace(sqrtm(fake.covariance @ real.covariance).real)
        return float(apart + trace + np.trace(fake.covariance) - 2 * shared)

    ways: Ways = {
        OURS: lambda: {"fid": frechet_distance(real.mean, kept, trace, fake)},
        THEIRS: lambda: {"fid": fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]},
        PYTORCH_FID: lambda: {"fid": root()},
    }
    for side in (THEIRS, PYTORCH_FID):
        must_agree(ways[OURS](), ways[side]())
    return in_turn(ways, repeats)


def in_turn(ways: Ways, repeats: int) -> Seconds:
    """Seconds of every way, once for each repeat. They take turns, so that what else the machine does hits all.

    Ours keeps freed memory, as a trial does. Theirs gains from what then lies in the heap, though less than by keeping.
    """
    found: Seconds = {side: [] for side in ways}
    for _ in range(repeats):
        for side, way in ways.items():
            with memory.keep_freed_memory() if side == OURS else nullcontext():
                start = time.perf_counter()
                way()
                found[side].append(time.perf_counter() - start)
    return found


def summary(seconds: dict[str, Seconds]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Lowest, median and highest seconds, and how many times as long as ours a side took in the same repeat."""
    return {
        part: {
            side: {
                "seconds": _spread(values),
                "times": _spread([other / one for one, other in zip(sides[OURS], values, strict=True)]),
            }
            for side, values in sides.items()
        }
        for part, sides in seconds.items()
    }


def _spread(values: list[float]) -> list[float]:
    return [min(values), statistics.median(values), max(values)]


def table(found: dict[str, dict[str, dict[str, list[float]]]]) -> Table:
    """The summary for people."""
    shown = Table("part", "side", "seconds, median", "lowest to highest", "ours is faster by", box=None, pad_edge=False)
    for part, sides in found.items():
        for side, numbers in sides.items():
            low, median, high = numbers["seconds"]
            least, times, most = numbers["times"]
            faster = "" if side == OURS else f"{times:.2f} times ({least:.2f} to {most:.2f})"
            shown.add_row(part, side, f"{median:.2f}", f"{low:.2f} to {high:.2f}", faster)
    return shown


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Seconds of a measurement, ours and torch-fidelity's.")
    parser.add_argument("--images", type=int, default=256, help="of each kind")
    parser.add_argument("--metrics", nargs="+", choices=list(KEYS), default=["fid", "isc", "kid"])
    parser.add_argument("--width", type=int, default=Inception.width, help="dimensions of the end of a FID")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    count = options.threads
    with threads(count), threadpool_limits(count), tempfile.TemporaryDirectory() as scratch:
        seconds, numbers = whole_measurements(options.metrics, options.images, options.repeats, Path(scratch))
        seconds["end of a FID"] = ends(options.width, options.repeats)
    found = summary(seconds)
    packages = ("scipy", "torch-fidelity")
    result = kept(options, options.threads, packages, load=load, numbers=numbers, summary=found, seconds=seconds)
    machine = result["environment"]
    console = Console(width=110)
    console.print(f"{machine['cpu']}, {machine['cores']} cores; {options.threads} threads", highlight=False)
    for key, value in numbers[OURS].items():
        console.print(f"{key}: {value:.8g}, by torch-fidelity {numbers[THEIRS][key]:.8g}", highlight=False)
    console.print(table(found))
    return result


if __name__ == "__main__":
    main()
