"""Reduced scales: narrower networks, fewer samples, synthetic images, and extractors without downloads."""

from functools import cache
from pathlib import Path

import pytest
import yaml

from benchmark.config.scales import apply_scale, cap_samples, cap_width, synthetic_dataset, synthetic_substitute
from benchmark.config.schema import ScaleConfig
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.protocol import bind_metrics
from benchmark.core.registry import DATASETS
from benchmark.data.base import Dataset

SUITES = sorted(Path("suites").glob("*.yaml"))
SCALES = [(path, scale) for path in SUITES for scale in yaml.safe_load(path.read_text())["scales"]]


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


def test_cap_width_never_widens_a_network(trials):
    for spec in trials:
        for width in (4, 10**6):
            narrow = cap_width(spec, width)
            for before, after in ((spec.network_options, narrow.network_options), (spec.options, narrow.options)):
                assert after.keys() == before.keys()
                for key, value in before.items():
                    assert after[key] == (min(value, width) if key.endswith("_width") else value)


def test_capped_widths_are_valid_options(trials):
    """`width` goes around the checks of a suite, so its result must pass them."""
    for spec in trials:
        narrow = cap_width(spec, 4)
        registry.networks[spec.network].Options.model_validate(narrow.network_options)
        registry.methods[spec.method].Options.model_validate(narrow.options)


# --- samples -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [100, 640])
def test_cap_samples_caps_generated_and_real_images(trials, samples):
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


def test_a_cap_below_what_a_metric_needs_is_refused_with_the_place_of_the_scale(small_suite):
    cell = {"dataset": "synthetic_32", "network": "dcgan", "network_options": {}}
    measures = {"prc": {"n_fake": 50, "options": {"extractor": "random_conv", "n_real": 40}}}
    rows = {"GAN": {"method": "gan", **cell, "protocol": {"measures": measures}}}
    defaults = {
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 20,
        "batch_size": 8,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
    }
    scales = {"few": {"samples": 4}, "too_few": {"samples": 3}}
    path = small_suite(defaults=defaults, tables=[{"title": "T", "rows": rows}], scales=scales)
    assert load_suite(path, "few").cells
    with pytest.raises(UserError, match=r"small.yaml:\d+: scales.too_few: prc: n_fake is 3, but 'prc' looks for"):
        load_suite(path, "too_few")


def test_a_cap_above_all_counts_changes_only_open_counts(trials):
    for spec in trials:
        for label, measure in cap_samples(spec, 10**7).protocol.measures.items():
            before = spec.protocol.measures[label].options
            assert {key: measure.options[key] for key, value in before.items() if value is not None} == {
                key: value for key, value in before.items() if value is not None
            }


# --- synthetic images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_shipped_dataset_has_a_synthetic_substitute_of_its_shape(path):
    for spec in largest(path).specs.values():
        dataset, other = registry.datasets[spec.dataset], registry.datasets[synthetic_substitute(spec.dataset)]
        assert (other.shape, other.stacked) == (dataset.shape, dataset.stacked)
        assert other.is_bundled
        assert other is dataset or other.is_synthetic
        assert bool(other.has_digits) >= bool(dataset.has_digits)


def test_bundled_datasets_are_their_own_substitutes():
    for name in registry.datasets:
        if registry.datasets[name].is_bundled:
            assert synthetic_substitute(name) == name


class Odd(Dataset):
    name, shape, num_labels = "odd_images", (3, 20, 24), 10


def test_a_dataset_without_a_substitute_is_refused(monkeypatch):
    monkeypatch.setitem(DATASETS, Odd.name, f"{__name__}:Odd")
    with pytest.raises(UserError, match=r"odd_images: no synthetic dataset has images like these"):
        synthetic_substitute("odd_images")


def test_only_extractors_with_weights_to_download_are_replaced(trials):
    for spec in trials:
        for label, measure in synthetic_dataset(spec).protocol.measures.items():
            before = spec.protocol.measures[label].options.get("extractor")
            if before is None:
                assert "extractor" not in measure.options
            else:
                fetched = registry.extractors[before].needs_download
                assert measure.options["extractor"] == ("random_conv" if fetched else before)


def test_measures_on_synthetic_images_pass_their_own_checks(trials):
    """Neither have narrow trials with few samples."""
    for spec in trials:
        small = apply_scale(spec, ScaleConfig(width=8, samples=100, synthetic=True))
        for one in bind_metrics(small.protocol):
            assert one.metric.check_config(one.options, registry.datasets[small.dataset], one.n_fake) is None


# --- scales --------------------------------------------------------------------------------------------


def test_an_empty_scale_changes_nothing(trials):
    for spec in trials:
        assert apply_scale(spec, ScaleConfig()) == spec


def test_every_field_of_a_scale_changes_the_trial_id(trials):
    spec = next(spec for spec in trials if spec.network == "sngan_resnet")
    changes = [{"width": 4}, {"samples": 100}, {"synthetic": True}, {"width": 4, "samples": 100, "synthetic": True}]
    found = {apply_scale(spec, ScaleConfig(**change)).trial_id for change in changes}
    assert len(found) == len(changes)
    assert spec.trial_id not in found


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_reduced_scales_share_no_trial_with_the_full_one(path):
    real = set(largest(path).specs)
    for scale in list(yaml.safe_load(path.read_text())["scales"])[1:]:
        assert not real & set(loaded(path, scale).specs), scale


@pytest.mark.parametrize(("path", "scale"), SCALES, ids=lambda value: getattr(value, "stem", value))
def test_a_scale_on_synthetic_images_has_no_published_value(path, scale):
    suite = loaded(path, scale)
    synthetic = bool(yaml.safe_load(path.read_text())["scales"][scale].get("synthetic"))
    if synthetic:
        assert suite.is_reduced
        assert all(cell.published is None for cell in suite.cells)
        assert all(registry.datasets[spec.dataset].is_bundled for spec in suite.specs.values())
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
