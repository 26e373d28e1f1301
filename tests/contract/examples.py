"""Small examples of what every plug-in needs to be tried: options, trials, images, raw files."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.networks.base import Widths
from benchmark import plugins, trial
from benchmark.data import DATASETS, celeba, stacked_mnist, stl10, tiny_imagenet
from benchmark.data.base import Arrays, Dataset, Prepared
from benchmark.spec import TrialSpec
from benchmark.training import Trainer

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


class Images32(Dataset):
    """Stands in for all datasets of this shape: networks and methods see no more of them. So do those below."""

    name, shape, labels = "images_32", (3, 32, 32), 10


class Images48(Dataset):
    name, shape, labels = "images_48", (3, 48, 48), 10


class Images64(Dataset):
    name, shape, labels = "images_64", (3, 64, 64), 10


STAND_INS = (Images32, Images48, Images64)


def register_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test. The registry loads a class by the name of its module."""
    for dataset in STAND_INS:
        monkeypatch.setitem(DATASETS, dataset.name, f"{__name__}:{dataset.__name__}")


def small_options(network: str) -> dict[str, Any]:
    """Of a network: what has no default, and widths for a test."""
    model = plugins.networks[network].Options
    widths = dict.fromkeys((f for f in model.model_fields if f.endswith("_width")), 2)
    return smallest_options(model) | (widths if issubclass(model, Widths) else {})


def combinations() -> list[tuple[str, str, str]]:
    """Every (method, network, dataset) whose roles and image shapes fit, and samples of those with stand-ins."""
    return fitting(without_stand_in()) + stand_in_combinations()


def all_combinations() -> list[tuple[str, str, str]]:
    """Every (method, network, dataset) whose roles and image shapes fit, stand-ins included."""
    return fitting([*without_stand_in(), *STAND_INS])


def without_stand_in() -> list[type[Dataset]]:
    """The registered datasets that none stands in for."""
    shapes = {dataset.shape for dataset in STAND_INS}
    return [plugins.datasets[name] for name in plugins.datasets if plugins.datasets[name].shape not in shapes]


def stand_in_combinations() -> list[tuple[str, str, str]]:
    """For every network a few pairs that reach each set of roles that it serves and each shape of a stand-in.

    The largest set meets the smallest shape. Of the methods with a set of roles it is the one with the most
    classes, so that every head is trained.
    """
    by_classes = sorted(plugins.methods, key=lambda name: plugins.methods[name].classes)
    chosen = {plugins.methods[name].roles: name for name in by_classes}  # the last one stays
    found = []
    for network in plugins.networks:
        roles, shapes = plugins.networks[network].roles, plugins.networks[network].shapes
        methods = [chosen[needed] for needed in sorted(chosen, key=len, reverse=True) if needed <= roles]
        datasets = [dataset.name for dataset in STAND_INS if dataset.shape in shapes]
        pairs = max(len(methods), len(datasets)) if datasets else 0
        found += [(methods[i % len(methods)], network, datasets[i % len(datasets)]) for i in range(pairs)]
    return found


def fitting(datasets: list[type[Dataset]]) -> list[tuple[str, str, str]]:
    return [
        (method, network, dataset.name)
        for method in plugins.methods
        for network in plugins.networks
        for dataset in datasets
        if plugins.methods[method].roles <= plugins.networks[network].roles
        and dataset.shape in plugins.networks[network].shapes
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
        "options": smallest_options(plugins.methods[method].Options),
        "network": network,
        "network_options": small_options(network),
        "dataset": dataset,
        "latent": {"dim": 12, "distribution": "uniform"},
        "steps": 8,
        "batch_size": BATCH,
        "optimizer": {"lr": 2e-3, "betas": [0.5, 0.9]},
        "protocol": {"metric": "modes", "n_fake": 16, "sample_batch": 4},
        "seed": 3,
    }
    return TrialSpec.model_validate(fields | changes)


def random_images(dataset: str, n: int = 40) -> Prepared:
    """A prepared dataset of the right shape, held in memory, with random pixels."""
    source = plugins.datasets[dataset]
    shape = (n, source.shape[0] // source.stacked, *source.shape[1:])
    rng = np.random.default_rng(0)
    arrays = Arrays(rng.integers(0, 256, shape, dtype=np.uint8), np.arange(n) % 10)
    return Prepared(Path(), arrays, arrays, {})


def trainer_of(spec: TrialSpec) -> Trainer:
    return trial.build(spec, random_images(spec.dataset), CPU)


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
    for name in list(stacked_mnist.FILES):
        n = 40 if name.startswith("train") else 20
        shape = (n, 28, 28) if "images" in name else (n,)
        content = idx(rng.integers(0, 10 if "labels" in name else 256, shape, dtype=np.uint8))
        (folder / name).write_bytes(content)
        monkeypatch.setitem(stacked_mnist.FILES, name, hashlib.md5(content).hexdigest())


def picture(rng: np.random.Generator, width: int, height: int, kind: str = "JPEG") -> bytes:
    """An image file with random colours in blocks, which survive JPEG and resizing."""
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    blocks[0, 0], blocks[-1, -1] = 255, 0
    file = io.BytesIO()
    Image.fromarray(blocks.repeat(16, 0).repeat(16, 1)[:height, :width]).save(file, kind)
    return file.getvalue()


def write_files(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_zip(files: dict[str, bytes], path: Path) -> str:
    """The archive's md5."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_tar(files: dict[str, bytes], path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def stl10_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """STL-10's five binary files with 12 unlabelled, 20 training and 7 test images."""
    rng = np.random.default_rng(2)
    contents = {}
    for name in list(stl10.FILES):
        n = {"unlabeled": 12, "train": 20, "test": 7}[name.split("_")[0]]
        coarse = rng.integers(0, 256, (n, 3, 12, 12), dtype=np.uint8)
        labels = rng.permutation(np.arange(n) % 10 + 1).astype(np.uint8)
        content = (coarse.repeat(8, 2).repeat(8, 3) if "X" in name else labels).tobytes()
        monkeypatch.setitem(stl10.FILES, name, (n, hashlib.md5(content).hexdigest()))
        contents[name] = content
    return contents


def small_stl10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive."""
    contents = {f"stl10_binary/{name}": content for name, content in stl10_files(monkeypatch).items()}
    write_tar(contents, folder / stl10.ARCHIVE)


def celeba_files(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], bytes]:
    """Nine faces of CelebA's size, and the partition: 5 to train, 1 to validate, 3 to test."""
    rng = np.random.default_rng(3)
    images = {f"{number:06}.jpg": picture(rng, 178, 218) for number in range(1, 10)}
    parts = (0, 0, 2, 0, 1, 2, 0, 2, 0)
    partition = "".join(f"{name} {part}\n" for name, part in zip(images, parts, strict=True)).encode()
    monkeypatch.setattr(celeba, "LENGTH", len(images))
    monkeypatch.setitem(celeba.MD5, celeba.PARTITION, hashlib.md5(partition).hexdigest())
    return images, partition


def small_celeba(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive and the partition."""
    images, partition = celeba_files(monkeypatch)
    (folder / celeba.PARTITION).write_bytes(partition)
    members = {f"{celeba.IMAGES}/{name}": content for name, content in images.items()}
    monkeypatch.setitem(celeba.MD5, celeba.ARCHIVE, write_zip(members, folder / celeba.ARCHIVE))


def tiny_imagenet_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Tiny-ImageNet with all 200 classes, not in order, and one training image of each; five to validate."""
    rng = np.random.default_rng(4)
    ids = [f"n{number:08}" for number in rng.permutation(200)]
    files = {f"train/{wnid}/images/{wnid}_0.JPEG": picture(rng, 64, 64) for wnid in ids}
    files |= {f"train/{wnid}/{wnid}_boxes.txt": f"{wnid}_0.JPEG\t0\t10\t63\t58\n".encode() for wnid in ids}
    files |= {f"val/images/val_{number}.JPEG": picture(rng, 64, 64) for number in range(5)}
    lines = [f"val_{number}.JPEG\t{ids[40 * number]}\t0\t32\t44\t62\n" for number in range(5)]
    files |= {"val/val_annotations.txt": "".join(lines).encode(), "test/images/test_0.JPEG": picture(rng, 64, 64)}
    monkeypatch.setattr(tiny_imagenet, "LENGTHS", {"train": 200, "val": 5})
    return files | {"wnids.txt": "".join(f"{wnid}\n" for wnid in ids).encode()}


def small_tiny_imagenet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive."""
    members = {f"{tiny_imagenet.ROOT}/{name}": content for name, content in tiny_imagenet_files(monkeypatch).items()}
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE_MD5", write_zip(members, folder / tiny_imagenet.ARCHIVE))


def small_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs of several sizes and kinds in two class folders, and one outside."""
    rng = np.random.default_rng(5)
    files = {f"cats/{number}.jpg": picture(rng, 90 + number, 70) for number in range(6)}
    files |= {f"dogs/{number}.png": picture(rng, 40, 100 + number, "PNG") for number in range(6)}
    write_files(files | {"neither.jpg": picture(rng, 64, 64), "dogs/read me.txt": b"no image"}, folder / "folder")


# dataset -> what writes small raw files for it
RAW_FILES = {
    "celeba": small_celeba,
    "folder_32": small_folder,
    "folder_48": small_folder,
    "folder_64": small_folder,
    "stacked_mnist": small_mnist,
    "stl10": small_stl10,
    "stl10_32": small_stl10,
    "stl10_labelled": small_stl10,
    "tiny_imagenet": small_tiny_imagenet,
}
