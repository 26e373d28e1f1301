"""What the tests of metrics share: features made up, a metric over them, and torch-fidelity over the same images."""

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics.base import ReferenceFeatures

CPU = torch.device("cpu")


def uint8(n, seed=0, shape=(3, 16, 16)):
    """(n, C, H, W) images that differ in more than noise: each about a grey of its own."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 100, (n, *shape)) + rng.integers(0, 155, (n, shape[0], 1, 1))
    return torch.from_numpy(noise.astype(np.uint8))


def normal(n, d, seed=0):
    """(n, d) float32."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


def measured(metric, fake, real=None, logits=None, cuts=(), **options):
    """The value of a metric over (n, D) features, or (n, K) logits, that come in batches cut at these places."""
    opened = opened_with(metric, real, **options)
    logits = fake[:, :0] if logits is None else logits
    for features, classes in zip(*(torch.tensor_split(x, sorted(cuts)) for x in (fake, logits)), strict=True):
        opened.update(Features(features, classes))
    return opened.compute()


def opened_with(metric, real=None, **options):
    chosen = metric.Options(**{"extractor": "random_conv", **options})
    if real is None:
        return metric(chosen, None, {})
    kept = ReferenceFeatures(real.numpy().astype(np.float32), np.zeros((len(real), 0), np.float32))
    return metric(chosen, kept, metric.reference_statistics(chosen, kept, CPU))


class Images(Dataset):
    """What torch-fidelity takes."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


def torch_fidelity(fake, real, **options):
    """What torch-fidelity says of images, through our random network unless another extractor is named."""
    from torch_fidelity import calculate_metrics

    chosen = {"feature_extractor": registered(), "batch_size": 16} | options
    quiet = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False}
    return calculate_metrics(input1=Images(fake), input2=Images(real), **chosen, **quiet)


def registered():
    """Our random network, by the name that torch-fidelity knows it by."""
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
