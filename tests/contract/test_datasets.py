"""The contract of every registered dataset."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.data.acquire import import_raw_files
from benchmark.data.base import UNKNOWN_CLASSES
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import ImageSampler
from benchmark.data.verify import verify
from tests.support.examples import CPU, example_files


@pytest.fixture(params=list(registry.datasets))
def name(request):
    return request.param


@pytest.fixture
def dataset(name):
    return registry.datasets[name]


@pytest.fixture
def data_dir(dataset, tmp_path, monkeypatch):
    """A folder with small raw files, if the dataset needs any."""
    folder = tmp_path / "raw"
    folder.mkdir()
    if not dataset.is_bundled:
        example_files(dataset, folder, monkeypatch)
    return folder


def test_a_dataset_describes_itself(name, dataset):
    assert dataset.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    for field in (dataset.about, dataset.licence, dataset.source, dataset.variant):
        assert field.strip()
    if dataset.is_points:
        assert len(dataset.shape) == dataset.stacked == 1
        assert dataset.transformations == "shifts"
    else:
        channels, height, width = dataset.shape
        assert channels in (1, 3)
        assert height == width > 0
        assert channels % dataset.stacked == 0
        assert dataset.transformations == "rotations"
        assert dataset.mixture is None
    assert bool(dataset.raw_dir) is bool(dataset.how_to_get) is not dataset.is_bundled


def test_some_network_takes_its_images(dataset):
    assert any(dataset.shape in registry.networks[network].shapes for network in registry.networks)


def test_the_documentation_lists_it(name, dataset):
    rows = [line.split("|") for line in Path("docs/datasets.md").read_text().splitlines() if line.startswith("| `")]
    own = [row for row in rows if f"`{name}`" in row[1]]
    assert own, f"add a row about {name} to docs/datasets.md"
    _, _, shape, _, classes, _, folder, *_ = own[0]
    if dataset.is_points:
        assert shape.strip() == str(dataset.shape[0])
        return
    size = "S" if name in ("folder_32", "synthetic_32") or re.search(r"_(48|64)$", name) else dataset.shape[1]
    assert shape.strip() == f"{dataset.shape[0]}, {size}, {size}"
    assert folder.strip() == (f"`{dataset.raw_dir}/`" if dataset.raw_dir else "")
    if dataset.num_classes() != UNKNOWN_CLASSES:
        assert classes.strip() == (f"{dataset.num_classes():,}" if dataset.num_classes() else "–")


def test_downloads_are_required_files_with_checksums_and_addresses(dataset):
    known = {pattern for file in dataset.required_files for form in file for pattern in form}
    for file in dataset.downloads:
        assert file.name in known
        assert re.fullmatch("[0-9a-f]{32}", file.checksum)
        assert file.urls
        assert all(url.startswith("http") and url.endswith(file.name) for url in file.urls)


def test_prepared_arrays_are_bytes_or_points_with_labels_and_a_manifest(dataset, data_dir, tmp_path):
    path = dataset.prepare(data_dir, tmp_path / "cache")
    prepared = open_prepared(path)
    single = (dataset.shape[0] // dataset.stacked, *dataset.shape[1:])
    for arrays in (prepared.train, prepared.test):
        assert arrays.images.dtype == (np.float32 if dataset.is_points else np.uint8)
        assert arrays.images.shape == (len(arrays.labels), *single)
        assert arrays.labels.dtype == np.int64
        assert len(arrays.labels) > 0
        if dataset.is_points:
            assert len(np.unique(arrays.images)) > 0.5 * arrays.images.size, "points are not quantised"
        else:
            assert arrays.images.max() > 200, "the whole range of a byte is used"
    assert isinstance(prepared.train.images, np.memmap)
    assert prepared.path == path
    assert prepared.manifest["dataset"] == dataset.name
    assert prepared.manifest["variant"] == dataset.variant
    assert prepared.manifest["train"] == list(prepared.train.images.shape)
    assert prepared.manifest["test"] == list(prepared.test.images.shape)
    sources = prepared.manifest["sources"]
    assert sources
    assert all(re.fullmatch("[0-9a-f]{32,64}", checksum) for checksum in sources.values())


def test_preparing_again_changes_nothing_and_needs_no_raw_files(dataset, data_dir, tmp_path):
    cache = tmp_path / "cache"
    first = dataset.prepare(data_dir, cache)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in first.iterdir()}
    shutil.rmtree(data_dir)
    assert dataset.prepare(data_dir, cache) == first
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in first.iterdir()} == before
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == [first], "no scratch folder is left"


def test_preparing_elsewhere_gives_the_same_bytes(dataset, data_dir, tmp_path):
    first, second = (dataset.prepare(data_dir, tmp_path / cache) for cache in ("first", "second"))
    assert first.name == second.name
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


def test_sampled_images_have_the_declared_shape_and_follow_the_generator(dataset, data_dir, tmp_path):
    prepared = open_prepared(dataset.prepare(data_dir, tmp_path / "cache"))
    images = ImageSampler(prepared.train.images, dataset.stacked, CPU)
    batch, same, different = (images.draw(7, torch.Generator().manual_seed(seed)).images for seed in (0, 0, 1))
    assert batch.shape == (7, *dataset.shape)
    assert batch.dtype is (torch.float32 if dataset.is_points else torch.uint8)
    assert torch.equal(batch, same)
    assert not torch.equal(batch, different)


def test_missing_files_are_named_with_a_way_to_get_them(name, dataset, tmp_path):
    problem = dataset.missing_message(tmp_path)
    assert dataset.is_bundled is (problem is None), "`run` prepares what needs no files, and nothing else"
    if problem is None:
        dataset.prepare(tmp_path, tmp_path / "cache")
        return
    assert name in problem
    assert str(tmp_path) in problem
    assert "--data-dir" in problem
    with pytest.raises(UserError) as raised:
        dataset.prepare(tmp_path, tmp_path / "cache")
    assert str(raised.value) == problem
    assert not (tmp_path / "cache").exists(), "nothing was started"


def test_each_missing_file_is_named_and_no_other(dataset, data_dir, tmp_path):
    for file in sorted(data_dir.iterdir()):
        aside = file.rename(tmp_path / "aside")
        missing = "\n".join(dataset.missing_files(data_dir))
        assert file.name in missing
        assert not any(other.name in missing for other in data_dir.iterdir())
        aside.rename(file)
    assert dataset.missing_files(data_dir) == []


def test_its_files_can_be_imported_from_any_folder(name, dataset, data_dir, tmp_path):
    if not dataset.required_files:
        assert dataset.is_bundled or name.startswith(("folder_", "cifar10_jpeg"))
        return
    mine = tmp_path / "mine"
    data_dir.rename(mine)
    data = tmp_path / "data"
    files = import_raw_files(dataset, [mine], data, lambda: dataset.prepare(data, tmp_path / "cache"))
    assert {path.parent for path in files} == {data / dataset.raw_dir}
    assert dataset.missing_files(data) == []
    assert dataset.is_prepared(tmp_path / "cache")
    assert verify(dataset, data, tmp_path / "cache").corrupt == []
