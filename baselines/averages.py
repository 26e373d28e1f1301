"""Exponential moving averages of networks."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """A moving average of a module's weights and buffers, which nobody trains.

    `update_parameters(module)` sets average <- decay average + (1 - decay) module, and copies the first time, that is
    while `n_averaged` is 0. The average is its `module`.
    """
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
