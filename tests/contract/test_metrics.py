"""What every registered metric must do, of samples or of the discriminator, on datasets that need no files."""

import math
import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from baselines.networks.base import DiscriminatorOutput
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import Protocol
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.extractors import digits
from benchmark.evaluation.extractors.base import Features
from benchmark.evaluation.metrics.base import DiscriminatorMetric, ReferenceFeatures, SampleMetric
from benchmark.evaluation.references import EvaluationAssets, prepare_references
from benchmark.evaluation.sample_evaluator import SampleEvaluator
from tests.support.examples import CPU

SAMPLES = 150
SAMPLE_METRICS = [name for name in registry.metrics if issubclass(registry.metrics[name], SampleMetric)]
DISCRIMINATOR_METRICS = [name for name in registry.metrics if issubclass(registry.metrics[name], DiscriminatorMetric)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One folder for all metrics, so that digit classifiers are trained once, for one epoch."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digits, "EPOCHS", {8: 1, 28: 1})  # what holds of metrics here holds with a bad classifier
        yield tmp_path_factory.mktemp("cache")


@pytest.fixture(params=SAMPLE_METRICS, scope="module")
def metric_class(request):
    return registry.metrics[request.param]


def small(metric_class, extractor):
    """Options that ask for few images."""
    return metric_class.with_sample_cap(metric_class.Options.model_validate({"extractor": extractor}), SAMPLES)


@pytest.fixture(scope="module")
def chosen(metric_class):
    """The first dataset that ships and extractor without a download that the metric can be measured with."""
    for dataset in (d for d in map(registry.datasets.__getitem__, registry.datasets) if d.is_bundled):
        for name in (n for n in registry.extractors if not registry.extractors[n].needs_download):
            with suppress(ValidationError):  # it takes its own extractor only
                options = small(metric_class, name)
                if metric_class.check_config(options, dataset, SAMPLES) is None:
                    return dataset, options
    raise AssertionError("a metric needs a dataset and an extractor with which it can be tried offline")


@pytest.fixture(scope="module")
def dataset(chosen):
    return chosen[0]


@pytest.fixture(scope="module")
def options(chosen):
    return chosen[1]


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    return open_prepared(dataset.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def protocol(metric_class, options):
    measure = {"n_fake": SAMPLES, "options": options.model_dump(mode="json")}
    return Protocol.model_validate({"measures": {metric_class.name: measure}})


@pytest.fixture(scope="module")
def assets(protocol, dataset, prepared, cache):
    return prepare_references(protocol, dataset, prepared, cache, cache)


@pytest.fixture(scope="module")
def evaluator(protocol, assets):
    return SampleEvaluator(protocol, assets, CPU)


@pytest.fixture(scope="module")
def images(dataset, prepared):
    if dataset.is_points:
        return torch.from_numpy(np.array(prepared.test.images[:SAMPLES]))
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (SAMPLES, *dataset.shape), dtype=np.uint8))


@pytest.fixture(scope="module")
def whole(evaluator, images):
    """The result over all images in one batch."""
    return evaluator.evaluate([images])


def test_every_metric_is_of_one_kind():
    assert sorted(SAMPLE_METRICS + DISCRIMINATOR_METRICS) == sorted(registry.metrics)


def test_it_is_described(metric_class, options):
    assert metric_class.needs_samples
    assert_described(metric_class, options)


def assert_described(metric_class, options):
    assert registry.metrics[metric_class.name] is metric_class
    assert metric_class.about.strip()
    outputs = metric_class.outputs(options)
    keys = [output.key for output in outputs]
    assert len(set(keys)) == len(keys) > 0
    for output in outputs:
        assert re.fullmatch("[a-z][a-z0-9_]*", output.key)
        assert output.title.strip()
        assert output.better in ("higher", "lower")
        assert 0 <= output.decimals <= 6


def test_the_key_of_every_output_implies_the_extractor(metric_class):
    """So that what is measured through another network is never taken for a published number.

    A network trained from another seed counts as the same one: the suffix of its measure distinguishes the two.
    """
    default = metric_class.Options().extractor
    plain = {output.key for output in metric_class.outputs(metric_class.Options())}
    same = {name for name in registry.extractors if issubclass(registry.extractors[name], registry.extractors[default])}
    for name in set(registry.extractors) - same:
        with suppress(ValidationError):  # it takes its own extractor only
            options = metric_class.Options.model_validate({"extractor": name})
            assert not {output.key for output in metric_class.outputs(options)} & plain, name


def test_every_option_says_where_its_default_is_from(metric_class):
    for name, field in metric_class.Options.model_fields.items():
        assert field.description, name


def test_preparing_again_does_nothing(protocol, dataset, prepared, assets, cache):
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert prepare_references(protocol, dataset, prepared, cache, cache) == assets
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_it_gives_its_outputs_and_nothing_else(metric_class, options, whole):
    found = whole.values
    assert list(found) == [output.key for output in metric_class.outputs(options)]
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    for output in metric_class.outputs(options):
        assert output.minimum <= found[output.key] <= output.maximum


def test_its_reference_lines_and_notes_belong_to_its_outputs(metric_class, options):
    lines = metric_class.reference_lines(options, 25_600)
    assert set(lines) <= {output.key for output in metric_class.outputs(options)}
    for line in lines.values():
        assert math.isfinite(line.value)
        assert line.label.strip()
    assert all(title.strip() and note.strip() for title, note in metric_class.notes(options, 25_600).items())


def test_its_histogram_counts_every_image_once(metric_class, options, whole):
    bins = metric_class.histogram_spec(options)
    assert set(whole.histograms) == ({metric_class.name} if bins else set())
    for counts in whole.histograms.values():
        assert (len(counts), sum(counts)) == (bins.num_bins, SAMPLES)
        assert all(type(count) is int and count >= 0 for count in counts)
        assert bins.position.strip()
        assert all(axis.strip() and places > 1 for axis, places in bins.axes)


def test_it_is_deterministic_and_changes_neither_images_nor_random_state(evaluator, images, whole):
    before, stream = images.clone(), torch.get_rng_state()
    assert evaluator.evaluate([images]) == whole
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("size", [1, 64, 149])
def test_it_does_not_depend_on_the_size_of_the_batches(evaluator, images, whole, size):
    parts = evaluator.evaluate(iter(images.split(size)))
    assert parts.values == pytest.approx(whole.values, rel=1e-6, abs=1e-9)
    assert parts.histograms == whole.histograms


def test_it_takes_exactly_n_fake_samples(evaluator, images, whole):
    assert evaluator.evaluate([images, images.flip(0)]) == whole
    with pytest.raises(ValueError, match="1 more"):
        evaluator.evaluate([images[1:]])


def test_it_depends_on_the_images(evaluator, images, whole):
    assert whole != evaluator.evaluate([images[:1].expand_as(images).contiguous()])


def test_a_second_evaluator_gives_the_same_values(protocol, assets, images, whole):
    assert SampleEvaluator(protocol, assets, CPU).evaluate([images]) == whole


def test_it_refuses_to_compute_without_samples(metric_class, options, dataset):
    reference, statistics = None, metric_class.dataset_statistics(options, dataset)
    if metric_class.needs_reference:
        reference = ReferenceFeatures(np.zeros((SAMPLES, 3), np.float32), np.zeros((SAMPLES, 3), np.float32))
        statistics |= metric_class.reference_statistics(options, reference, CPU)
    with pytest.raises(ValueError, match="no samples"):
        metric_class(options, reference, statistics).compute()


def some_features(rng, n, points):
    """Features and logits of n images of 10 classes, or n of the points and no logits."""
    if points is not None:
        return points[:n], points[:n, :0]
    return [rng.standard_normal((n, width)).astype(np.float32) for width in (3, 10)]


def measured_from(metric_class, options, n_fake, n_real, dataset, points):
    """The values over so many generated and real images, from features."""
    rng = np.random.default_rng(0)
    real = ReferenceFeatures(*some_features(rng, n_real, points)) if metric_class.needs_reference else None
    statistics = metric_class.reference_statistics(options, real, CPU) if real else {}
    metric = metric_class(options, real, statistics | metric_class.dataset_statistics(options, dataset))
    metric.update(Features(*map(torch.from_numpy, some_features(rng, n_fake, points))))
    return metric.compute()


def test_it_states_exactly_how_many_images_it_needs(metric_class, dataset, options, prepared):
    """With as many it is computed; with one fewer of either kind it is refused before a run, and cannot be computed."""
    required = metric_class.required_images(options)
    points = np.array(prepared.test.images[:SAMPLES]) if dataset.is_points else None

    def measured(n_fake, n_real):
        return measured_from(metric_class, options, n_fake, n_real, dataset, points)

    assert all(map(math.isfinite, measured(required.generated, required.real).values()))
    assert metric_class.check_config(options, dataset, required.generated) is None
    problem = metric_class.check_config(options, dataset, required.generated - 1)
    assert f"n_fake is {required.generated - 1:,}, but '{metric_class.name}'" in problem
    with pytest.raises(ValueError, match=r"samples|images"):
        measured(required.generated - 1, required.real)
    if not metric_class.needs_reference:
        return
    if required.real > 1:
        few = options.model_copy(update={"n_real": required.real - 1})
        assert f"n_real is {required.real - 1:,}, but" in metric_class.check_config(few, dataset, SAMPLES)
        with pytest.raises(ValueError, match=r"samples|images"):
            measured(required.generated, required.real - 1)


def test_prepared_images_must_suffice(metric_class, dataset, options, prepared):
    """All images of a split, if `n_real` is not set, may be too few; and `n_real` may be more than there are."""
    assert metric_class.check_data(options, dataset, prepared) is None
    if not metric_class.needs_reference or dataset.stacked > 1:
        return
    every, required = options.model_copy(update={"n_real": None}), metric_class.required_images(options).real

    def check(options, n):
        arrays = ArraySplit(prepared.train.images[:n], prepared.train.labels[:n])
        return metric_class.check_data(options, dataset, PreparedData(prepared.path, arrays, arrays, {}))

    assert check(every, required) is None
    for n in range(required):
        assert f"split of {dataset.name} has {n:,} image" in check(every, n)
    assert f"n_real is {SAMPLES}, and the train split" in check(options, SAMPLES - 1)


def test_a_sample_cap_limits_the_real_images(metric_class):
    few = small(metric_class, metric_class.Options().extractor)
    assert getattr(few, "n_real", SAMPLES) == SAMPLES
    assert metric_class.with_sample_cap(few, 10**6) == few


# --- of the discriminator ------------------------------------------------------------------------------


class Pooled:
    """A discriminator of downscaled images, which takes each image alone and draws no random numbers."""

    def __init__(self, spoilt=False):
        self.spoilt = spoilt
        self.seen = 0

    def discriminate(self, images):
        features, turns = self._features(images), self.rotation_logits(images)
        classes = torch.cat([turns, features[:, 4:5]], 1)  # and a fifth, "fake"
        return DiscriminatorOutput(features.sum(1), classes, features, features[:, :0])

    def rotation_logits(self, images):
        self.seen += len(images)
        return self._features(images)[:, :4]

    def sequential_tasks(self):
        return 0, 1

    def _features(self, images):
        assert images.dtype is torch.uint8
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.double() / 255, 4).flatten(1).float()
        return pooled * torch.nan if self.spoilt else pooled


@pytest.fixture(params=DISCRIMINATOR_METRICS, scope="module")
def discriminator_metric(request):
    return registry.metrics[request.param]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    dataset = registry.datasets["synthetic_32"]
    return dataset, open_prepared(dataset.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def few(discriminator_metric):
    return discriminator_metric.with_sample_cap(discriminator_metric.Options(), SAMPLES)


@pytest.fixture
def evaluate(discriminator_metric, few, synthetic):
    def values_of(discriminator, options=few):
        metric = discriminator_metric(options, *synthetic)
        metric.update(discriminator)
        return metric.compute()

    return values_of


def test_a_discriminator_metric_needs_no_samples_and_is_described(discriminator_metric, few):
    assert not discriminator_metric.needs_samples
    assert not hasattr(few, "extractor")
    assert_described(discriminator_metric, few)
    for name, field in discriminator_metric.Options.model_fields.items():
        assert field.description, name
    assert all(title.strip() and note.strip() for title, note in discriminator_metric.notes(few, 0).items())
    assert set(discriminator_metric.reference_lines(few, 0)) <= {
        output.key for output in discriminator_metric.outputs(few)
    }


def test_a_sample_cap_limits_the_images_shown_to_the_discriminator(discriminator_metric, few, evaluate):
    assert discriminator_metric.with_sample_cap(few, 10**6) == few
    assert discriminator_metric.Options.model_validate(few.model_dump()) == few
    less, more = (Pooled(), Pooled())
    for discriminator, samples in ((less, 30), (more, SAMPLES)):
        evaluate(discriminator, discriminator_metric.with_sample_cap(discriminator_metric.Options(), samples))
    assert 0 < less.seen < more.seen


def test_it_supports_some_method(discriminator_metric):
    answers = [discriminator_metric.supports(registry.methods[name]) for name in registry.methods]
    assert all(type(answer) is bool for answer in answers)
    assert any(answers)


def test_a_bundled_dataset_supports_it(discriminator_metric, few, synthetic):
    dataset, prepared = synthetic
    assert discriminator_metric.check_config(few, dataset, 0) is None
    assert discriminator_metric.check_data(few, dataset, prepared) is None
    nothing = ArraySplit(prepared.test.images[:0], prepared.test.labels[:0])
    problem = discriminator_metric.check_data(few, dataset, PreparedData(prepared.path, nothing, nothing, {}))
    assert dataset.name in problem


def test_it_gives_its_outputs_and_nothing_else_of_a_discriminator(discriminator_metric, few, evaluate):
    found = evaluate(Pooled())
    assert list(found) == [output.key for output in discriminator_metric.outputs(few)]
    assert all(type(value) is float and math.isfinite(value) for value in found.values())


def test_it_is_deterministic_for_a_discriminator_and_draws_no_global_random_numbers(evaluate, synthetic):
    _, prepared = synthetic
    before, stream = prepared.test.images.copy(), torch.get_rng_state()
    numpy_stream = np.random.get_state()[1].copy()
    assert evaluate(Pooled()) == evaluate(Pooled())
    assert torch.equal(torch.get_rng_state(), stream)
    assert np.array_equal(np.random.get_state()[1], numpy_stream)
    assert np.array_equal(prepared.test.images, before)


def test_a_non_finite_discriminator_gives_nan(discriminator_metric, few, evaluate):
    found = evaluate(Pooled(spoilt=True))
    assert list(found) == [output.key for output in discriminator_metric.outputs(few)]
    assert not any(map(math.isfinite, found.values()))


def test_it_refuses_to_compute_without_a_discriminator(discriminator_metric, few, synthetic):
    with pytest.raises(ValueError, match="to measure"):
        discriminator_metric(few, *synthetic).compute()


def test_a_discriminator_metric_needs_no_assets(discriminator_metric, few, synthetic, tmp_path):
    options = few.model_dump(mode="json")
    protocol = Protocol.model_validate({"measures": {discriminator_metric.name: {"options": options}}})
    assert [one.n_fake for one in bind_metrics(protocol)] == [0]
    found = prepare_references(protocol, *synthetic, tmp_path / "cache", tmp_path)
    assert found == EvaluationAssets(extractors={}, references={})
    assert SampleEvaluator(protocol, found, CPU).evaluate([]) == ({}, {})
