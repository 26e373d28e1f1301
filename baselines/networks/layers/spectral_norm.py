"""Spectral normalisation (Miyato et al., "Spectral Normalization for GANs", ICLR 2018)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList

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
            chain[0] = _SpectralNorm(chain[0])  # type: ignore[operator,index]
    return module


class _SpectralNorm(nn.Module):
    """torch's parametrisation `of`, computed without autocast."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, weight: Tensor) -> Tensor:
        with autocast_disabled(weight):
            parametrised: Tensor = self.of(weight)
        return parametrised

    def iterate(self, weight: Tensor, iterations: int) -> None:
        """Take power iterations without a forward pass."""
        with autocast_disabled(weight):
            self.of._power_method(self._matrix(weight), iterations)  # type: ignore[operator]

    def sigma(self, weight: Tensor) -> Tensor:
        """The present estimate of the largest singular value."""
        sigma: Tensor = self.of._u @ self._matrix(weight) @ self.of._v  # type: ignore[operator]
        return sigma

    def _matrix(self, weight: Tensor) -> Tensor:
        matrix: Tensor = self.of._reshape_weight_to_matrix(weight)  # type: ignore[operator]
        return matrix


class PowerMethod:
    """The power method of all layers of a module under spectral norm, for iterations beyond those of forward passes."""

    def __init__(self, module: nn.Module) -> None:
        chains = [chain for chain in module.modules() if isinstance(chain, ParametrizationList)]
        self.layers = [(chain[0], chain) for chain in chains if isinstance(chain[0], _SpectralNorm)]

    def iterate(self, iterations: int) -> None:
        """Take so many power iterations; none if the number is not positive."""
        if iterations > 0:
            for norm, chain in self.layers:
                norm.iterate(chain.original, iterations)
