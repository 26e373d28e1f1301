"""The plug-in registries: the names that a suite can use, each with its class, which is imported when it is used."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

import baselines
from benchmark.core.errors import UserError, did_you_mean

if TYPE_CHECKING:  # importing these at run time would load torch
    from baselines.common.method import Method
    from baselines.networks.base import Network
    from benchmark.data.base import Dataset
    from benchmark.evaluation.extractors.base import Extractor
    from benchmark.evaluation.metrics.base import Metric

DATASETS = {
    "celeba": "benchmark.data.datasets.celeba:CelebA",
    "cifar10": "benchmark.data.datasets.cifar:CIFAR10",
    "cifar10_jpeg": "benchmark.data.datasets.cifar_jpeg:CIFAR10JPEG",
    "cifar100": "benchmark.data.datasets.cifar:CIFAR100",
    "digits": "benchmark.data.datasets.digits:DigitImages",
    "dist_gan_grid": "benchmark.data.points.mixtures:DistGANGrid",
    "folder_32": "benchmark.data.datasets.image_folder:Folder32",
    "folder_48": "benchmark.data.datasets.image_folder:Folder48",
    "folder_64": "benchmark.data.datasets.image_folder:Folder64",
    "imagenet32": "benchmark.data.datasets.imagenet32:ImageNet32",
    "imagenet32_png": "benchmark.data.datasets.imagenet32_png:ImageNet32PNG",
    "mnist": "benchmark.data.datasets.mnist:MNIST",
    "pacgan_grid": "benchmark.data.points.mixtures:PacGANGrid",
    "pacgan_ring": "benchmark.data.points.mixtures:PacGANRing",
    "stacked_digits": "benchmark.data.datasets.stacked_digits:StackedDigits",
    "stacked_mnist": "benchmark.data.datasets.stacked_mnist:StackedMNIST",
    "stacked_mnist_60k": "benchmark.data.datasets.stacked_mnist:AllStackedMNIST",
    "stacked_mnist_fixed": "benchmark.data.datasets.stacked_mnist:FixedStackedMNIST",
    "stl10": "benchmark.data.datasets.stl10:STL10",
    "stl10_32": "benchmark.data.datasets.stl10:STL10At32",
    "stl10_labelled": "benchmark.data.datasets.stl10:LabelledSTL10",
    "svhn": "benchmark.data.datasets.svhn:SVHN",
    "synthetic_28": "benchmark.data.datasets.synthetic:Synthetic28",
    "synthetic_32": "benchmark.data.datasets.synthetic:Synthetic32",
    "synthetic_48": "benchmark.data.datasets.synthetic:Synthetic48",
    "synthetic_64": "benchmark.data.datasets.synthetic:Synthetic64",
    "synthetic_stacked": "benchmark.data.datasets.synthetic:SyntheticStacked",
    "tiny_imagenet": "benchmark.data.datasets.tiny_imagenet:TinyImageNet",
    "unrolled_ring": "benchmark.data.points.mixtures:UnrolledRing",
    "unrolled_ring_eight": "benchmark.data.points.mixtures:UnrolledRingEight",
    # points
    "normal_line": "benchmark.data.points.line:NormalLine",
}

METRICS = {
    "density_peak": "benchmark.evaluation.metrics.points.density_peak:DensityPeak",
    "fid": "benchmark.evaluation.metrics.fid:FID",
    "isc": "benchmark.evaluation.metrics.inception_score:InceptionScore",
    "kid": "benchmark.evaluation.metrics.kid:KID",
    "linear_probe": "benchmark.evaluation.metrics.linear_probe:LinearProbe",
    "mixture": "benchmark.evaluation.metrics.points.mixture:Mixture",
    "ms_task_loss": "benchmark.evaluation.metrics.classifiers.task_loss:MSTaskLoss",
    "modes": "benchmark.evaluation.metrics.modes:Modes",
    "point_moments": "benchmark.evaluation.metrics.points.point_moments:PointMoments",
    "polynomial_mmd": "benchmark.evaluation.metrics.points.polynomial_mmd:PolynomialMMD",
    "prc": "benchmark.evaluation.metrics.precision_recall:PrecisionRecall",
    "rotation_accuracy": "benchmark.evaluation.metrics.rotation_accuracy:RotationAccuracy",
    "ss_task_loss": "benchmark.evaluation.metrics.classifiers.task_loss:SSTaskLoss",
    "task_accuracy": "benchmark.evaluation.metrics.classifiers.task_accuracy:TaskAccuracy",
}

EXTRACTORS = {
    "coordinates": "benchmark.evaluation.extractors.coordinates:Coordinates",
    "digits": "benchmark.evaluation.extractors.digits:Digits",
    "digits_again": "benchmark.evaluation.extractors.digits:DigitsSecondSeed",
    "digits_third": "benchmark.evaluation.extractors.digits:DigitsThirdSeed",
    "inception": "benchmark.evaluation.extractors.inception:Inception",
    "inception_torchvision": "benchmark.evaluation.extractors.inception_torchvision:InceptionTorchvision",
    "pixels": "benchmark.evaluation.extractors.pixels:Pixels",
    "random_conv": "benchmark.evaluation.extractors.random_conv:RandomConv",
    "vgg16": "benchmark.evaluation.extractors.vgg16:VGG16",
}

T = TypeVar("T")


class Registry(Generic[T]):
    """The plug-ins of one kind: `registry[name]` is the class, and iteration yields the names.

    Args:
        kind: what a plug-in is called in messages.
        entries: name -> `module:Class`.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def check(self, name: str) -> None:
        """Raise UserError with the closest name if `name` is not registered."""
        if name not in self._entries:
            raise UserError(f"unknown {self.kind} '{name}'; {did_you_mean(name, self)}")

    def __getitem__(self, name: str) -> type[T]:
        self.check(name)
        module, _, class_name = self._entries[name].partition(":")
        plug_in: type[T] = getattr(import_module(module), class_name)
        return plug_in


methods: "Registry[Method]" = Registry("method", baselines.METHODS)
networks: "Registry[Network]" = Registry("network", baselines.NETWORKS)
datasets: "Registry[Dataset]" = Registry("dataset", DATASETS)
extractors: "Registry[Extractor]" = Registry("extractor", EXTRACTORS)
metrics: "Registry[Metric]" = Registry("metric", METRICS)
