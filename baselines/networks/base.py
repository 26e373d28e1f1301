"""The network contract, and the layers that several families share."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, int, int]


class Judgement(NamedTuple):
    """What a discriminator says of N images.

    `logit`: (N,) real/fake logit. `classes`: (N, K) logits of the self-supervised head, K may be 0.
    `features`: (N, F) the last layer before the heads.
    """

    logit: Tensor
    classes: Tensor
    features: Tensor


class NetworkOptions(BaseModel):
    """A family's named switches; every field is part of the trial's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(ABC):
    """A family of networks for images of one shape."""

    about: ClassVar[str]
    Options: ClassVar[type[NetworkOptions]] = NetworkOptions
    shapes: ClassVar[frozenset[Shape]]
    roles: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    image_range: ClassVar[tuple[float, float]]

    def __init__(self, shape: Shape, latent_dim: int, options: Any) -> None:
        self.shape = shape
        self.latent_dim = latent_dim
        self.options = options

    @abstractmethod
    def generator(self) -> nn.Module:
        """(N, latent_dim) latents -> (N, C, H, W) images in `image_range`."""

    @abstractmethod
    def discriminator(self, classes: int) -> nn.Module:
        """(N, C, H, W) images -> Judgement with `classes` self-supervised logits."""

    def encoder(self) -> nn.Module:
        """(N, C, H, W) images -> (N, latent_dim) latents; only families with the role `encoder`."""
        raise NotImplementedError(f"{type(self).__name__} has no encoder")


class Heads(nn.Module):
    """The real/fake head and, with `classes` > 0, the class head, both linear on flat features."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.logit = nn.Linear(features, 1)
        self.classes = nn.Linear(features, classes) if classes else None

    def forward(self, features: Tensor) -> Judgement:
        """(N, F) features -> Judgement."""
        classes = self.classes(features) if self.classes else features.new_zeros(len(features), 0)
        return Judgement(self.logit(features).squeeze(1), classes, features)


def xavier_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases for every linear and convolutional layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: output ceil(size / stride), odd padding at the far end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads) if any(pads) else x)


class SameDeconv(nn.ConvTranspose2d):
    """Stride-2 transposed convolution that doubles the size: the transpose of TensorFlow's SAME."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=2, padding=(kernel - 2) // 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        del output_size
        return super().forward(x)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


class Reshape(nn.Module):
    """(N, anything) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Reshape all but the first axis."""
        return torch.reshape(x, (len(x), *self.shape))
