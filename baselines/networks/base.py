"""The network contract, and the layers that several families share."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

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


Width = Annotated[int, Field(strict=True, ge=1, le=1024)]


class Widths(NetworkOptions):
    """The unit in which each player's channels are counted; 64 is as published."""

    generator_width: Width = 64
    discriminator_width: Width = 64


class EncoderWidths(Widths):
    """Three players."""

    encoder_width: Width = 64


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
    """The real/fake head and, with `classes` > 0, the class head, both linear on flat features.

    `judged`: the width of what the real/fake head looks at, where that is something else, pooled maps say.
    """

    def __init__(self, features: int, classes: int, judged: int | None = None) -> None:
        super().__init__()
        self.logit = nn.Linear(features if judged is None else judged, 1)
        self.classes = nn.Linear(features, classes) if classes else None

    def forward(self, features: Tensor, judged: Tensor | None = None) -> Judgement:
        """(N, F) features, (N, `judged`) where the real/fake head has its own -> Judgement."""
        classes = self.classes(features) if self.classes else features.new_zeros(len(features), 0)
        return Judgement(self.logit(features if judged is None else judged).squeeze(1), classes, features)


def xavier_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases for every linear and convolutional layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def spectral_norm_(module: nn.Module) -> nn.Module:
    """Divides the weights of every linear and convolutional layer by their largest singular value, in place.

    Call it on initialised weights. One power iteration per pass in training mode, none in evaluation. It is the
    parametrisation, not the older hook of `torch.nn.utils`: there the weight itself is a parameter and both
    singular vectors are buffers, so that optimiser, state and exact resume need to know nothing of it, and the
    vectors are copied for each pass, so that several passes may come before one backward pass.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            parametrizations.spectral_norm(layer)
    return module


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: output ceil(size / stride), odd padding at the far end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=bias)

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

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride=2, padding=(kernel - 2) // 2, bias=bias)

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
