"""What networks with published weights have in common: pinned weights, float32, batches of one size.

On a CPU the weights are channels-last: oneDNN then lays no activation out anew.
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

# Images that the network sees at once, whatever the size of the batch: algorithms depend on it.
CHUNKS = {"cpu": 16, "cuda": 64}


class PretrainedExtractor(Extractor):
    """A network with published weights, for colour images."""

    fetched = True
    weights: ClassVar[Weights]
    chunks: ClassVar[dict[str, int]] = CHUNKS

    @classmethod
    @abstractmethod
    def opened(cls, state: dict[str, Any]) -> nn.Module:
        """The network with these weights, in evaluation mode: uint8 (N, 3, H, W) -> features, and logits if any."""

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Colour images that are not stacks of others."""
        return dataset.shape[0] == 3 and dataset.stacked == 1

    @classmethod
    def missing(cls, data_dir: Path) -> str | None:
        """Its weights, and what to type to get them."""
        return cls.weights.missing(data_dir)

    @classmethod
    def prepare(cls, dataset: PreparedData, cache: Path, data_dir: Path) -> Path:
        """Its weights, checked."""
        del dataset, cache
        return cls.weights.prepare(data_dir)

    def __init__(self, prepared: Path, device: torch.device) -> None:
        self.device, self.chunk = device, self.chunks[device.type]
        with torch.random.fork_rng(devices=[]):  # weights are drawn, only to be replaced
            self.model = self.opened(self.weights.load(prepared)).requires_grad_(False).to(device)
        if device.type == "cpu":
            self.model = self.model.to(memory_format=torch.channels_last)

    @property
    def identity(self) -> str:
        """SHA-256 of the published weights."""
        return self.weights.sha256

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, 3, H, W) -> (N, D) features and (N, K) logits, float32."""
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            parts = [self._chunk(images[i : i + self.chunk]) for i in range(0, max(len(images), 1), self.chunk)]
        features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        return Features(features, logits)

    def _chunk(self, images: Tensor) -> Features:
        """A part of a batch, filled up with black."""
        n = len(images)
        filled = F.pad(images.to(self.device), (0, 0) * 3 + (0, self.chunk - n))
        found = [layer[:n].clone() for layer in self.model(filled)]
        return Features(found[0], found[1] if len(found) > 1 else found[0][:, :0])


class TorchFidelityExtractor(PretrainedExtractor):
    """A network as torch-fidelity ports it. `layers`: its features, and its logits where it has them."""

    layers: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def network(cls) -> type:
        """torch-fidelity's class, imported only when it is asked for."""

    @classmethod
    def opened(cls, state: dict[str, Any]) -> nn.Module:
        """torch-fidelity unpickles whatever it is given: it is given tensors only."""
        content = io.BytesIO()
        torch.save(state, content)
        content.seek(0)
        made: nn.Module = cls.network()(cls.name, list(cls.layers), feature_extractor_weights_path=content)
        return made
