"""Exponential moving averages of networks."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """A moving average of a module's weights and buffers, which nobody trains. The average is its `module`.

    It does what torch's AveragedModel does with `use_buffers`, to the bit. But whether it has begun is known to the
    host, which torch's asks the device for in every step: that waits for it, and cannot be captured.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(module).requires_grad_(False)
        self.decay = decay
        self.initialised = False

    def forward(self, *arguments: Any) -> Any:
        """What the average makes of them."""
        return self.module(*arguments)

    @torch.no_grad()
    def update_parameters(self, module: nn.Module, reset: bool = False) -> None:
        """average <- decay average + (1 - decay) module; the first time, and whenever `reset`, it copies."""
        pairs = list(zip(_tensors(self.module), _tensors(module), strict=True))
        if reset or not self.initialised:
            for average, value in pairs:
                average.copy_(value)
        else:
            fractions = [pair for pair in pairs if pair[0].is_floating_point()]
            torch._foreach_lerp_([a for a, _ in fractions], [v for _, v in fractions], 1 - self.decay)
            for average, value in pairs:
                if not average.is_floating_point():  # such as a number of batches: the fraction is cut off
                    average.copy_(average * self.decay + value * (1 - self.decay))
        self.initialised = True

    def get_extra_state(self) -> Tensor:
        """For the state: whether it has begun."""
        return torch.tensor(self.initialised)

    def set_extra_state(self, state: Tensor) -> None:
        """From a state."""
        self.initialised = bool(state)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
