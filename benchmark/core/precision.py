"""The numerical precision of a training.

- `float32`, the reference, is strict float32 also on a GPU, where torch by default rounds the inputs of convolutions.
- `tf32` lets the tensor cores of a GPU round the factors of matrix products and convolutions to 10 bits of mantissa.
  Without tensor cores, as on a CPU, it is float32.
- `bfloat16` computes layers with inputs and outputs of 8 bits of mantissa. Accumulation inside products, batch-norm
  statistics, heads, losses, parameters and optimiser state stay float32. It also works, slowly, on processors
  without bfloat16 arithmetic.

Samples and all metrics are float32 in every case, so two precisions differ by what was learnt, not by how it was
evaluated.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmark.core.spec import Precision


@contextmanager
def tf32_mode(precision: Precision, device: torch.device) -> Iterator[None]:
    """Allow or forbid TF32 on a GPU inside the block, for losses and gradients. Does nothing on a CPU."""
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
    """The autocast context for computing losses; gradients follow it. A cached cast weight might lack its gradient."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
