"""Inception with random weights from a seed, which is as fast as the published network and needs no download.

Metrics computed with it mean nothing, but two programs that use it on the same images must agree.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.extractors.weights import Weights


def random_state(net: nn.Module) -> dict[str, Tensor]:
    """A random state for a network, scaled so that activations keep their size from layer to layer."""
    rng = torch.Generator().manual_seed(0)

    def draw(name: str, template: Tensor) -> Tensor:
        if name.endswith(("running_var", "bn.weight")):
            return torch.ones(template.shape)
        if template.dim() < 2:
            return torch.zeros(template.shape)
        weights: Tensor = torch.randn(template.shape, generator=rng) * (2 / template[0].numel()) ** 0.5
        return weights

    return {name: draw(name, template) for name, template in net.state_dict().items()}


def write_inception(data_dir: Path) -> Path:
    """Write random weights to the path of the published ones. Returns the path."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            pass

    path = data_dir / Inception.weights.name / Inception.weights.files[0]
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    with torch.device("meta"):
        net = Empty("empty", ["2048"], feature_extractor_weights_path=path)
    state = random_state(net)
    state["fc.weight"] *= 100  # otherwise the logits of all images are almost equal
    torch.save(state, path)
    return path


def with_checksum_of(weights: Weights, path: Path) -> Weights:
    """A copy of `weights` whose checksum and size are those of this file."""
    return replace(weights, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)


@contextmanager
def seeded_inception(data_dir: Path) -> Iterator[Path]:
    """Let the Inception extractor use random weights in `data_dir` inside the block. Yields their path."""
    path = write_inception(data_dir)
    with patch.object(Inception, "weights", with_checksum_of(Inception.weights, path)):
        yield path
