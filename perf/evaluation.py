"""How long an evaluation with Inception takes, compared with torch-fidelity on the same images.

    python -m perf.evaluation --images 256 --metrics fid isc kid --json evaluation.json

Both sides evaluate the same uint8 images of 32x32 with the same network, whose weights are drawn from a seed, and must
agree on every value. `cold`: reference features are computed, too. `cached`: they were stored, by ours under a hash of
data, preprocessing and extractor, by torch-fidelity under a name. Both load the network anew each time, as the first
evaluation of a trial does; our later ones do not. `feature pass`: the network alone, on a batch of 64.

A few hundred images have a covariance of low rank, of which ours takes advantage. With 50,000 images the network takes
nearly all of the time. `end of a FID` is therefore timed separately, with covariances of full rank: ours uses the
stored factor of the real covariance, torch-fidelity eigenvalues, and pytorch-fid a matrix root.
"""

import argparse
import math
import os
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
from perf.images import Synthetic, torch_threads
from perf.result import add_json_option, format_range, format_speed_up, spread, write_result
from perf.seeded import seeded_inception

CPU = torch.device("cpu")
BATCH = 64  # the default of torch-fidelity and of our protocols
OURS, THEIRS, PYTORCH_FID = "ours", "torch-fidelity", "pytorch-fid"
# metric -> our key of each value -> torch-fidelity's
KEYS = {
    "fid": {"fid": "frechet_inception_distance"},
    "isc": {"isc": "inception_score_mean"},
    "kid": {"kid": "kernel_inception_distance_mean"},
    "prc": {"precision_inception": "precision", "recall_inception": "recall"},
}
# Tolerances of the comparison. A KID is near 0, and torch-fidelity computes it in float32.
RELATIVE, ABSOLUTE = 1e-3, 1e-6

Values = dict[str, float]
Sides = dict[str, Callable[[], Any]]
Seconds = dict[str, list[float]]  # by side, one number per repeat
Summary = dict[str, dict[str, dict[str, list[float]]]]  # by part and side


class ImageDataset(TorchDataset[Tensor]):
    """The input format of torch-fidelity."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (3, 32, 32)."""
        return self.images[index]


def synthetic_images(n: int, seed: int) -> np.ndarray:
    """uint8 (n, 3, 32, 32): square patches with sides of 2 ** seed pixels, in random colours."""
    rng = np.random.default_rng(seed)
    patch = 2**seed
    colours = rng.integers(0, 256, (n, 3, 32 // patch, 32 // patch), dtype=np.uint8)
    return colours.repeat(patch, 2).repeat(patch, 3)


class OurEvaluation:
    """The evaluation by a protocol, as a trial does it."""

    def __init__(self, metrics: list[str], fake: np.ndarray, real: np.ndarray, data_dir: Path) -> None:
        options = {"kid": {"subset_size": kid_subset_size(len(fake))}, "prc": {"extractor": Inception.name}}
        measures = {name: {"n_fake": len(fake), "options": options.get(name, {})} for name in metrics}
        self.protocol = Protocol.model_validate({"measures": measures})
        arrays = ArraySplit(real, np.zeros(len(real), np.int64))
        self.prepared = PreparedData(data_dir, arrays, arrays, {"dataset": "synthetic"})
        self.fake, self.data_dir = torch.from_numpy(fake), data_dir

    def assets(self, cache: Path) -> EvaluationAssets:
        """The evaluation networks and reference features, which are read from the cache if it has them."""
        return prepare_references(self.protocol, Synthetic, self.prepared, cache, self.data_dir)

    def evaluate_cold(self) -> Values:
        """Evaluate with an empty cache."""
        with tempfile.TemporaryDirectory() as cache:
            return self.evaluate(self.assets(Path(cache)))

    def evaluate(self, assets: EvaluationAssets) -> Values:
        """All metric values of the generated images."""
        return SampleEvaluator(self.protocol, assets, CPU).evaluate(torch.split(self.fake, BATCH)).values


class TorchFidelity:
    """The same evaluation by torch-fidelity."""

    def __init__(self, metrics: list[str], fake: np.ndarray, real: np.ndarray, weights: Path) -> None:
        self.metrics = metrics
        self.options: dict[str, Any] = {
            "input1": ImageDataset(fake),
            "input2": ImageDataset(real),
            "batch_size": BATCH,
            "feature_extractor": "inception-v3-compat",
            "feature_extractor_weights_path": str(weights),
            "feature_layer_prc": "2048",
            "kid_subset_size": kid_subset_size(len(fake)),
            "cuda": False,
            "save_cpu_ram": True,  # no workers: the images are in memory
            "verbose": False,
        } | dict.fromkeys(metrics, True)

    def evaluate(self, cache: Path | None) -> Values:
        """Evaluate with reference features cached in a folder, or without a cache."""
        from torch_fidelity import calculate_metrics

        caching = {"cache": True, "cache_root": str(cache), "input2_cache_name": "real"} if cache else {"cache": False}
        values = calculate_metrics(**self.options, **caching)
        return {key: float(values[name]) for metric in self.metrics for key, name in KEYS[metric].items()}


def kid_subset_size(n: int) -> int:
    """The usual subset size of KID, or `n` if there are fewer images."""
    return min(1000, n)


def time_evaluations(
    metrics: list[str], images: int, repeats: int, scratch: Path
) -> tuple[dict[str, Seconds], dict[str, Values]]:
    """Seconds of feature passes and of cold and cached evaluations, and the values of each side.

    Raises:
        AssertionError: if the two sides do not agree.
    """
    fake, real = synthetic_images(images, 1), synthetic_images(images, 2)
    with seeded_inception(scratch) as weights:
        ours, theirs = OurEvaluation(metrics, fake, real, scratch), TorchFidelity(metrics, fake, real, weights)
        (scratch / "cache").mkdir()
        assets = ours.assets(scratch / "cache")
        cached: Sides = {OURS: lambda: ours.evaluate(assets), THEIRS: lambda: theirs.evaluate(scratch / "theirs")}
        values = {side: evaluate() for side, evaluate in cached.items()}  # fills torch-fidelity's cache, too
        check_agreement(values[OURS], values[THEIRS])
        seconds = {
            "feature pass": time_alternating(feature_passes(weights), 3 * repeats),
            "cold": time_alternating({OURS: ours.evaluate_cold, THEIRS: lambda: theirs.evaluate(None)}, repeats),
            "cached": time_alternating(cached, repeats),
        }
    return seconds, values


def feature_passes(weights: Path) -> Sides:
    """The network of each side on one batch."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = torch.from_numpy(synthetic_images(BATCH, 3))
    ours = Inception(weights, CPU)
    theirs = FeatureExtractorInceptionV3("theirs", list(Inception.layers), feature_extractor_weights_path=weights)

    def torch_fidelity_pass() -> None:
        with torch.no_grad():
            theirs(images)

    return {OURS: lambda: ours(images), THEIRS: torch_fidelity_pass}


def check_agreement(ours: Values, theirs: Values) -> None:
    """Raise AssertionError if two values differ by more than rounding."""
    for key, value in theirs.items():
        if not math.isclose(ours.get(key, math.nan), value, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            raise AssertionError(f"the two sides measure different values: {ours} and {theirs}")


def time_frechet_distances(width: int, repeats: int) -> Seconds:
    """Seconds of the Fréchet distance of two Gaussians of full rank in `width` dimensions. All sides must agree."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 0.01, width)
    real, fake = (
        fit_gaussian((rng.normal(size=(width * 3 // 2, width)) * scales + shift).astype(np.float32))
        for shift in (0, 0.1)
    )
    factor, trace = covariance_factor(real), float(np.trace(real.covariance))
    stats = [{"mu": fitted.mean, "sigma": fitted.covariance} for fitted in (fake, real)]

    def with_matrix_root() -> float:
        squared_distance = np.square(real.mean - fake.mean).sum()
        root_trace = np.trace(sqrtm(fake.covariance @ real.covariance).real)
        return float(squared_distance + trace + np.trace(fake.covariance) - 2 * root_trace)

    sides: Sides = {
        OURS: lambda: {"fid": frechet_distance(real.mean, factor, trace, fake)},
        THEIRS: lambda: {"fid": fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]},
        PYTORCH_FID: lambda: {"fid": with_matrix_root()},
    }
    for side in (THEIRS, PYTORCH_FID):
        check_agreement(sides[OURS](), sides[side]())
    return time_alternating(sides, repeats)


def time_alternating(sides: Sides, repeats: int) -> Seconds:
    """Seconds of every side, once per repeat, in alternation, so that other load on the machine affects all of them.

    Ours keeps freed memory, as a trial does. The others benefit from the memory that this leaves in the heap.
    """
    seconds: Seconds = {side: [] for side in sides}
    for _ in range(repeats):
        for side, call in sides.items():
            with memory.keep_freed_memory() if side == OURS else nullcontext():
                start = time.perf_counter()
                call()
                seconds[side].append(time.perf_counter() - start)
    return seconds


def summarise(seconds: dict[str, Seconds]) -> Summary:
    """Minimum, median and maximum of each side's seconds, and of our speed-up over it within a repeat."""
    return {
        part: {
            side: {
                "seconds": spread(values),
                "speed_up": spread(other / ours for ours, other in zip(sides[OURS], values, strict=True)),
            }
            for side, values in sides.items()
        }
        for part, sides in seconds.items()
    }


def make_table(summary: Summary) -> Table:
    """The summary as a table."""
    table = Table("part", "implementation", "seconds, median", "range", "speed-up", box=None, pad_edge=False)
    for part, sides in summary.items():
        for side, numbers in sides.items():
            seconds = numbers["seconds"]
            speed_up = "" if side == OURS else format_speed_up(numbers["speed_up"])
            table.add_row(part, side, f"{seconds[1]:.2f}", format_range(seconds, 2), speed_up)
    return table


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time an evaluation, compared with torch-fidelity.")
    parser.add_argument("--images", type=int, default=256, help="number of generated and of real images")
    parser.add_argument("--metrics", nargs="+", choices=list(KEYS), default=["fid", "isc", "kid"])
    parser.add_argument("--width", type=int, default=Inception.width, help="dimensions of the Fréchet distance")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    load, threads = os.getloadavg(), options.threads
    with torch_threads(threads), threadpool_limits(threads), tempfile.TemporaryDirectory() as scratch:
        seconds, values = time_evaluations(options.metrics, options.images, options.repeats, Path(scratch))
        seconds["end of a FID"] = time_frechet_distances(options.width, options.repeats)
    summary = summarise(seconds)
    packages = ("scipy", "torch-fidelity")
    result = write_result(options, threads, packages, load=load, values=values, summary=summary, seconds=seconds)
    machine = result["environment"]
    console = Console(width=110)
    console.print(f"{machine['cpu']}, {machine['cores']} cores; {threads} threads", highlight=False)
    for key, value in values[OURS].items():
        console.print(f"{key}: {value:.8g}, torch-fidelity {values[THEIRS][key]:.8g}", highlight=False)
    console.print(make_table(summary))
    return result


if __name__ == "__main__":
    main()
