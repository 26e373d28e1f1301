"""Spectral normalisation (Miyato et al., "Spectral Normalization for GANs", ICLR 2018)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from baselines.networks.layers.precision import autocast_disabled


def spectral_norm_(module: nn.Module, exclude: Sequence[nn.Module | None] = ()) -> nn.Module:
    """Divide the weights of every linear and convolutional layer, except `exclude`, by their largest singular value.

    Changes the module in place; call it on initialised weights. In training mode every forward pass does one power
    iteration, in evaluation mode none. It uses torch's parametrisation rather than the older hook of `torch.nn.utils`:
    the weight stays a parameter and both singular vectors are buffers, so optimisers, checkpoints and resumption need
    no special case; and the vectors are copied in each forward pass, so several passes may precede one backward pass.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and layer not in exclude:
            parametrizations.spectral_norm(layer)
            chain = layer.get_submodule("parametrizations.weight")
            chain[0] = _Float32Parametrisation(chain[0])  # type: ignore[operator,index]
    return module


class _Float32Parametrisation(nn.Module):
    """A parametrisation that is computed without autocast."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, weight: Tensor) -> Tensor:
        with autocast_disabled(weight):
            parametrised: Tensor = self.of(weight)
        return parametrised
