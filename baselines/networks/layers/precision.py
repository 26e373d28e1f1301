"""Layers that keep float32 inside an autocast region."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast_disabled(x: Tensor) -> AbstractContextManager[object]:
    """A context in which operations on the device of `x` run without autocast, even inside an autocast region."""
    device_type = x.device.type
    is_autocast = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if is_autocast else nullcontext()


def to_float32(x: Tensor) -> Tensor:
    """`x` as float32; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
