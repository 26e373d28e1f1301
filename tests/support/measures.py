"""Helpers for tests of metrics: synthetic features, a metric over them, and torch-fidelity over the same images."""

import numpy as np
import torch
from torch.nn.functional import one_hot
from torch.utils.data import Dataset

from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.extractors.digits import Digits
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics.base import ReferenceFeatures

CPU = torch.device("cpu")


def uint8(n, seed=0, shape=(3, 16, 16)):
    """(n, C, H, W) images, each noise about its own grey level."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 100, (n, *shape)) + rng.integers(0, 155, (n, shape[0], 1, 1))
    return torch.from_numpy(noise.astype(np.uint8))


def normal(n, d, seed=0):
    """(n, d) float32."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


def measured(metric, fake, real=None, logits=None, cuts=(), **options):
    """The value of a metric over (n, D) features, or (n, K) logits, in batches split at `cuts`."""
    opened = open_metric(metric, real, **options)
    logits = fake[:, :0] if logits is None else logits
    for features, classes in zip(*(torch.tensor_split(x, sorted(cuts)) for x in (fake, logits)), strict=True):
        opened.update(Features(features, classes))
    return opened.compute()


def open_metric(metric, real=None, **options):
    chosen = metric.Options(**{"extractor": "random_conv", **options})
    if real is None:
        return metric(chosen, None, {})
    kept = ReferenceFeatures(real.numpy().astype(np.float32), np.zeros((len(real), 0), np.float32))
    return metric(chosen, kept, metric.reference_statistics(chosen, kept, CPU))


class BrightnessReader(Digits):
    """An extractor that reads digits off the brightness of an image."""

    def __init__(self):
        self.device, self.accuracy = CPU, 1.0
        self.classifier = self

    class _Body:
        def __getitem__(self, part):
            if isinstance(part, slice):
                return lambda images: images.flatten(1)
            return lambda pixels: 50.0 * one_hot((pixels.mean(1) * 255 / 20).round().long(), 10)

    body = _Body()


def digit_stacks(triples, size=8):
    """(N, 3, size, size) images whose channels show the digits of each triple."""
    return (torch.tensor(triples, dtype=torch.uint8) * 20)[:, :, None, None].expand(-1, -1, size, size)


class Images(Dataset):
    """Images as torch-fidelity takes them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


def torch_fidelity(fake, real, **options):
    """Values of torch-fidelity, through the random network unless another extractor is named."""
    from torch_fidelity import calculate_metrics

    chosen = {"feature_extractor": registered(), "batch_size": 16} | options
    quiet = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False}
    return calculate_metrics(input1=Images(fake), input2=Images(real), **chosen, **quiet)


def registered():
    """The name under which the random network is registered with torch-fidelity."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    class Adapter(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)
            self.extractor = RandomConv(None, CPU)

        @staticmethod
        def get_provided_features_list():
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled():
            return False

        def forward(self, images):
            return tuple(getattr(self.extractor(images), layer) for layer in self.features_list)

    name = "benchmark-random-conv"
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, Adapter)
    return name
