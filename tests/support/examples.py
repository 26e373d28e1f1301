"""Small options, trials, images and raw files with which every plug-in can be tested."""

import itertools
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from baselines.networks.base import Widths
from benchmark.core import registry
from benchmark.core.registry import DATASETS
from benchmark.core.spec import TrialSpec
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import BundledDataset, Dataset
from benchmark.data.datasets.mnist import MNIST
from benchmark.data.datasets.stacked_mnist import StackedMNIST
from benchmark.training.trainer import Trainer
from benchmark.trials.build import build_trainer

CPU = torch.device("cpu")
BATCH = 4


def smallest_options(model: Any) -> dict[str, Any]:
    """A value for every option that has no default."""
    values = {}
    for name, field in model.model_fields.items():
        if field.is_required():
            if get_origin(field.annotation) is Literal:
                values[name] = get_args(field.annotation)[-1]
            else:
                values[name] = {float: 0.5, int: 4}[field.annotation]
    return values


class Grey8(Dataset):
    """Stands in for every dataset of its shape, like the classes below: networks and methods depend on nothing else."""

    name, shape, num_labels = "grey_8", (1, 8, 8), 10


class Grey28(Dataset):
    name, shape, num_labels = "grey_28", (1, 28, 28), 10


class Images32(Dataset):
    name, shape, num_labels = "images_32", (3, 32, 32), 10


class Images48(Dataset):
    name, shape, num_labels = "images_48", (3, 48, 48), 10


class Images64(Dataset):
    name, shape, num_labels = "images_64", (3, 64, 64), 10


class Points2(Dataset):
    name, shape, is_points, transformations = "points_2", (2,), True, "shifts"


STAND_INS = (Grey8, Grey28, Images32, Images48, Images64, Points2)
COMBINED_WITH_ALL = ("stacked_digits", "stacked_mnist", "normal_line")  # small: all pairs of method and network


class NoFiles32(BundledDataset):
    """Colour images that need no files: noise, each image around its own grey."""

    name, shape, num_labels = "no_files_32", (3, 32, 32), 10
    about, licence, source = "noise around greys, for tests", "none", "a random generator"

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 128, (600, *cls.shape)) + rng.integers(0, 128, (600, 3, 1, 1))
        labels = np.arange(600) % 10
        train, test = (ArraySplit(images[k::2].astype(np.uint8), labels[k::2]) for k in (0, 1))
        return train, test, {"noise": "0"}


def register_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the stand-ins for one test. The registry loads a class by the name of its module."""
    for dataset in STAND_INS:
        monkeypatch.setitem(DATASETS, dataset.name, f"{__name__}:{dataset.__name__}")


def small_options(network: str) -> dict[str, Any]:
    """The options of a network that have no default, and widths small enough for a test."""
    model = registry.networks[network].Options
    widths = dict.fromkeys((f for f in model.model_fields if f.endswith("_width")), 2)
    return smallest_options(model) | (widths if issubclass(model, Widths) else {})


def combinations(*, every_size: bool = True) -> list[tuple[str, str, str]]:
    """Every (method, network, dataset) whose roles and image shapes fit, with a selection of those with stand-ins.

    Without `every_size`, stand-ins of the smallest images of each network only: for what does not depend on their size.
    """
    small = fitting([registry.datasets[name] for name in COMBINED_WITH_ALL])
    return small + stand_in_combinations(every_size=every_size)


def paired_combinations() -> list[tuple[str, str, str]]:
    """(method, network, dataset), stand-ins included, in which every two that fit meet, preferably on small images."""
    datasets = [*(registry.datasets[name] for name in COMBINED_WITH_ALL), *STAND_INS]
    pixels = {dataset.name: prod(dataset.shape) for dataset in datasets}
    met: set[tuple[str, str]] = set()
    selected = []
    for names in sorted(fitting(datasets), key=lambda names: pixels[names[2]]):
        pairs = set(itertools.combinations(names, 2))
        if pairs - met:
            selected.append(names)
            met |= pairs
    return selected


def stand_in_combinations(*, every_size: bool = True) -> list[tuple[str, str, str]]:
    """For every network, a few combinations that cover each set of roles that it has and each shape of a stand-in.

    The largest set is combined with the smallest shape, and the smallest set with the shapes that are left over. Each
    set of roles is represented by the method with the most classes, so that every head is trained.
    """
    by_classes = sorted(registry.methods, key=lambda name: registry.methods[name].task_classes)
    chosen = {registry.methods[name].roles: name for name in by_classes}  # the last one remains
    selected = []
    for network in registry.networks:
        roles, shapes = registry.networks[network].roles, registry.networks[network].shapes
        methods = [chosen[needed] for needed in sorted(chosen, key=len, reverse=True) if needed <= roles]
        datasets = [dataset.name for dataset in STAND_INS if dataset.shape in shapes]
        if not every_size:
            datasets = datasets[:1]
        pairs = max(len(methods), len(datasets)) if datasets else 0
        left_over = len(datasets) - len(methods)
        padded = methods + methods[-1:] * left_over
        selected += [(padded[i], network, datasets[i % len(datasets)]) for i in range(pairs)]
    return selected


def fitting(datasets: list[type[Dataset]]) -> list[tuple[str, str, str]]:
    """(method, network, dataset) whose roles and shapes fit, with labels for methods that learn from labels."""
    return [
        (method, network, dataset.name)
        for method in registry.methods
        for network in registry.networks
        for dataset in datasets
        if registry.methods[method].roles <= registry.networks[network].roles
        and dataset.shape in registry.networks[network].shapes
        and (
            dataset.num_classes()
            or not registry.methods[method].label_fraction(smallest_options(registry.methods[method].Options))
        )
    ]


def switches(model: Any) -> list[tuple[str, Any]]:
    """Every non-default value of every option with a fixed set of values."""
    selected = []
    for name, field in model.model_fields.items():
        values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if field.annotation is bool:
            values = (True, False)
        selected += [(name, value) for value in values if field.is_required() or value != field.default]
    return selected


def spec_of(method: str, network: str, dataset: str, **changes: Any) -> TrialSpec:
    fields = {
        "method": method,
        "options": smallest_options(registry.methods[method].Options),
        "network": network,
        "network_options": small_options(network),
        "dataset": dataset,
        "latent": {"dim": 12, "distribution": "uniform"},
        "steps": 8,
        "batch_size": BATCH,
        "optimizer": {"lr": 2e-3, "betas": [0.5, 0.9]},
        "protocol": {"measures": {"modes": {"n_fake": 16}}, "sample_batch": 4},
        "seed": 3,
    }
    return TrialSpec.model_validate(fields | changes)


def random_images(dataset: str, n: int = 40) -> PreparedData:
    """A prepared dataset of the right shape, held in memory, with random pixels or normal points."""
    source = registry.datasets[dataset]
    shape = (n, source.shape[0] // source.stacked, *source.shape[1:])
    rng = np.random.default_rng(0)
    images = rng.standard_normal(shape, np.float32) if source.is_points else rng.integers(0, 256, shape, dtype=np.uint8)
    arrays = ArraySplit(images, np.arange(n) % 10)
    return PreparedData(Path(), arrays, arrays, {})


def trainer_of(spec: TrialSpec) -> Trainer:
    return build_trainer(spec, random_images(spec.dataset), CPU)


def advance(trainer: Trainer, steps: int) -> Trainer:
    for _ in trainer.train_until(trainer.step + steps):
        pass
    return trainer


def assert_equal(ours: Any, theirs: Any) -> None:
    """Assert bit-identical values, in dictionaries and lists of tensors too."""
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_equal(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for our_item, their_item in zip(ours, theirs, strict=True):
            assert_equal(our_item, their_item)
    else:
        assert ours == theirs


def differing_names(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> set[str]:
    """The names under which two states differ."""
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}


# --- raw files of datasets that need them --------------------------------------------------------------


def example_files(dataset: type[Dataset], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write small raw files to a folder; during a test the dataset accepts them in place of the official ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for attribute, value in dataset.write_example_files(folder).items():
        monkeypatch.setattr(dataset, attribute, value)


def small_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write four small IDX files that MNIST and the datasets derived from it accept."""
    example_files(MNIST, folder, monkeypatch)
    monkeypatch.setattr(StackedMNIST, "num_set_aside", 5)
