"""What every registered dataset must do."""

import re
import shutil

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.data.prepared import open_prepared
from benchmark.data.raw.import_files import import_files
from benchmark.data.raw.sources import raw_dir, required_files
from benchmark.data.raw.verify import verify
from benchmark.data.sampler import ImageSampler
from tests.support.examples import CPU, RAW_FILES


@pytest.fixture(params=list(registry.datasets))
def name(request):
    return request.param


@pytest.fixture
def dataset(name):
    return registry.datasets[name]


@pytest.fixture
def data_dir(name, dataset, tmp_path, monkeypatch):
    """A folder with the raw files that the dataset needs, made small."""
    folder = tmp_path / "raw"
    folder.mkdir()
    if dataset.missing_files(folder) is not None:
        assert name in RAW_FILES, "teach contract/examples.py to write small raw files for this dataset"
        RAW_FILES[name](folder, monkeypatch)
    return folder


def test_it_says_what_it_is(name, dataset):
    assert dataset.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    for field in (dataset.about, dataset.licence, dataset.source, dataset.variant):
        assert field.strip()
    channels, height, width = dataset.shape
    assert channels in (1, 3)
    assert height == width > 0
    assert channels % dataset.stacked == 0


def test_some_network_makes_its_images(dataset):
    assert any(dataset.shape in registry.networks[network].shapes for network in registry.networks)


def test_prepared_arrays_are_bytes_with_labels_and_a_manifest(dataset, data_dir, tmp_path):
    path = dataset.prepare(data_dir, tmp_path / "cache")
    prepared = open_prepared(path)
    single = (dataset.shape[0] // dataset.stacked, *dataset.shape[1:])
    for arrays in (prepared.train, prepared.test):
        assert arrays.images.dtype == np.uint8
        assert arrays.images.shape == (len(arrays.labels), *single)
        assert arrays.labels.dtype == np.int64
        assert len(arrays.labels) > 0
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
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == [first], "no scratch is left"


def test_preparing_elsewhere_gives_the_same_bytes(dataset, data_dir, tmp_path):
    one, other = (dataset.prepare(data_dir, tmp_path / cache) for cache in ("one", "other"))
    assert one.name == other.name
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def test_drawn_images_have_the_shape_that_a_gan_sees_and_follow_the_stream(dataset, data_dir, tmp_path):
    prepared = open_prepared(dataset.prepare(data_dir, tmp_path / "cache"))
    images = ImageSampler(prepared.train.images, dataset.stacked, CPU)
    one, same, other = (images.draw(7, torch.Generator().manual_seed(seed)).images for seed in (0, 0, 1))
    assert one.shape == (7, *dataset.shape)
    assert one.dtype is torch.uint8
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_missing_files_are_named_with_a_way_to_get_them(name, dataset, tmp_path):
    problem = dataset.missing_files(tmp_path)
    assert dataset.is_bundled is (problem is None), "`run` prepares what needs no files, and nothing else"
    if problem is None:
        assert name not in RAW_FILES
        dataset.prepare(tmp_path, tmp_path / "cache")  # it needs no files, as it says
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
        others = [other.name for other in data_dir.iterdir()]
        problem = dataset.missing_files(data_dir)
        assert file.name in problem
        assert not any(other in problem for other in others)
        aside.rename(file)
    assert dataset.missing_files(data_dir) is None


def test_its_files_can_be_imported_from_wherever_they_are(name, dataset, data_dir, tmp_path):
    if name not in RAW_FILES or name.startswith("folder_"):
        assert not required_files(name), "files without known names are not looked for"
        return
    mine = tmp_path / "mine"
    data_dir.rename(mine)
    data = tmp_path / "data"
    put = import_files(dataset, [mine], data, lambda: dataset.prepare(data, tmp_path / "cache"))
    assert {path.parent for path in put} == {data / raw_dir(name)}
    assert dataset.missing_files(data) is None
    assert dataset.is_prepared(tmp_path / "cache")
    assert verify(dataset, data, tmp_path / "cache").corrupt == []
