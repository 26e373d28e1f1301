"""Inception with weights drawn from a seed: as fast as the published ones, and there without a download.

What is measured through it compares with nothing; two programs that look through it at the same images must agree.
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


def drawn(net: nn.Module) -> dict[str, Tensor]:
    """A state for a network: random weights that keep the size of what goes through the layers."""
    rng = torch.Generator().manual_seed(0)

    def draw(name: str, like: Tensor) -> Tensor:
        if name.endswith(("running_var", "bn.weight")):
            return torch.ones(like.shape)
        if like.dim() < 2:
            return torch.zeros(like.shape)
        weights: Tensor = torch.randn(like.shape, generator=rng) * (2 / like[0].numel()) ** 0.5
        return weights

    return {name: draw(name, like) for name, like in net.state_dict().items()}


def inception_file(data_dir: Path) -> Path:
    """Writes such weights where the published ones would lie; returns the file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            pass

    path = data_dir / Inception.weights.name / Inception.weights.files[0]
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    with torch.device("meta"):
        net = Empty("empty", ["2048"], feature_extractor_weights_path=path)
    state = drawn(net)
    state["fc.weight"] *= 100  # else all images look alike to it
    torch.save(state, path)
    return path


def pinned_to(weights: Weights, path: Path) -> Weights:
    """The same weights, of which this file is said to be the published one."""
    return replace(weights, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)


@contextmanager
def seeded_inception(data_dir: Path) -> Iterator[Path]:
    """Inside, the Inception extractor opens such weights, which lie under `data_dir`; gives their file."""
    path = inception_file(data_dir)
    with patch.object(Inception, "weights", pinned_to(Inception.weights, path)):
        yield path
