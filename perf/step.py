"""How fast a training step is, compared with a straightforward eager loop.

    python -m perf.step --case ssgan_resnet32 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --json step.json
    python -m perf.step --case stacked_mnist_k4 --turns 15 --steps 100 --together 10 --device cuda --json step.json

Ours is the step of a trial, `Trainer.train_step`, once per precision, and on a GPU once more with every update captured
as a graph; with `--together N` each of these once more with N seeds trained as one model, which share the step's time.
The plain loop (perf/plain.py) is strictly in float32. All sides train on the same synthetic images from the same
weights. They alternate in turns of a few steps, so that other load on the machine affects all of them, and speed-ups
are ratios of neighbouring turns.

All sides run in one process, or with `--processes 1` each in one of its own: a trial keeps freed memory
(benchmark/core/memory.py), which is a setting of the whole process, and a plain loop does not. With `--processes N`,
N processes of a side train at once, as trials do on a machine with several cores, and share the time of a step.

The hardware limits (perf/roofline.py) are measured just before: large matrix products and convolutions in each
precision, and a copy of a large tensor. Operations and bytes are those of a side's own step.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmark.core import environment
from benchmark.core.precision import tf32_mode
from benchmark.core.spec import REFERENCE_PRECISION, Precision, TrialSpec
from benchmark.data.sampler import to_range
from benchmark.planning import calibrate
from benchmark.training.graphs import EAGER_UPDATES
from benchmark.training.trainer import Trainer
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials.build import build_trainer
from benchmark.trials.process import synchronize, thread_settings
from perf import plain
from perf.result import add_json_option, format_range, format_speed_up, spread, write_result
from perf.roofline import (
    CPU,
    DTYPES,
    GROUPS,
    OTHER,
    Step,
    Work,
    count_work,
    measure_bandwidth,
    measure_limits,
    profile_step,
)

PLAIN = "plain"
STEPS = 10**6  # of the trials, which are never trained to their end
GRAPHS = ", graphs"  # suffix of the name of a side whose updates are captured
COPY_MIB = 256
DEFAULTS: dict[str, list[Precision]] = {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "tf32", "bfloat16"]}


class Side(NamedTuple):
    """One of the implementations that are compared. A call of `step` trains one step of each of `seeds` seeds."""

    step: Step
    seeds: int = 1

    def time(self, steps: int, device: torch.device) -> float:
        """Seconds of `steps` steps."""
        synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronize(device)
        return time.perf_counter() - start

    def count_work(self) -> Work:
        """The work of a step."""
        return count_work(self.step)

    def profile(self, device: torch.device) -> dict[str, float]:
        """Share of a step's time by group of operations."""
        return profile_step(self.step, device)


class SubprocessSide:
    """A side in `processes` processes of its own, which work at the same time."""

    def __init__(self, spec: "SideSpec", threads: int, processes: int = 1) -> None:
        self.seeds = spec.seeds * processes
        context = get_context("forkserver")
        # Imported once: torch, and what torch's optimisers import when the first is built, which takes seconds.
        context.set_forkserver_preload(["perf.step", "torch._dynamo"])
        self._processes = [ProcessPoolExecutor(1, context) for _ in range(processes)]
        for process in self._processes:
            process.submit(_build_in_subprocess, spec, threads).result()

    def time(self, steps: int, device: torch.device) -> float:
        """Seconds of `steps` steps of the slowest process."""
        slowest: float = max(self._call("time", steps, device))
        return slowest

    def count_work(self) -> Work:
        """The work of a step in one process."""
        work: Work = self._call("count_work")[0]
        return work

    def profile(self, device: torch.device) -> dict[str, float]:
        """Share of a step's time by group of operations, in one process."""
        shares: dict[str, float] = self._call("profile", device)[0]
        return shares

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        futures = [process.submit(_call_in_subprocess, method, *arguments) for process in self._processes]
        return [future.result() for future in futures]


_subprocess_side: list[Side] = []  # in a subprocess: its side
_subprocess_settings = ExitStack()  # in a subprocess: settings that last until its end


def _build_in_subprocess(spec: "SideSpec", threads: int) -> None:
    if spec.precision is None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
    else:
        _subprocess_settings.enter_context(thread_settings(threads))
    _subprocess_side.append(spec.build())


def _call_in_subprocess(method: str, *arguments: Any) -> Any:
    return getattr(_subprocess_side[0], method)(*arguments)


@dataclass(frozen=True)
class Case:
    """A recipe.

    Args:
        fields: of the trial's spec.
        shape: of an image, (C, H, W).
        plain: builds the plain loop; takes the width of the networks if the recipe leaves it open.
    """

    fields: dict[str, Any]
    shape: tuple[int, int, int]
    plain: Callable[..., plain.PlainGAN]


def _plain_ssgan(width: int = 64) -> plain.PlainGAN:
    return plain.PlainSSGAN(4 * width, 2 * width)


def _plain_stacked_mnist(width: int = 64) -> plain.PlainGAN:
    del width  # fixed by the recipe
    return plain.PlainDistGANMS()


SSGAN = {
    "method": "ssgan",
    "options": {"game": "hinge", "batches": "each_one_way"},
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


def make_trainer(
    case: Case,
    precision: Precision,
    batch: int,
    width: int | None = None,
    device: torch.device = CPU,
    graphs: bool = False,
    seed: int = 0,
) -> Trainer:
    """The trainer of a trial on synthetic images, with networks of this width if the recipe leaves it open."""
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
    """The step of a trial, or of several as one model. Raises RuntimeError if graphs are wanted and not captured."""
    ours = trainers[0] if len(trainers) == 1 else VmappedTrainer(trainers)
    if ours.graphs:
        for _ in range(EAGER_UPDATES + 1):  # after these, all updates are captured
            ours.train_step()
        if ours.graphs.failures:
            raise RuntimeError(f"updates could not be captured as graphs: {ours.graphs.failures}")
    return Side(ours.train_step, len(trainers))


def plain_side(case: Case, batch: int, width: int | None, device: torch.device) -> Side:
    """The step of the plain loop, with our initial weights and images."""
    ours = make_trainer(case, REFERENCE_PRECISION, batch, width, device)
    gan = (case.plain(width) if width else case.plain()).to(device)
    plain.copy_weights(ours.method, gan)
    settings = ours.spec.optimizer
    gan.start(settings.lr, settings.betas, seed=0)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        with tf32_mode(REFERENCE_PRECISION, device):
            gan.step(to_range(ours.images.draw(batch, rng).images, ours.image_range))

    return Side(step)


class SideSpec(NamedTuple):
    """What is needed to build a side, also in another process. `precision` is None for the plain loop."""

    case: Case
    precision: Precision | None
    batch: int
    width: int | None
    device: torch.device
    graphs: bool = False
    seeds: int = 1

    def build(self) -> Side:
        """Build the side, ready for its first step."""
        case, precision, batch, width, device, graphs, seeds = self
        if precision is None:
            return plain_side(case, batch, width, device)
        return our_side([make_trainer(case, precision, batch, width, device, graphs, seed) for seed in range(seeds)])


def build_specs(
    case: Case,
    precisions: list[Precision],
    batch: int,
    width: int | None,
    device: torch.device = CPU,
    together: int = 1,
) -> dict[str, SideSpec]:
    """All sides by name: the plain loop first; on a GPU those with graphs last."""
    specs = {PLAIN: SideSpec(case, None, batch, width, device)}
    for graphs in (False, True) if device.type == "cuda" else (False,):
        for seeds in sorted({1, together}):
            for precision in precisions:
                name = precision + (f", {seeds} seeds" if seeds > 1 else "") + GRAPHS * graphs
                specs[name] = SideSpec(case, precision, batch, width, device, graphs, seeds)
    return specs


def single_seed_side(name: str) -> str:
    """The name of the side that does the same for one seed without graphs: its precision, or the plain loop."""
    return name.partition(",")[0]


def precision_of(name: str) -> str:
    """The precision in which a side trains."""
    return REFERENCE_PRECISION if name == PLAIN else single_seed_side(name)


def measure(
    sides: Mapping[str, Side | SubprocessSide], turns: int, steps: int, device: torch.device = CPU
) -> dict[str, list[float]]:
    """Seconds per step and seed of every side, once per turn, after a turn for warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(1 + turns):
        for name, side in sides.items():
            elapsed = side.time(steps, device)
            if turn:
                seconds[name].append(elapsed / steps / side.seeds)
    return seconds


def count_all_work(sides: Mapping[str, Side | SubprocessSide]) -> dict[str, Work]:
    """The work per step and seed of every side.

    For sides with graphs or several seeds it is that of the side with neither: the operations of a replay are hidden,
    and torch counts too many for the gradients of several models at once.
    """
    work = {name: side.count_work() for name, side in sides.items() if name == single_seed_side(name)}
    return {name: work[single_seed_side(name)] for name in sides}


def summarise(seconds: dict[str, list[float]], work: dict[str, Work]) -> dict[str, dict[str, Any]]:
    """Minimum, median and maximum of each side's seconds and of its speed-up over the plain loop; and its work."""
    summary = {}
    for side, values in seconds.items():
        median = spread(values)[1]
        summary[side] = {
            "seconds": spread(values),
            "speed_up": spread(reference / ours for reference, ours in zip(seconds[PLAIN], values, strict=True)),
            "gflop": work[side].operations / 1e9,
            "gflop_per_second": work[side].operations / median / 1e9,
            "gbyte": work[side].bytes / 1e9,
            "gbyte_per_second": work[side].bytes / median / 1e9,
        }
    return summary


def make_table(summary: dict[str, dict[str, Any]], limits: dict[str, dict[str, float]], bandwidth: float) -> Table:
    """The summary as a table. `bandwidth`: GB/s of a copy."""
    headings = ["side", "ms/step, median", "range", "speed-up"]
    headings += ["GFLOP", "GFLOP/s", "of limit", "GB", "GB/s", "of a copy"]
    table = Table(*headings, box=None, pad_edge=False)
    for side, numbers in summary.items():
        seconds, flops, rate = numbers["seconds"], numbers["gflop_per_second"], numbers["gbyte_per_second"]
        speed_up = "" if side == PLAIN else format_speed_up(numbers["speed_up"])
        share = flops / max(limits[precision_of(side)].values())
        table.add_row(
            side, f"{1e3 * seconds[1]:,.1f}", format_range(seconds, 1, 1e3), speed_up, f"{numbers['gflop']:,.1f}",
            f"{flops:,.0f}", f"{share:.0%}", f"{numbers['gbyte']:,.2f}", f"{rate:,.1f}", f"{rate / bandwidth:.0%}",
        )  # fmt: skip
    return table


def make_profile_table(profiles: dict[str, dict[str, float]]) -> Table:
    """The profiles as a table."""
    table = Table("share of a step", *profiles, box=None, pad_edge=False)
    for group in [*GROUPS, OTHER]:
        table.add_row(group, *(f"{shares[group]:.0%}" for shares in profiles.values()))
    return table


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time a training step, compared with a plain eager loop.")
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--device", choices=DEFAULTS, default="cpu")
    parser.add_argument(
        "--precisions", nargs="+", choices=DTYPES, help="of our sides; by default all that are fast on the device"
    )
    parser.add_argument("--together", type=int, default=1, help="add sides with this many seeds trained as one model")
    parser.add_argument("--processes", type=int, default=0, help="run each side in this many processes of its own")
    parser.add_argument("--turns", type=int, default=9, help="measurements of each side, in alternation")
    parser.add_argument("--steps", type=int, help="per turn; default 1, or 10 for the small networks")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, help="of the networks, if the recipe leaves it open; for a quick trial")
    parser.add_argument("--threads", type=int, default=environment.available_cores())
    parser.add_argument("--limit-size", type=int, default=1024, help="side of the matrices in the limit measurements")
    return add_json_option(parser)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, and write JSON if asked to."""
    options = argument_parser().parse_args(arguments)
    options.precisions = options.precisions or DEFAULTS[options.device]
    options.steps = options.steps or (10 if options.case == "stacked_mnist_k4" else 1)
    load, device = [os.getloadavg()[0]], torch.device(options.device)
    with thread_settings(options.threads):
        case, together = CASES[options.case], options.together
        specs = build_specs(case, options.precisions, options.batch, options.width, device, together)
        sides: dict[str, Side | SubprocessSide] = {
            name: SubprocessSide(spec, options.threads, options.processes) if options.processes else spec.build()
            for name, spec in specs.items()
        }
        limits = measure_limits([REFERENCE_PRECISION, *options.precisions], 9, options.limit_size, device)
        bandwidth = measure_bandwidth(9, COPY_MIB, device)
        seconds = measure(sides, options.turns, options.steps, device)
        load.append(os.getloadavg()[0])
        summary = summarise(seconds, count_all_work(sides))
        profiles = {name: side.profile(device) for name, side in sides.items() if GRAPHS not in name}
    result = write_result(
        options,
        options.threads,
        load=load,
        summary=summary,
        limits_gflop_per_second=limits,
        copy_gbyte_per_second=bandwidth,
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
    console.print(make_table(summary, limits, bandwidth))
    for name, limit in limits.items():
        rates = ", ".join(f"{operation} {rate:,.0f} GFLOP/s" for operation, rate in limit.items())
        console.print(f"limit, {name}: {rates}")
    console.print(f"limit, a copy of {COPY_MIB} MiB, read and written: {bandwidth:,.1f} GB/s")
    console.print(make_profile_table(profiles))
    return result


if __name__ == "__main__":
    main()
