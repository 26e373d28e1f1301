"""Which way of running tiny networks pays on a CPU: captured as graphs, or several seeds as one model.

    python -m perf.line --row SSGAN --turns 15 --json line.json

Trains a row of suites/ssgan_la_1d.yaml on one thread, in alternating turns of one step: updates one by one, updates
captured as graphs, and 3 and 10 seeds as one model. Times are CPU seconds of this process, per seed, and ratios are
those of neighbouring turns, so that other processes on the machine matter little. Also compares weights and sums of
losses after all turns with those of the first way.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.data.prepared import open_prepared
from benchmark.training.trainer import Trainer
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials.build import build_trainer
from benchmark.trials.process import thread_settings
from perf.result import add_json_option, format_range, spread, write_result

SUITE = Path(__file__).resolve().parent.parent / "suites" / "ssgan_la_1d.yaml"
CPU = torch.device("cpu")
ONE_BY_ONE = "updates one by one"
Way = tuple[Callable[[], None], list[Trainer]]  # a step, and the trainers that it trains


def ways(row: str, folder: Path, seeds: Sequence[int]) -> dict[str, Way]:
    """Every way to train the row, from the same initial weights."""
    cell = next(cell for cell in load_suite(SUITE).cells if cell.row == row)
    specs = cell.specs[0].with_seeds(range(max(seeds)))
    data = open_prepared(registry.datasets[specs[0].dataset].prepare(folder, folder))

    def vmapped(count: int) -> Way:
        trainers = [build_trainer(spec, data, CPU) for spec in specs[:count]]
        return VmappedTrainer(trainers).train_step, trainers

    def alone(graphs: bool) -> Way:
        trainer = build_trainer(specs[0], data, CPU, graphs)
        return trainer.train_step, [trainer]

    single = {ONE_BY_ONE: alone(False), "updates as graphs": alone(True)}
    return single | {f"{count} seeds as one model": vmapped(count) for count in seeds}


def is_identical(trainer: Trainer, other: Trainer) -> bool:
    """Whether weights and sums of losses are bit-identical."""
    pairs = [(trainer.method.state_dict(), other.method.state_dict()), (trainer.loss_sums, other.loss_sums)]
    return all(torch.equal(ours[key], theirs[key]) for ours, theirs in pairs for key in ours)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time the ways of training tiny networks on one thread.")
    parser.add_argument("--row", default="SSGAN", help="of the suite")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 10], help="trained as one model")
    parser.add_argument("--turns", type=int, default=15, help="steps of each way, in alternation")
    return add_json_option(parser)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the numbers."""
    options = argument_parser().parse_args(arguments)
    with thread_settings(1), tempfile.TemporaryDirectory() as scratch:
        sides = ways(options.row, Path(scratch), options.seeds)
        for _ in range(2):  # the first steps set up what is set up once, and capture graphs
            for step, _ in sides.values():
                step()
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.turns):
            for name, (step, trainers) in sides.items():
                start = time.process_time()
                step()
                seconds[name].append((time.process_time() - start) / len(trainers))
        reference = sides[ONE_BY_ONE][1][0]
        identical = {name: is_identical(reference, trainers[0]) for name, (_, trainers) in sides.items()}
    table = Table("way", "CPU ms per step and seed", "times as fast", "bit-identical", box=None, pad_edge=False)
    ratios = {}
    for name, values in seconds.items():
        ratios[name] = spread(a / b for a, b in zip(seconds[ONE_BY_ONE], values, strict=True))
        speed_up = f"{ratios[name][1]:.2f} ({format_range(ratios[name], 2)})"
        table.add_row(name, f"{1e3 * spread(values)[1]:.1f}", speed_up, "yes" if identical[name] else "no")
    Console().print(table)
    return write_result(options, 1, seconds=seconds, ratios=ratios, identical=identical)


if __name__ == "__main__":
    main()
