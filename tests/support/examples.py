"""Small examples of what every plug-in needs to be tried: options, trials, images, raw files."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from baselines.networks.base import Widths
from benchmark.core import registry
from benchmark.core.registry import DATASETS
from benchmark.core.spec import TrialSpec
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import Dataset
from benchmark.data.datasets import cifar, imagenet32, imagenet32_png, stacked_mnist, svhn
from benchmark.data.datasets import mnist as mnist_files
from benchmark.training.trainer import Trainer
from benchmark.trials.build import build_trainer
from tests.support.raw_pictures import small_celeba, small_folder, small_stl10, small_tiny_imagenet

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


class Grey28(Dataset):
    """Stands in for all datasets of this shape: networks and methods see no more of them. So do those below."""

    name, shape, num_labels = "grey_28", (1, 28, 28), 10


class Images32(Dataset):
    name, shape, num_labels = "images_32", (3, 32, 32), 10


class Images48(Dataset):
    name, shape, num_labels = "images_48", (3, 48, 48), 10


class Images64(Dataset):
    name, shape, num_labels = "images_64", (3, 64, 64), 10


STAND_INS = (Grey28, Images32, Images48, Images64)
EVERYWHERE = ("stacked_digits", "stacked_mnist")  # small images: every method meets every network on them


class NoFiles32(Dataset):
    """For what needs a dataset of colour images to be tried on: noise, each image about a grey of its own."""

    name, shape, num_labels = "no_files_32", (3, 32, 32), 10
    about, licence, source, is_bundled = "noise about greys, for tests", "none", "a random generator", True

    @classmethod
    def missing_files(cls, data_dir: Path) -> str | None:
        return None

    @classmethod
    def read(cls, data_dir: Path) -> tuple[ArraySplit, ArraySplit, dict[str, str]]:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 128, (600, *cls.shape)) + rng.integers(0, 128, (600, 3, 1, 1))
        labels = np.arange(600) % 10
        train, test = (ArraySplit(images[k::2].astype(np.uint8), labels[k::2]) for k in (0, 1))
        return train, test, {"noise": "0"}


def register_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test. The registry loads a class by the name of its module."""
    for dataset in STAND_INS:
        monkeypatch.setitem(DATASETS, dataset.name, f"{__name__}:{dataset.__name__}")


def small_options(network: str) -> dict[str, Any]:
    """Of a network: what has no default, and widths for a test."""
    model = registry.networks[network].Options
    widths = dict.fromkeys((f for f in model.model_fields if f.endswith("_width")), 2)
    return smallest_options(model) | (widths if issubclass(model, Widths) else {})


def combinations() -> list[tuple[str, str, str]]:
    """Every (method, network, dataset) whose roles and image shapes fit, and samples of those with stand-ins."""
    return fitting([registry.datasets[name] for name in EVERYWHERE]) + stand_in_combinations()


def all_combinations() -> list[tuple[str, str, str]]:
    """Every (method, network, dataset) whose roles and image shapes fit, stand-ins included."""
    return fitting([*(registry.datasets[name] for name in EVERYWHERE), *STAND_INS])


def stand_in_combinations() -> list[tuple[str, str, str]]:
    """For every network a few pairs that reach each set of roles that it serves and each shape of a stand-in.

    The largest set meets the smallest shape. Of the methods with a set of roles it is the one with the most
    classes, so that every head is trained.
    """
    by_classes = sorted(registry.methods, key=lambda name: registry.methods[name].task_classes)
    chosen = {registry.methods[name].roles: name for name in by_classes}  # the last one stays
    found = []
    for network in registry.networks:
        roles, shapes = registry.networks[network].roles, registry.networks[network].shapes
        methods = [chosen[needed] for needed in sorted(chosen, key=len, reverse=True) if needed <= roles]
        datasets = [dataset.name for dataset in STAND_INS if dataset.shape in shapes]
        pairs = max(len(methods), len(datasets)) if datasets else 0
        found += [(methods[i % len(methods)], network, datasets[i % len(datasets)]) for i in range(pairs)]
    return found


def fitting(datasets: list[type[Dataset]]) -> list[tuple[str, str, str]]:
    return [
        (method, network, dataset.name)
        for method in registry.methods
        for network in registry.networks
        for dataset in datasets
        if registry.methods[method].roles <= registry.networks[network].roles
        and dataset.shape in registry.networks[network].shapes
    ]


def switches(model: Any) -> list[tuple[str, Any]]:
    """Every other value of every option that has a few: words, and true or false."""
    found = []
    for name, field in model.model_fields.items():
        values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if field.annotation is bool:
            values = (True, False)
        found += [(name, value) for value in values if field.is_required() or value != field.default]
    return found


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
    """A prepared dataset of the right shape, held in memory, with random pixels."""
    source = registry.datasets[dataset]
    shape = (n, source.shape[0] // source.stacked, *source.shape[1:])
    rng = np.random.default_rng(0)
    arrays = ArraySplit(rng.integers(0, 256, shape, dtype=np.uint8), np.arange(n) % 10)
    return PreparedData(Path(), arrays, arrays, {})


def trainer_of(spec: TrialSpec) -> Trainer:
    return build_trainer(spec, random_images(spec.dataset), CPU)


def advance(trainer: Trainer, steps: int) -> Trainer:
    for _ in trainer.train_until(trainer.step + steps):
        pass
    return trainer


def assert_equal(ours: Any, theirs: Any) -> None:
    """Equal to the bit, through dictionaries and lists of tensors."""
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
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    else:
        assert ours == theirs


def differs(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> set[str]:
    """The names under which two states differ."""
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}


# --- raw files of datasets that need them --------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """uint8 array -> IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def small_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four small IDX files that take the place of MNIST's: 40 and 20 digits, 5 of the 40 set aside."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(stacked_mnist, "ASIDE", 5)
    for name in list(mnist_files.FILES):
        n = 40 if name.startswith("train") else 20
        shape = (n, 28, 28) if "images" in name else (n,)
        content = idx(rng.integers(0, 10 if "labels" in name else 256, shape, dtype=np.uint8))
        (folder / name).write_bytes(content)
        monkeypatch.setitem(mnist_files.FILES, name, md5(content))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def python2_pickle(batch: dict[str, Any]) -> bytes:
    """What Python 2's cPickle wrote with protocol 2: a dictionary of words, lists of words or numbers, and arrays."""
    items = b"".join(_python2(key) + _python2(value) for key, value in batch.items())
    return b"\x80\x02}q\x00(" + items + b"u."


def _python2(value: Any) -> bytes:
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin-1")
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, list):
        return b"](" + b"".join(_python2(item) for item in value) + b"e"
    begin = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    shape = b"".join(_python2(n) for n in value.shape)
    kind = b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = value.tobytes()
    return begin + b"(K\x01(" + shape + b"t" + kind + b"\x89T" + len(numbers).to_bytes(4, "little") + numbers + b"tb"


def cifar_files(dataset: type[Dataset], n: int = 12) -> dict[str, bytes]:
    """Every file of CIFAR-10 or -100 as it was published, with n random images each, and the names of the classes."""
    rng = np.random.default_rng(2)
    contents = {}
    for name in dataset.files:
        batch = {"batch_label": f"{name} of {dataset.name}", "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8)}
        labels = rng.permutation(np.arange(n) % dataset.num_labels).tolist()
        more = {"coarse_labels": [label // 5 for label in labels]} if dataset.num_labels == 100 else {}
        contents[name] = python2_pickle(
            batch | {dataset.key: labels, "filenames": [f"{i}.png" for i in range(n)]} | more
        )
    names = [f"class {i}" for i in range(dataset.num_labels)]
    if dataset.num_labels == 100:
        return contents | {"meta": python2_pickle({"fine_label_names": names})}
    return contents | {"batches.meta": python2_pickle({"label_names": names})}


def tar_gz(contents: dict[str, bytes]) -> bytes:
    """An archive of plain files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def small_cifar(dataset: type[Dataset], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that takes the place of the published one."""
    contents = cifar_files(dataset)
    monkeypatch.setattr(dataset, "files", {name: md5(contents[name]) for name in dataset.files})
    packed = tar_gz({f"{dataset.unpacked}/{name}": content for name, content in contents.items()})
    (folder / dataset.archive).write_bytes(packed)


def small_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two .mat files that take the place of SVHN's: 24 and 15 digits."""
    rng = np.random.default_rng(3)
    for name, n in (("train_32x32.mat", 24), ("test_32x32.mat", 15)):
        digits = rng.permutation(np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        images = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        savemat(folder / name, {"X": images, "y": digits}, do_compression=True)
        monkeypatch.setitem(svhn.FILES, name, md5((folder / name).read_bytes()))


def imagenet32_batch(n: int, seed: int) -> dict[str, Any]:
    """As it was released: rows of red, green, blue; labels from 1 to 1,000."""
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        "labels": rng.integers(1, 1001, n).tolist(),
        "mean": rng.random(3072),
    }


def imagenet32_batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, dict[str, Any]]]:
    """Part -> name -> batch: ten batches of 4 and one of 7 in the place of 128,116 and 128,123."""
    monkeypatch.setattr(imagenet32, "COUNTS", {"train": 43, "val": 6})
    sizes = {"train": [4] * 9 + [7], "val": [6]}
    return {
        part: {stem: imagenet32_batch(n, i) for i, (stem, n) in enumerate(zip(stems, sizes[part], strict=True))}
        for part, stems in imagenet32.BATCHES.items()
    }


def npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def small_imagenet32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two zips of pickles."""
    for part, batches in imagenet32_batches(monkeypatch).items():
        with zipfile.ZipFile(folder / f"Imagenet32_{part}.zip", "w") as archive:
            for stem, batch in batches.items():
                archive.writestr(stem, pickle.dumps(batch, protocol=3))


def png(seed: int, size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> str:
    """A tar with these files; its SHA-256."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def small_imagenet32_png(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two tars, with members in no order."""
    for part, n in (("train_32x32", 12), ("valid_32x32", 5)):
        monkeypatch.setitem(imagenet32_png.COUNTS, part, n)
        files = {f"{part}/{i:07}.png": png(i) for i in np.random.default_rng(0).permutation(n).tolist()}
        checksum = write_tar(folder / f"{part}.tar", files)
        monkeypatch.setitem(imagenet32_png.PUBLISHED, f"{part}.tar", checksum)


# dataset -> what writes small raw files for it
RAW_FILES = {
    "celeba": small_celeba,
    "folder_32": small_folder,
    "folder_48": small_folder,
    "folder_64": small_folder,
    "imagenet32": small_imagenet32,
    "imagenet32_png": small_imagenet32_png,
    "stacked_mnist": small_mnist,
    "stacked_mnist_60k": small_mnist,
    "stacked_mnist_fixed": small_mnist,
    "stl10": small_stl10,
    "stl10_32": small_stl10,
    "stl10_labelled": small_stl10,
    "tiny_imagenet": small_tiny_imagenet,
    "mnist": small_mnist,
    "cifar10": partial(small_cifar, cifar.CIFAR10),
    "cifar100": partial(small_cifar, cifar.CIFAR100),
    "svhn": small_svhn,
}
