"""What every registered metric must do, on the datasets that need no files."""

import math
import re

import numpy as np
import pytest
import torch

from benchmark import plugins
from benchmark.data.base import open_prepared

from .examples import CPU, NoFiles32


@pytest.fixture(scope="session")
def instruments(tmp_path_factory):
    """One folder for the whole session, shared with benchmark/test_metrics.py: what is slow is done once."""
    return tmp_path_factory.getbasetemp() / "instruments"


@pytest.fixture(params=list(plugins.metrics), scope="module")
def metric_class(request):
    return plugins.metrics[request.param]


@pytest.fixture(scope="module")
def dataset(metric_class, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    fitting = [d for d in (*map(plugins.datasets.__getitem__, plugins.datasets), NoFiles32) if metric_class.fits(d)]
    offline = [d for d in fitting if d.missing(empty) is None]
    assert offline, "a metric needs a dataset on which it can be tried without raw files"
    return offline[0]


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    return open_prepared(dataset.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def instrument(metric_class, prepared, instruments):
    return metric_class.prepare(prepared, instruments)


@pytest.fixture(scope="module")
def metric(metric_class, instrument):
    return metric_class(instrument, CPU)


@pytest.fixture(scope="module")
def images(dataset):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (150, *dataset.shape), dtype=np.uint8))


def test_it_says_what_it_measures(metric_class):
    assert plugins.metrics[metric_class.name] is metric_class
    assert metric_class.about.strip()
    assert metric_class.extractor.strip()
    keys = [output.key for output in metric_class.outputs]
    assert len(set(keys)) == len(keys) > 0
    for output in metric_class.outputs:
        assert re.fullmatch("[a-z][a-z0-9_]*", output.key)
        assert output.title.strip()
        assert output.better in ("higher", "lower")
        assert 0 <= output.digits <= 6


def test_preparing_again_does_nothing(metric_class, prepared, instrument, instruments):
    before = {path: path.stat().st_mtime_ns for path in instruments.rglob("*")}
    assert instrument in before
    assert metric_class.prepare(prepared, instruments) == instrument
    assert {path: path.stat().st_mtime_ns for path in instruments.rglob("*")} == before


def test_it_gives_its_outputs_and_nothing_else(metric_class, metric, images):
    found = metric.measure([images])
    assert set(found) == {output.key for output in metric_class.outputs}
    assert all(type(value) is float and math.isfinite(value) for value in found.values())


def test_its_facts_are_finite_numbers_and_those_with_titles_are_shares(metric):
    assert all(type(v) is float and math.isfinite(v) for v in metric.facts.values())
    assert set(metric.fact_titles) <= set(metric.facts)
    for key, title in metric.fact_titles.items():
        assert title.strip()
        assert 0 <= metric.facts[key] <= 1


def test_its_landmarks_are_finite_values_of_its_own_outputs(metric_class):
    landmarks = metric_class.landmarks(25_600)
    assert set(landmarks) <= {output.key for output in metric_class.outputs}
    for landmark in landmarks.values():
        assert math.isfinite(landmark.value)
        assert landmark.words.strip()
    assert all(title.strip() and note.strip() for title, note in metric_class.notes(25_600).items())


def test_it_is_deterministic_and_leaves_images_and_streams_alone(metric, images):
    before, stream = images.clone(), torch.get_rng_state()
    assert metric.measure([images]) == metric.measure([images])
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("size", [1, 7, 64, 149])
def test_it_does_not_depend_on_the_size_of_the_batches(metric, images, size):
    assert metric.measure(iter(images.split(size))) == pytest.approx(metric.measure([images]), rel=1e-9)


def test_it_depends_on_the_images(metric, images):
    assert metric.measure([images]) != metric.measure([torch.zeros_like(images)])


def test_opened_again_it_measures_the_same(metric_class, metric, instrument, images):
    assert metric_class(instrument, CPU).measure([images]) == metric.measure([images])


def test_it_refuses_to_measure_nothing(metric):
    with pytest.raises(ValueError, match="no samples"):
        metric.measure([])
