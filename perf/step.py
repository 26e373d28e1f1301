"""How fast a training step is, beside a straightforward eager loop.

    python -m perf.step --case ssgan_resnet32 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --steps 100 --together 10 --device cuda --json step.json

Ours is what a trial does, `Trainer.train_step`, once for each precision asked for, and on a GPU once more with every
update captured as a graph; with `--together N` each once more as N seeds trained as one, whose step is shared by all
N. Theirs is perf/plain.py, strictly in float32. All train on the same synthetic images from the same weights, and take
turns of a few steps, so that what else the machine does falls on all of them; a ratio is of neighbouring turns.

All are in one process, or with `--processes 1` each side in one of its own: a trial keeps freed memory
(benchmark/core/memory.py), a plain loop does not, and in one process it cannot be kept for one of them alone. With
`--processes N` a side has N, which train at once, as trials do on a machine of several cores; all N share a step.

The limits (perf/roofline.py) are measured just before: what matrix products and convolutions of a good size reach in
each precision, and a copy of a large tensor. Operations and bytes are those of a side's own step.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmark.core import environment
from benchmark.core.precision import tf32_mode
from benchmark.core.spec import REFERENCE_PRECISION, Precision, TrialSpec
from benchmark.data.sampler import to_range
from benchmark.planning import calibrate
from benchmark.training.cuda_graphs import EAGER_UPDATES
from benchmark.training.trainer import Trainer
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials.build import build_trainer
from benchmark.trials.process import synchronize, thread_settings
from perf import plain
from perf.result import kept
from perf.roofline import CPU, DTYPES, GROUPS, OTHER, Step, Work, bandwidth, counted, limits, profiled

PLAIN = "plain"
STEPS = 10**6  # of which nobody trains all
GRAPHS = ", graphs"  # after the precision, in the name of a side
COPIED = 256  # MiB, of which a copy tells the bandwidth of the memory
DEFAULTS: dict[str, list[Precision]] = {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "tf32", "bfloat16"]}


class Side(NamedTuple):
    """A way to do a step. One call is a step of each of so many seeds."""

    step: Step
    seeds: int = 1

    def timed(self, steps: int, device: torch.device) -> float:
        """Seconds of so many steps."""
        synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronize(device)
        return time.perf_counter() - start

    def counted(self) -> Work:
        """What a step does."""
        return counted(self.step)

    def profiled(self, device: torch.device) -> dict[str, float]:
        """Where its time goes."""
        return profiled(self.step, device)


class Elsewhere:
    """A side in processes of its own, which do what they are asked for, all at once, while the other sides wait."""

    def __init__(self, making: "Making", threads: int, processes: int = 1) -> None:
        self.seeds = making.seeds * processes
        self._processes = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(processes)]
        for process in self._processes:
            process.submit(_move_in, making, threads).result()

    def timed(self, steps: int, device: torch.device) -> float:
        """Seconds of so many steps, of the slowest process."""
        slowest: float = max(self._asked("timed", steps, device))
        return slowest

    def counted(self) -> Work:
        """What a step does, in one process."""
        found: Work = self._asked("counted")[0]
        return found

    def profiled(self, device: torch.device) -> dict[str, float]:
        """Where its time goes, in one process."""
        found: dict[str, float] = self._asked("profiled", device)[0]
        return found

    def _asked(self, what: str, *arguments: Any) -> list[Any]:
        return [answer.result() for answer in [each.submit(_there, what, *arguments) for each in self._processes]]


_here: list[Side] = []  # the one of a process of its own
_settings = ExitStack()  # of that process, as long as it lives


def _move_in(making: "Making", threads: int) -> None:
    """For the rest of the process."""
    if making.precision is None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
    else:
        _settings.enter_context(thread_settings(threads))
    _here.append(making.side())


def _there(what: str, *arguments: Any) -> Any:
    return getattr(_here[0], what)(*arguments)


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
    seed: int = 0,
) -> Trainer:
    """Ours, on made-up images, with narrow nets where a width is given."""
    options = dict(case.fields["network_options"])
    if width and not options:
        options = {"generator_width": width, "discriminator_width": width}
    protocol = {"measures": {"modes": {"n_fake": 1}}}
    spec = TrialSpec.model_validate(
        case.fields
        | {"network_options": options, "precision": precision, "batch_size": batch}
        | {"steps": STEPS, "protocol": protocol, "seed": seed}
    )
    return build_trainer(spec, calibrate.random_images(spec.dataset), device, graphs)


def our_side(trainers: list[Trainer]) -> Side:
    """A step of a trial, or of several as one. Raises RuntimeError where turns should be captured and cannot be."""
    ours = trainers[0] if len(trainers) == 1 else VmappedTrainer(trainers)
    if ours.graphs:
        for _ in range(EAGER_UPDATES + 1):  # until all of them are
            ours.train_step()
        if ours.graphs.failures:
            raise RuntimeError(f"no graphs to be measured: {ours.graphs.failures}")
    return Side(ours.train_step, len(trainers))


def plain_side(case: Case, batch: int, width: int | None, device: torch.device) -> Side:
    """One step of the plain loop, from our weights, on images drawn from the same made-up ones."""
    ours = trainer(case, REFERENCE_PRECISION, batch, width, device)
    theirs = (case.plain(width) if width else case.plain()).to(device)
    plain.same_weights(theirs, ours.method)
    settings = ours.spec.optimizer
    theirs.start(settings.lr, settings.betas, seed=0)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        with tf32_mode(REFERENCE_PRECISION, device):
            theirs.step(to_range(ours.images.draw(batch, rng).images, ours.image_range))

    return Side(step)


class Making(NamedTuple):
    """How a side is made. `precision`: none of the plain one's."""

    case: Case
    precision: Precision | None
    batch: int
    width: int | None
    device: torch.device
    graphs: bool = False
    seeds: int = 1

    def side(self) -> Side:
        """Ready for its first step."""
        case, precision, batch, width, device, graphs, seeds = self
        if precision is None:
            return plain_side(case, batch, width, device)
        return our_side([trainer(case, precision, batch, width, device, graphs, seed) for seed in range(seeds)])


def makings(
    case: Case,
    precisions: list[Precision],
    batch: int,
    width: int | None,
    device: torch.device = CPU,
    together: int = 1,
) -> dict[str, Making]:
    """All ways to do a step, the plain one first; on a GPU those with graphs last."""
    found = {PLAIN: Making(case, None, batch, width, device)}
    for graphs in (False, True) if device.type == "cuda" else (False,):
        for seeds in sorted({1, together}):
            for precision in precisions:
                name = precision + (f", {seeds} seeds" if seeds > 1 else "") + GRAPHS * graphs
                found[name] = Making(case, precision, batch, width, device, graphs, seeds)
    return found


def alone(side: str) -> str:
    """The side that does the same without graphs, for one seed: its precision, or the plain one."""
    return side.partition(",")[0]


def precision_of(side: str) -> str:
    """In which a side trains."""
    return REFERENCE_PRECISION if side == PLAIN else alone(side)


def measure(
    sides: Mapping[str, Side | Elsewhere], turns: int, steps: int, device: torch.device = CPU
) -> dict[str, list[float]]:
    """Seconds of a step and seed, of every side once for each turn, after a turn that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(1 + turns):
        for name, side in sides.items():
            spent = side.timed(steps, device)
            if turn:
                seconds[name].append(spent / steps / side.seeds)
    return seconds


def counts(sides: Mapping[str, Side | Elsewhere]) -> dict[str, Work]:
    """What each side's step does for a seed. A replay hides its own, and torch counts too many operations of gradients
    of several models at once: theirs is that of the side with neither.
    """
    found = {name: side.counted() for name, side in sides.items() if name == alone(name)}
    return {name: found[alone(name)] for name in sides}


def summary(seconds: dict[str, list[float]], work: dict[str, Work]) -> dict[str, dict[str, Any]]:
    """Of every side: seconds and how many times as fast as the plain loop, lowest, median and highest; its work."""
    found = {}
    for side, values in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(seconds[PLAIN], values, strict=True)]
        middle = statistics.median(values)
        found[side] = {
            "seconds": [min(values), middle, max(values)],
            "times": [min(ratios), statistics.median(ratios), max(ratios)],
            "gflop": work[side].operations / 1e9,
            "gflop_per_second": work[side].operations / middle / 1e9,
            "gbyte": work[side].bytes / 1e9,
            "gbyte_per_second": work[side].bytes / middle / 1e9,
        }
    return found


def table(found: dict[str, dict[str, Any]], limit: dict[str, dict[str, float]], copied: float) -> Table:
    """The summary for people. `copied`: GB/s of a copy."""
    headings = ["side", "ms/step, median", "lowest to highest", "faster than plain by"]
    headings += ["GFLOP", "GFLOP/s", "of limit", "GB", "GB/s", "of a copy"]
    shown = Table(*headings, box=None, pad_edge=False)
    for side, numbers in found.items():
        low, middle, high = (1e3 * s for s in numbers["seconds"])
        least, times, most = numbers["times"]
        faster = "" if side == PLAIN else f"{times:.2f} times ({least:.2f} to {most:.2f})"
        reached = numbers["gflop_per_second"]
        share = reached / max(limit[precision_of(side)].values())
        shown.add_row(
            side, f"{middle:,.1f}", f"{low:,.1f} to {high:,.1f}", faster, f"{numbers['gflop']:,.1f}", f"{reached:,.0f}",
            f"{share:.0%}", f"{numbers['gbyte']:,.2f}", f"{numbers['gbyte_per_second']:,.1f}",
            f"{numbers['gbyte_per_second'] / copied:.0%}",
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
    parser.add_argument("--together", type=int, default=1, help="sides more: so many seeds trained as one")
    parser.add_argument("--processes", type=int, default=0, help="each side in so many of its own, all at once")
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
    with thread_settings(options.threads):
        case, together = CASES[options.case], options.together
        ways = makings(case, options.precisions, options.batch, options.width, device, together)
        sides: dict[str, Side | Elsewhere] = {
            name: Elsewhere(way, options.threads, options.processes) if options.processes else way.side()
            for name, way in ways.items()
        }
        before = limits([REFERENCE_PRECISION, *options.precisions], 9, options.limit_size, device)
        copied = bandwidth(9, COPIED, device)
        seconds = measure(sides, options.turns, options.steps, device)
        load.append(os.getloadavg()[0])
        found = summary(seconds, counts(sides))
        profiles = {name: side.profiled(device) for name, side in sides.items() if GRAPHS not in name}
    result = kept(
        options,
        options.threads,
        load=load,
        summary=found,
        limits_gflop_per_second=before,
        copy_gbyte_per_second=copied,
        profiles=profiles,
        seconds=seconds,
    )
    machine = result["environment"]
    console = Console(width=150)
    console.print(
        f"{machine['gpu'] or machine['cpu']}, {options.threads} threads; torch {machine['packages']['torch']};"
        f" load {load[0]:.1f} before, {load[1]:.1f} after",
        highlight=False,
    )
    console.print(table(found, before, copied))
    for name, limit in before.items():
        console.print(f"limit, {name}: " + ", ".join(f"{what} {rate:,.0f} GFLOP/s" for what, rate in limit.items()))
    console.print(f"limit, a copy of {COPIED} MiB, read and written: {copied:,.1f} GB/s")
    console.print(profiles_table(profiles))
    return result


if __name__ == "__main__":
    main()
