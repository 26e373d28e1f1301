"""How closely spectral norm estimates singular values with one or several power iterations, and what they cost.

    python -m perf.spectral_norm --width 16 --json spectral_norm.json
    python -m perf.spectral_norm --width 64 --lag-steps 0 --turns 7 --json cost.json

SSGAN on mimicry's ResNet-32 is trained on synthetic images, as mimicry trains it (Adam 2e-4, five updates of D per
step), in three ways: with real, fake and rotated images in one call of the discriminator after one power iteration, or
after as many as mimicry takes (3 in an update of D, 2 in one of G); and with a call for every batch, which is what
mimicry does.

The lag is the ratio of the estimated to the true largest singular value, after every call of the discriminator in steps
`--lag-from` to `--lag-steps`: its mean over layers and calls, and its product over the layers, by which the Lipschitz
bound of the discriminator is too large. The ways are timed in alternating turns; ratios are of neighbouring turns.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from baselines.networks.layers.spectral_norm import PowerMethod
from benchmark.core import environment
from benchmark.core.spec import TrialSpec
from benchmark.planning import calibrate
from benchmark.training.trainer import Trainer
from benchmark.trials.build import build_trainer
from benchmark.trials.process import thread_settings
from perf.result import add_json_option, format_range, spread, write_result
from perf.step import SSGAN, Side, measure

CPU = torch.device("cpu")
BASE = "joined, 1 iteration"
MIMICRY = "joined, 3 and 2"
WAYS: dict[str, Any] = {
    BASE: {"discriminator": 1, "generator": 1},
    MIMICRY: {"discriminator": 3, "generator": 2},
    "one per call": "one_per_call",
}


def make_trainer(power_iterations: Any, width: int, batch: int, device: torch.device = CPU, **changes: Any) -> Trainer:
    """A trial of mimicry's SSGAN on synthetic images."""
    spec = TrialSpec.model_validate(
        SSGAN
        | {"network_options": {"generator_width": width, "discriminator_width": width}, "batch_size": batch}
        | {"steps": 10**6, "discriminator_steps": 5, "protocol": {"measures": {"modes": {"n_fake": 1}}}, "seed": 0}
        | {"power_iterations": power_iterations}
        | changes
    )
    return build_trainer(spec, calibrate.random_images(spec.dataset), device)


@torch.no_grad()
def sigma_ratios(discriminator: nn.Module) -> Tensor:
    """(layers,) estimated / true largest singular value of every layer under spectral norm."""
    ratios = []
    for norm, chain in PowerMethod(discriminator).layers:  # no layer of this network is transposed
        ratios.append(norm.sigma(chain.original) / torch.linalg.matrix_norm(chain.original.flatten(1), 2))
    return torch.stack(ratios)


def sigma_lag(trainer: Trainer, first: int, last: int) -> dict[str, float]:
    """Mean ratio over layers and calls, and mean product over the layers, in steps `first` to `last` (from 1)."""
    ratios: list[Tensor] = []
    discriminate = trainer.method.discriminate

    def recorded(images: Tensor) -> Any:
        output = discriminate(images)
        if trainer.step + 1 >= first:
            ratios.append(sigma_ratios(trainer.method.discriminator))
        return output

    trainer.method.discriminate = recorded  # type: ignore[method-assign]
    try:
        for _ in trainer.train_until(last):
            pass
    finally:
        trainer.method.discriminate = discriminate  # type: ignore[method-assign]
    measured = torch.stack(ratios).double()
    return {"mean": measured.mean().item(), "product": measured.prod(1).mean().item()}


def make_table(lags: dict[str, dict[str, float]], seconds: dict[str, list[float]]) -> Table:
    """Lag and cost of every way."""
    table = Table(
        "calls of D", "sigma, mean", "product", "ms/step", "range", f"time / {BASE}", box=None, pad_edge=False
    )
    for way in WAYS:
        lag = [f"{lags[way][key]:.4f}" if lags else "" for key in ("mean", "product")]
        times = spread(seconds[way])
        ratios = spread(own / base for own, base in zip(seconds[way], seconds[BASE], strict=True))
        ratio = "" if way == BASE else f"{ratios[1]:.3f} ({format_range(ratios, 3)})"
        table.add_row(way, *lag, f"{1e3 * times[1]:,.1f}", format_range(times, 1, 1e3), ratio)
    return table


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Lag and cost of power iterations under spectral norm.")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--lag-from", type=int, default=60, help="first step whose calls are measured")
    parser.add_argument("--lag-steps", type=int, default=120, help="steps of the lag measurement; 0 for none")
    parser.add_argument("--turns", type=int, default=5, help="timings of each way, in alternation")
    parser.add_argument("--steps", type=int, default=1, help="per turn")
    parser.add_argument("--threads", type=int, default=environment.available_cores())
    return add_json_option(parser)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the numbers."""
    options = argument_parser().parse_args(arguments)
    device = torch.device(options.device)
    with thread_settings(options.threads):
        lags = {}
        if options.lag_steps:
            for way, iterations in WAYS.items():
                trainer = make_trainer(iterations, options.width, options.batch, device)
                lags[way] = sigma_lag(trainer, options.lag_from, options.lag_steps)
        trainers = [make_trainer(iterations, options.width, options.batch, device) for iterations in WAYS.values()]
        sides = {way: Side(trainer.train_step) for way, trainer in zip(WAYS, trainers, strict=True)}
        seconds = measure(sides, options.turns, options.steps, device)
    Console().print(make_table(lags, seconds))
    return write_result(options, options.threads, lags=lags, seconds=seconds)


if __name__ == "__main__":
    main()
