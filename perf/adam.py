"""What TensorFlow's Adam costs compared with PyTorch's.

    python -m perf.adam --case stacked_mnist_k4 --json adam.json

Updates the discriminator and the generator of a recipe by fixed gradients, with either optimiser in alternating turns.
Ratios are those of neighbouring turns.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmark.core import environment
from benchmark.training.trainer import ADAMS
from benchmark.trials.process import thread_settings
from perf.result import add_json_option, format_range, spread, write_result
from perf.step import CASES, Case, Side, make_trainer, measure


def optimizer_side(case: Case, epsilon: str, device: torch.device) -> Side:
    """One update of every player's parameters by gradients of ones."""
    trainer = make_trainer(case, "float32", batch=4, device=device)
    settings = trainer.spec.optimizer
    optimizers = [
        ADAMS[epsilon](player.parameters, lr=settings.lr, betas=settings.betas, fused=True)
        for player in trainer.players
    ]
    for player in trainer.players:
        for parameter in player.parameters:
            parameter.grad = torch.ones_like(parameter)

    def step() -> None:
        for optimizer in optimizers:
            optimizer.step()

    return Side(step)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time an update by TensorFlow's Adam and by PyTorch's.")
    parser.add_argument("--case", choices=CASES, default="stacked_mnist_k4")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--turns", type=int, default=15, help="measurements of each, in alternation")
    parser.add_argument("--steps", type=int, default=50, help="per turn")
    parser.add_argument("--threads", type=int, default=environment.available_cores())
    return add_json_option(parser)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the numbers."""
    options = argument_parser().parse_args(arguments)
    device = torch.device(options.device)
    with thread_settings(options.threads):
        sides = {epsilon: optimizer_side(CASES[options.case], epsilon, device) for epsilon in ADAMS}
        seconds = measure(sides, options.turns, options.steps, device)
    ratios = spread(ours / torchs for ours, torchs in zip(seconds["tensorflow"], seconds["pytorch"], strict=True))
    table = Table("epsilon", "ms, median", "range", box=None, pad_edge=False)
    for epsilon, values in seconds.items():
        times = spread(values)
        table.add_row(epsilon, f"{1e3 * times[1]:.3f}", format_range(times, 3, 1e3))
    Console().print(table, f"time ratio {ratios[1]:.3f} ({format_range(ratios, 3)})")
    return write_result(options, options.threads, seconds=seconds, ratios=ratios)


if __name__ == "__main__":
    main()
