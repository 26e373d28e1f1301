"""Exponential moving averages of networks."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """Exponential moving average of a module's parameters and buffers. The averaged copy is `module`.

    Bit-identical to `torch.optim.swa_utils.AveragedModel` with `use_buffers=True`, which reads its update counter back
    from the device in every step. Here the host knows whether the average is initialised, so that an update neither
    waits for a GPU nor prevents the capture of a CUDA graph.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(module).requires_grad_(False)
        self.decay = decay
        self.initialised = False

    def forward(self, *arguments: Any) -> Any:
        """The output of the averaged module."""
        return self.module(*arguments)

    @torch.no_grad()
    def update_parameters(self, module: nn.Module, reset: bool = False) -> None:
        """average <- decay average + (1 - decay) module. The first update, and one with `reset`, copies the module."""
        pairs = list(zip(_tensors(self.module), _tensors(module), strict=True))
        if reset or not self.initialised:
            for average, value in pairs:
                average.copy_(value)
        else:
            floats = [pair for pair in pairs if pair[0].is_floating_point()]
            torch._foreach_lerp_([average for average, _ in floats], [value for _, value in floats], 1 - self.decay)
            for average, value in pairs:
                if not average.is_floating_point():  # integer buffers, such as a batch counter, are truncated
                    average.copy_(average * self.decay + value * (1 - self.decay))
        self.initialised = True

    def get_extra_state(self) -> Tensor:
        """Whether the average is initialised, for `state_dict`."""
        return torch.tensor(self.initialised)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore from `state_dict` whether the average is initialised."""
        self.initialised = bool(state)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
