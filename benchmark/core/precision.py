"""In what precision a trial trains.

`float32` is the reference: strictly so, on a GPU too, where torch by itself would round what goes into convolutions.
`tf32` lets a GPU's tensor cores round the factors of matrix products and convolutions to 10 bits of mantissa; where
there are none, as on a CPU, it is float32. `bfloat16` gives layers factors and results of 8 bits; sums inside products,
statistics of batch norm, heads, losses, parameters and the optimiser's state stay float32. A processor without bfloat16
arithmetic does that too, slowly.

It is the training's alone. Samples, and what is measured of them and of the discriminator, are always float32: what
differs between two precisions is what was learnt, not how it was looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmark.core.spec import Precision


@contextmanager
def tf32_mode(precision: Precision, device: torch.device) -> Iterator[None]:
    """Whether a GPU may use TF32, while this lasts: for losses and gradients alike. Nothing happens on a CPU."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    _allow_tf32(precision == "tf32", precision == "tf32")
    try:
        yield
    finally:
        _allow_tf32(*before)


def _allow_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """For losses alone; gradients follow them. No cast weight is kept: it might lack its gradient."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
