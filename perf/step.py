"""How fast a training step is, beside a straightforward eager loop.

    python -m perf.step --case ssgan_resnet32 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --steps 100 --device cuda --json step.json

Ours is what a trial does, `Trainer.train_until`, once for each precision asked for, and on a GPU once more with every
turn captured as a graph; theirs is perf/plain.py, strictly in float32. All train
on the same synthetic images in one process, from the same weights, and take turns of a few steps, so that what else
the machine does falls on all of them; a ratio is of neighbouring turns. The limits are measured in the same process:
what matrix products and convolutions of a good size reach in each precision. Floating-point operations are those that
torch counts of a side's own step: the plain loop needs more of them for the same result.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmark import environment, timing, trial
from benchmark.capture import EAGER_TURNS
from benchmark.precision import rounding
from benchmark.spec import REFERENCE, Precision, TrialSpec
from benchmark.training import Trainer, to_range
from perf import plain
from perf.result import kept

PLAIN = "plain"
STEPS = 10**6  # of which nobody trains all
GRAPHS = ", graphs"  # after the precision, in the name of a side
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
DEFAULTS: dict[str, list[Precision]] = {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "tf32", "bfloat16"]}
CPU = torch.device("cpu")

Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """A recipe: fields of its trials, and the plain loop, which takes the width of the nets where it is not theirs."""

    fields: dict[str, Any]
    shape: tuple[int, int, int]
    plain: Callable[..., plain.Plain]


def _plain_ssgan(width: int = 64) -> plain.Plain:
    return plain.PlainSSGAN(4 * width, 2 * width)


def _plain_stacked_mnist(width: int = 64) -> plain.Plain:
    del width  # the nets are as narrow as they are
    return plain.PlainDistGANMS()


SSGAN = {
    "method": "ssgan",
    "options": {"game": "hinge", "batches": "quarters"},
    "network": "sngan_resnet",
    "network_options": {},
    "dataset": "cifar10",
    "latent": {"dim": 128, "distribution": "normal"},
    "optimizer": {"lr": 2e-4, "betas": [0.0, 0.9], "schedule": "linear"},
}
K4 = {
    "method": "dist_gan_ms",
    "options": {
        **{"loss": "log", "lambda_p": 0.5, "lambda_r": 0.01, "encoder_updates_generator": True},
        **{"weight_d": 0.5, "weight_g": 0.2},
    },
    "network": "msgan_stacked_mnist",
    "network_options": {"k": 4},
    "dataset": "stacked_mnist",
    "latent": {"dim": 256, "distribution": "uniform"},
    "optimizer": {"lr": 2e-4, "betas": [0.5, 0.9]},
}
CASES = {
    "ssgan_resnet32": Case(SSGAN, (3, 32, 32), _plain_ssgan),
    "stacked_mnist_k4": Case(K4, (3, 28, 28), _plain_stacked_mnist),
}


def trainer(
    case: Case,
    precision: Precision,
    batch: int,
    width: int | None = None,
    device: torch.device = CPU,
    graphs: bool = False,
) -> Trainer:
    """Ours, on made-up images, with narrow nets where a width is given."""
    options = dict(case.fields["network_options"])
    if width and not options:
        options = {"generator_width": width, "discriminator_width": width}
    protocol = {"measures": {"modes": {"n_fake": 1}}}
    spec = TrialSpec.model_validate(
        case.fields
        | {"network_options": options, "precision": precision, "batch_size": batch}
        | {"steps": STEPS, "protocol": protocol, "seed": 0}
    )
    return trial.build(spec, timing.made_up(spec.dataset), device, graphs)


def our_step(ours: Trainer) -> Step:
    """One step of a trial. Raises RuntimeError where turns should be captured and cannot be."""
    steps = ours.train_until(STEPS)
    if ours.graphs:
        for _ in range(EAGER_TURNS + 1):  # until all of them are
            next(steps)
    if ours.uncaptured:
        raise RuntimeError(f"no graphs to be measured: {ours.uncaptured}")
    return lambda: [next(steps)].clear()


def plain_step(case: Case, batch: int, width: int | None, device: torch.device) -> Step:
    """One step of the plain loop, from our weights, on images drawn from the same made-up ones."""
    ours = trainer(case, REFERENCE, batch, width, device)
    theirs = (case.plain(width) if width else case.plain()).to(device)
    plain.same_weights(theirs, ours.method)
    settings = ours.spec.optimizer
    theirs.start(settings.lr, settings.betas, seed=0)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        with rounding(REFERENCE, device):
            theirs.step(to_range(ours.images.draw(batch, rng).images, ours.image_range))

    return step


def sides_of(
    case: Case, precisions: list[Precision], batch: int, width: int | None, device: torch.device = CPU
) -> dict[str, Step]:
    """All ways to do a step, the plain one first; on a GPU those with graphs last."""
    sides = {PLAIN: plain_step(case, batch, width, device)}
    for graphs in (False, True) if device.type == "cuda" else (False,):
        for precision in precisions:
            ours = trainer(case, precision, batch, width, device, graphs)
            sides[precision + GRAPHS * graphs] = our_step(ours)
    return sides


def eager(side: str) -> str:
    """The side that does the same without graphs."""
    return side.removesuffix(GRAPHS)


def precision_of(side: str) -> str:
    """In which a side trains."""
    return REFERENCE if side == PLAIN else eager(side)


def measure(sides: dict[str, Step], turns: int, steps: int, device: torch.device = CPU) -> dict[str, list[float]]:
    """Seconds of a step, of every side once for each turn, after a turn that warms up."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(1 + turns):
        for side, step in sides.items():
            trial.wait_for(device)
            start = time.perf_counter()
            for _ in range(steps):
                step()
            trial.wait_for(device)
            if turn:
                seconds[side].append((time.perf_counter() - start) / steps)
    return seconds


def counts(sides: dict[str, Step]) -> dict[str, int]:
    """Floating-point operations of each side's step. A replay hides its own: they are those of the eager side."""
    found = {side: counted(step) for side, step in sides.items() if side == eager(side)}
    return {side: found[eager(side)] for side in sides}


def counted(step: Step) -> int:
    """Floating-point operations of a step, in convolutions and matrix products; a product and its sum are two."""
    counter = _Counter()  # type: ignore[no-untyped-call]
    with counter:
        step()
    return int(counter.total)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """By torch's own formulas. torch's FlopCounterMode follows modules too, and fails where a loss holds a gradient."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula:
            self.total += int(formula(*args, **(kwargs or {}), out_val=out))
        return out


GROUPS = {
    "convolutions": ("aten::mkldnn_convolution", "aten::_convolution", "aten::convolution", "aten::thnn_conv2d"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::addmv", "aten::mv", "aten::dot"),
    "batch norm": ("aten::native_batch_norm", "aten::_native_batch_norm"),
    "pooling and interpolation": ("aten::avg_pool2d", "aten::upsample", "aten::replication_pad2d"),
    "copies, padding, turns": (
        "aten::copy_",
        "aten::cat",
        "aten::flip",
        "aten::fill_",
        "aten::index",
        "aten::constant",
    ),
    "optimiser": ("aten::_fused_adam_", "aten::addcdiv", "aten::addcmul", "aten::lerp"),
}
OTHER = "everything else"


def group_of(operation: str) -> str:
    """The group that an operation of the profiler belongs to, its backward included."""
    return next((group for group, names in GROUPS.items() if operation.startswith(names)), OTHER)


def profiled(step: Step, device: torch.device = CPU) -> dict[str, float]:
    """Share of a step's time by group of operations: of the device's time, which on a GPU is not the host's."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        step()
        trial.wait_for(device)
    times = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for event in found.key_averages():
        if event.device_type.name == "CPU":  # an operation, with what it took on a GPU; and no kernel of its own
            times[group_of(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    total = sum(times.values())
    return {group: spent / total for group, spent in times.items()}


def limits(
    precisions: list[Precision], repeats: int, size: int, device: torch.device = CPU
) -> dict[str, dict[str, float]]:
    """GFLOP/s that a large matrix product and a 3x3 convolution of 4 `size` / 32 maps reach; the best of repeats."""
    found: dict[str, dict[str, float]] = {}
    for name in precisions:
        like: Any = {"dtype": DTYPES[name], "device": device}
        square = torch.randn(size, size, **like)
        maps = size // 4
        x = torch.randn(16, maps, 16, 16, **like).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(maps, maps, 3, 3, **like)
        with rounding(name, device):
            found[name] = {
                "matrix product": _best(partial(torch.matmul, square, square), 2 * size**3, repeats),
                "convolution": _best(partial(F.conv2d, x, weight, padding=1), 18 * 16 * 256 * maps**2, repeats),
            }
    return found


def _best(work: Callable[[], Tensor], operations: int, repeats: int) -> float:
    """GFLOP/s of the fastest repeat."""
    seconds = []
    with torch.no_grad():
        device = work().device
        for _ in range(repeats):
            trial.wait_for(device)
            start = time.perf_counter()
            work()
            trial.wait_for(device)
            seconds.append(time.perf_counter() - start)
    return operations / min(seconds) / 1e9


def summary(seconds: dict[str, list[float]], operations: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Of every side: seconds and how many times as fast as the plain loop, lowest, median and highest; GFLOP/s."""
    found = {}
    for side, values in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(seconds[PLAIN], values, strict=True)]
        middle = statistics.median(values)
        found[side] = {
            "seconds": [min(values), middle, max(values)],
            "times": [min(ratios), statistics.median(ratios), max(ratios)],
            "gflop": operations[side] / 1e9,
            "gflop_per_second": operations[side] / middle / 1e9,
        }
    return found


def table(found: dict[str, dict[str, Any]], limit: dict[str, dict[str, float]]) -> Table:
    """The summary for people."""
    headings = ("side", "ms/step, median", "lowest to highest", "faster than plain by", "GFLOP", "GFLOP/s", "of limit")
    shown = Table(*headings, box=None, pad_edge=False)
    for side, numbers in found.items():
        low, middle, high = (1e3 * s for s in numbers["seconds"])
        least, times, most = numbers["times"]
        faster = "" if side == PLAIN else f"{times:.2f} times ({least:.2f} to {most:.2f})"
        reached = numbers["gflop_per_second"]
        share = reached / max(limit[precision_of(side)].values())
        shown.add_row(
            side, f"{middle:,.1f}", f"{low:,.1f} to {high:,.1f}", faster, f"{numbers['gflop']:,.1f}", f"{reached:,.0f}",
            f"{share:.0%}",
        )  # fmt: skip
    return shown


def profiles_table(profiles: dict[str, dict[str, float]]) -> Table:
    """Where the time goes, for people."""
    shown = Table("share of a step", *profiles, box=None, pad_edge=False)
    for group in [*GROUPS, OTHER]:
        shown.add_row(group, *(f"{shares[group]:.0%}" for shares in profiles.values()))
    return shown


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Seconds of a training step, ours and a plain eager loop's.")
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--device", choices=DEFAULTS, default="cpu")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=DTYPES,
        help="of ours; by default what the device is fast in",
    )
    parser.add_argument("--turns", type=int, default=9, help="of each side")
    parser.add_argument("--steps", type=int, help="of a turn; 1, or 10 for the small nets")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, help="of the nets, where the recipe leaves it open; for a quick look")
    parser.add_argument("--threads", type=int, default=environment.available_cores())
    parser.add_argument("--limit-size", type=int, default=1024, help="side of the matrices that limits are measured on")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(arguments)
    options.precisions = options.precisions or DEFAULTS[options.device]
    options.steps = options.steps or (10 if options.case == "stacked_mnist_k4" else 1)
    return options


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, and write JSON where it is asked for."""
    options = options_of(arguments)
    load, device = [os.getloadavg()[0]], torch.device(options.device)
    with trial.threads(options.threads):
        sides = sides_of(CASES[options.case], options.precisions, options.batch, options.width, device)
        before = limits([REFERENCE, *options.precisions], 9, options.limit_size, device)
        seconds = measure(sides, options.turns, options.steps, device)
        load.append(os.getloadavg()[0])
        found = summary(seconds, counts(sides))
        profiles = {side: profiled(step, device) for side, step in sides.items() if side == eager(side)}
    result = kept(
        options,
        options.threads,
        load=load,
        summary=found,
        limits_gflop_per_second=before,
        profiles=profiles,
        seconds=seconds,
    )
    machine = result["environment"]
    console = Console(width=130)
    console.print(
        f"{machine['gpu'] or machine['cpu']}, {options.threads} threads; torch {machine['packages']['torch']};"
        f" load {load[0]:.1f} before, {load[1]:.1f} after",
        highlight=False,
    )
    console.print(table(found, before))
    for name, limit in before.items():
        console.print(f"limit, {name}: " + ", ".join(f"{what} {rate:,.0f} GFLOP/s" for what, rate in limit.items()))
    console.print(profiles_table(profiles))
    return result


if __name__ == "__main__":
    main()
