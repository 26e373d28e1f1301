"""Reduced scales: narrower nets, fewer samples, and images and networks that every machine has."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmark.config.scales import apply_scale, cap_samples, cap_width, synthetic_dataset, synthetic_substitute
from benchmark.config.schema import ScaleConfig
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.protocol import bind_metrics
from benchmark.core.registry import DATASETS
from benchmark.data.base import Dataset
from benchmark.data.datasets.synthetic import CLASSES, TEST, TRAIN
from benchmark.evaluation.metrics.linear_probe import fit_probe

SUITES = sorted(Path("suites").glob("*.yaml"))
SCALES = [(path, scale) for path in SUITES for scale in yaml.safe_load(path.read_text())["scales"]]
MADE_UP = [name for name in registry.datasets if registry.datasets[name].is_synthetic]


@cache
def loaded(path, scale):
    return load_suite(path, scale)


def largest(path):
    """The first of its scales, `paper` in most suites: nothing of it is reduced."""
    return loaded(path, next(scale for file, scale in SCALES if file == path))


@pytest.fixture(scope="module")
def trials():
    """The first of every cell of the shipped suites."""
    return [spec for path in SUITES for cell in largest(path).cells for spec in cell.specs[:1]]


# --- width ---------------------------------------------------------------------------------------------


def test_no_player_is_wider_and_none_becomes_wider(trials):
    for spec in trials:
        for width in (4, 10**6):
            narrow = cap_width(spec, width).network_options
            assert narrow.keys() == spec.network_options.keys()
            for key, value in spec.network_options.items():
                assert narrow[key] == (min(value, width) if key.endswith("_width") else value)


def test_what_a_width_caps_still_makes_a_network(trials):
    """`width` goes around the checks of a suite, so its result must pass them."""
    for spec in trials:
        registry.networks[spec.network].Options.model_validate(cap_width(spec, 4).network_options)


# --- samples -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [100, 640])
def test_no_measure_takes_more_images_of_either_kind(trials, samples):
    for spec in trials:
        for label, measure in cap_samples(spec, samples).protocol.measures.items():
            before = spec.protocol.measures[label]
            assert (measure.metric, measure.codec) == (before.metric, before.codec)
            if before.n_fake is None:
                assert measure.n_fake is None
            else:
                assert measure.n_fake == min(before.n_fake, samples)
            for key in ("n_real", "n_train", "n_test", "subset_size"):
                if key in before.options:
                    assert measure.options[key] <= min(before.options[key] or samples, samples)
            same = {"reference", "extractor", "splits", "subsets"} & before.options.keys()
            assert {key: measure.options[key] for key in same} == {key: before.options[key] for key in same}


def test_a_cap_above_everything_changes_only_what_was_all_of_a_split(trials):
    for spec in trials:
        for label, measure in cap_samples(spec, 10**7).protocol.measures.items():
            before = spec.protocol.measures[label].options
            assert {key: measure.options[key] for key, value in before.items() if value is not None} == {
                key: value for key, value in before.items() if value is not None
            }


# --- synthetic images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_there_is_a_stand_in_of_the_same_make_for_every_dataset_of_a_shipped_suite(path):
    for spec in largest(path).specs.values():
        dataset, other = registry.datasets[spec.dataset], registry.datasets[synthetic_substitute(spec.dataset)]
        assert (other.shape, other.stacked) == (dataset.shape, dataset.stacked)
        assert other.is_bundled
        assert other is dataset or other.is_synthetic
        assert bool(other.has_digits) >= bool(dataset.has_digits)


def test_what_ships_stands_for_itself():
    for name in registry.datasets:
        if registry.datasets[name].is_bundled:
            assert synthetic_substitute(name) == name


class Odd(Dataset):
    name, shape, num_labels = "odd_images", (3, 20, 24), 10


def test_images_that_nothing_is_like_are_refused(monkeypatch):
    monkeypatch.setitem(DATASETS, Odd.name, f"{__name__}:Odd")
    with pytest.raises(UserError, match=r"odd_images: no synthetic dataset has images like these"):
        synthetic_substitute("odd_images")


def test_extractors_with_weights_to_fetch_give_way_to_the_random_network_and_the_others_stay(trials):
    for spec in trials:
        for label, measure in synthetic_dataset(spec).protocol.measures.items():
            before = spec.protocol.measures[label].options.get("extractor")
            if before is None:
                assert "extractor" not in measure.options
            else:
                fetched = registry.extractors[before].needs_download
                assert measure.options["extractor"] == ("random_conv" if fetched else before)


def test_what_is_measured_on_stand_ins_has_no_problem(trials):
    """Neither have narrow trials with few samples."""
    for spec in trials:
        small = apply_scale(spec, ScaleConfig(width=8, samples=100, synthetic=True))
        for one in bind_metrics(small.protocol):
            assert one.metric.check_config(one.options, registry.datasets[small.dataset], one.n_fake) is None


# --- scales --------------------------------------------------------------------------------------------


def test_a_scale_that_reduces_nothing_leaves_the_trial(trials):
    for spec in trials:
        assert apply_scale(spec, ScaleConfig()) == spec


def test_each_field_of_a_scale_makes_another_trial(trials):
    spec = next(spec for spec in trials if spec.network == "sngan_resnet")
    changes = [{"width": 4}, {"samples": 100}, {"synthetic": True}, {"width": 4, "samples": 100, "synthetic": True}]
    found = {apply_scale(spec, ScaleConfig(**change)).trial_id for change in changes}
    assert len(found) == len(changes)
    assert spec.trial_id not in found


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_no_trial_of_a_reduced_scale_is_one_of_the_largest(path):
    real = set(largest(path).specs)
    for scale in list(yaml.safe_load(path.read_text())["scales"])[1:]:
        assert not real & set(loaded(path, scale).specs), scale


@pytest.mark.parametrize(("path", "scale"), SCALES, ids=lambda value: getattr(value, "stem", value))
def test_a_scale_on_synthetic_images_has_no_published_value(path, scale):
    suite = loaded(path, scale)
    made_up = bool(yaml.safe_load(path.read_text())["scales"][scale].get("synthetic"))
    if made_up:
        assert suite.is_reduced
        assert all(cell.published is None for cell in suite.cells)
        assert {spec.dataset for spec in suite.specs.values()} <= set(MADE_UP)
    else:
        published = {(cell.table, cell.row): cell.published for cell in largest(path).cells}
        assert all(cell.published == published[cell.table, cell.row] for cell in suite.cells)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_has_a_smoke_scale_that_needs_no_files_and_no_weights(path, tmp_path):
    for spec in loaded(path, "smoke").specs.values():
        dataset = registry.datasets[spec.dataset]
        assert dataset.is_bundled
        assert dataset.missing_files(tmp_path) == []
        for measure in spec.protocol.measures.values():
            if name := measure.options.get("extractor"):
                assert not registry.extractors[name].needs_download
                assert registry.extractors[name].missing_message(tmp_path) is None


# --- the images ----------------------------------------------------------------------------------------


@pytest.fixture(params=MADE_UP, scope="module")
def made_up(request):
    return registry.datasets[request.param]


@pytest.fixture(scope="module")
def splits(made_up, tmp_path_factory):
    return made_up.read(tmp_path_factory.mktemp("nothing"))


def test_they_say_that_they_are_synthetic(made_up):
    assert "synthetic" in made_up.about
    assert "nothing" in made_up.note
    assert made_up.is_bundled


def test_they_are_the_same_every_time_and_their_checksum_tells_them_apart(made_up, splits, tmp_path):
    train, test, sources = splits
    again = made_up.read(tmp_path)
    assert np.array_equal(again[0].images, train.images)
    assert np.array_equal(again[1].images, test.images)
    assert again[2] == sources
    assert not set(map(bytes, train.images)) & set(map(bytes, test.images)), "what is held out is not trained on"
    others = [registry.datasets[name].read(tmp_path)[2] for name in MADE_UP if name != made_up.name]
    assert sources not in others


def test_they_are_of_the_shape_that_they_say(made_up, splits):
    train, test, _ = splits
    shape = (made_up.shape[0] // made_up.stacked, *made_up.shape[1:])
    assert (train.images.shape, test.images.shape) == ((TRAIN, *shape), (TEST, *shape))
    assert train.images.dtype == np.uint8
    for split in (train, test):
        assert np.bincount(split.labels).tolist() == [len(split.labels) // CLASSES] * CLASSES
        assert 20 < split.images.mean() < 235
        assert split.images.std() > 20


def test_a_linear_probe_tells_their_classes_apart(splits):
    train, test, _ = splits
    order = np.random.default_rng(0).permutation(len(train.labels))  # the probe wants any random order
    features, labels = small(train.images[order]), torch.from_numpy(train.labels[order])
    right = fit_probe(features, labels).predict(small(test.images)) == torch.from_numpy(test.labels)
    assert 100 * float(right.double().mean()) > 60


def test_and_a_linear_probe_tells_their_rotations_apart(splits):
    train, test, _ = splits

    def turned(images):
        views = [np.rot90(images, turns, (2, 3)) for turns in range(4)]
        return small(np.concatenate(views)), torch.arange(4).repeat_interleave(len(images))

    features, turns = turned(train.images)
    order = torch.randperm(len(turns), generator=torch.Generator().manual_seed(0))
    images, expected = turned(test.images)
    right = fit_probe(features[order], turns[order]).predict(images) == expected
    assert 100 * float(right.double().mean()) > 60, "25 % is guessing"


def small(images):
    """(N, C 16 16) float: every image at a coarse grid."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float()
    return torch.nn.functional.adaptive_avg_pool2d(pixels, 16).flatten(1)
