"""How maps lie in memory, and whether they have gradients: what layers ask of them to choose the fastest way.

Maps have the channels of a pixel side by side, in which convolutions are fastest on a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_as_it_comes: ContextVar[bool] = ContextVar("as_it_comes", default=False)


@contextmanager
def contiguous_format() -> Iterator[None]:
    """While this lasts no map is laid out anew: `torch.func.vmap` has another axis in it."""
    token = _as_it_comes.set(True)
    try:
        yield
    finally:
        _as_it_comes.reset(token)


def is_contiguous_format() -> bool:
    """Whether that is so now."""
    return _as_it_comes.get()


def has_gradient(maps: Tensor) -> bool:
    """`requires_grad`, which `torch.func.vmap` hides."""
    while torch._C._functorch.is_functorch_wrapped_tensor(maps):
        if maps.requires_grad:
            return True
        maps = torch._C._functorch.get_unwrapped(maps)
    return maps.requires_grad


def channels_last(maps: Tensor) -> Tensor:
    """The same (N, C, H, W) maps with the channels of a pixel side by side."""
    return maps if is_contiguous_format() else maps.contiguous(memory_format=torch.channels_last)
