"""Networks with published weights: pinned weights, float32, batches of a fixed size.

On a CPU the weights are channels-last, which spares oneDNN a reordering of every activation.
"""

import io
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features
from benchmark.evaluation.extractors.weights import Weights

# Images per forward pass. Fixed, because the convolution algorithms, and so the last bits, depend on it.
BATCH_SIZES = {"cpu": 16, "cuda": 64}


class PretrainedExtractor(Extractor):
    """A network with published weights, for colour images."""

    needs_download = True
    weights: ClassVar[Weights]
    batch_sizes: ClassVar[dict[str, int]] = BATCH_SIZES

    @classmethod
    @abstractmethod
    def build(cls, state: dict[str, Any]) -> nn.Module:
        """The network with these weights, in evaluation mode: uint8 (N, 3, H, W) -> features, and logits if any."""

    @classmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Colour images, except stacks."""
        return not dataset.is_points and dataset.shape[0] == 3 and dataset.stacked == 1

    @classmethod
    def missing_message(cls, data_dir: Path) -> str | None:
        """The file of weights, and the command that downloads it."""
        return cls.weights.missing_message(data_dir)

    @classmethod
    def prepare(cls, prepared: PreparedData, cache: Path, data_dir: Path) -> Path:
        """The path of the weights, whose SHA-256 is verified."""
        del prepared, cache
        return cls.weights.prepare(data_dir)

    def __init__(self, path: Path, device: torch.device) -> None:
        self.device, self.batch_size = device, self.batch_sizes[device.type]
        with torch.random.fork_rng(devices=[]):  # building the network draws weights, which the file's replace
            self.model = self.build(self.weights.load(path)).requires_grad_(False).to(device)
        if device.type == "cpu":
            self.model = self.model.to(memory_format=torch.channels_last)

    @property
    def identity(self) -> str:
        """The SHA-256 of the published weights."""
        return self.weights.sha256

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, 3, H, W) -> (N, D) features and (N, K) logits, float32."""
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            starts = range(0, max(len(images), 1), self.batch_size)
            batches = [self._forward(images[start : start + self.batch_size]) for start in starts]
        features, logits = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return Features(features, logits)

    def _forward(self, images: Tensor) -> Features:
        """One forward pass over at most `batch_size` images, padded with black ones to exactly that many."""
        n = len(images)
        padded = F.pad(images.to(self.device), (0, 0) * 3 + (0, self.batch_size - n))
        layers = [layer[:n].clone() for layer in self.model(padded)]
        return Features(layers[0], layers[1] if len(layers) > 1 else layers[0][:, :0])


class TorchFidelityExtractor(PretrainedExtractor):
    """A network as torch-fidelity ports it.

    Attributes:
        layers: torch-fidelity's names of the features and, for a network with classes, of the logits.
    """

    layers: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def network_class(cls) -> type:
        """torch-fidelity's class, imported on demand."""

    @classmethod
    def build(cls, state: dict[str, Any]) -> nn.Module:
        """Hand the state over as a file of tensors: torch-fidelity unpickles any object in the file that it gets."""
        content = io.BytesIO()
        torch.save(state, content)
        content.seek(0)
        network: nn.Module = cls.network_class()(cls.name, list(cls.layers), feature_extractor_weights_path=content)
        return network
