"""Memory format and gradient flags of feature maps, by which layers choose the fastest kernel.

Feature maps are kept in channels-last format, in which convolutions are fastest on a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_contiguous: ContextVar[bool] = ContextVar("contiguous", default=False)


@contextmanager
def contiguous_format() -> Iterator[None]:
    """A context in which `channels_last` does nothing, for `torch.func.vmap`, whose tensors have one more axis."""
    token = _contiguous.set(True)
    try:
        yield
    finally:
        _contiguous.reset(token)


def is_contiguous_format() -> bool:
    """Whether `contiguous_format` is active."""
    return _contiguous.get()


def has_gradient(maps: Tensor) -> bool:
    """`maps.requires_grad`, also inside `torch.func.vmap`, which hides it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(maps):
        if maps.requires_grad:
            return True
        maps = torch._C._functorch.get_unwrapped(maps)
    return maps.requires_grad


def channels_last(maps: Tensor) -> Tensor:
    """The same (N, C, H, W) maps in channels-last memory format; (N, D) points as they are."""
    is_maps = maps.dim() == 4 and not is_contiguous_format()
    return maps.contiguous(memory_format=torch.channels_last) if is_maps else maps
