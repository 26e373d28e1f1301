"""Class folders of own images become labels; methods that need labels are refused without them."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmark.cli.app import main
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.data.base import UNKNOWN_CLASSES
from benchmark.data.manifest import MANIFEST
from benchmark.data.prepared import open_prepared
from benchmark.trials.make_jobs import check_labels

CLASSES = ("ant", "bee", "cat")


def write_images(folder, classes, n=12, seed=0):
    rng = np.random.default_rng(seed)
    for index in range(n):
        place = folder / classes[index % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place / f"{index}.png")


@pytest.fixture
def suite(small_suite):
    def of(method, **options):
        defaults = {
            "dataset": "folder_32",
            "network": "sngan_resnet",
            "network_options": {"generator_width": 2, "discriminator_width": 2},
            "latent": {"dim": 4, "distribution": "normal"},
            "steps": 2,
            "batch_size": 4,
            "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
            "protocol": {
                "measures": {"fid": {"n_fake": 8, "options": {"extractor": "pixels"}}},
                "evaluations": 1,
                "sample_batch": 4,
            },
        }
        rows = {"A": {"method": method, "options": options}}
        return small_suite(defaults=defaults, tables=[{"title": "T", "rows": rows}], seeds=[0])

    return of


def run(monkeypatch, suite, tmp_path, command="run"):
    places = ["--workspace", tmp_path / "w", "--data-dir", tmp_path, "--report-dir", tmp_path / "r"]
    runner = ["--runner", "inprocess"] if command == "run" else []
    monkeypatch.setattr("sys.argv", ["benchmark", command, str(suite), *runner, *map(str, places)])
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_the_manifest_states_the_number_of_classes(tmp_path):
    write_images(tmp_path / "folder", CLASSES)
    dataset = registry.datasets["folder_32"]
    assert dataset.num_classes() == UNKNOWN_CLASSES
    path = dataset.prepare(tmp_path, tmp_path / "cache")
    assert json.loads((path / MANIFEST).read_text())["classes"] == 3


@pytest.mark.parametrize("options", [{}, {"prototypes": 5, "labelled": 0.5}], ids=["conditional", "self-labelling"])
def test_class_folders_are_labels(monkeypatch, tmp_path, suite, options):
    write_images(tmp_path / "folder", CLASSES)
    registry.datasets["folder_32"].prepare(tmp_path, tmp_path / "w" / "data")
    assert run(monkeypatch, suite("self_labelling" if options else "conditional_gan", **options), tmp_path) == 0
    assert "finished" in (tmp_path / "r" / "results.csv").read_text()


@pytest.mark.parametrize("classes", [(), (*CLASSES, ".")], ids=["none", "some images outside"])
def test_images_without_labels_are_refused_before_anything_is_trained(monkeypatch, tmp_path, suite, classes, capsys):
    write_images(tmp_path / "folder", classes)
    registry.datasets["folder_32"].prepare(tmp_path, tmp_path / "w" / "data")
    assert run(monkeypatch, suite("conditional_gan"), tmp_path) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'conditional_gan' learns from labels, and" in said
    assert "put every image into a folder of its class" in said
    assert not list((tmp_path / "w" / "results").glob("*.json"))


def test_a_method_with_too_few_prototypes_for_the_classes_is_refused(tmp_path, suite):
    write_images(tmp_path / "folder", CLASSES)
    prepared = open_prepared(registry.datasets["folder_32"].prepare(tmp_path, tmp_path / "cache"))
    (spec,) = load_suite(suite("self_labelling", prototypes=2, labelled=0.5)).specs.values()
    with pytest.raises(UserError, match="prototypes is 2, too few for 3 manual classes"):
        check_labels(spec, prepared)


def test_results_on_former_images_are_no_results_of_the_new_ones(monkeypatch, tmp_path, suite, capsys):
    write_images(tmp_path / "folder", CLASSES, n=20)
    prepare = registry.datasets["folder_32"].prepare
    prepare(tmp_path, tmp_path / "w" / "data")
    path = suite("gan")
    assert run(monkeypatch, path, tmp_path) == 0
    (record,) = (tmp_path / "w" / "results").glob("*.json")
    results, first = tmp_path / "r" / "results.csv", json.loads(record.read_text())
    before = results.read_bytes()
    write_images(tmp_path / "folder", CLASSES, n=20, seed=1)
    prepare(tmp_path, tmp_path / "w" / "data")
    capsys.readouterr()
    assert run(monkeypatch, path, tmp_path, "report") == 2
    assert "1 of the suite's results on folder_32 is left out, measured on other images" in " ".join(
        capsys.readouterr().err.split()
    )
    assert results.read_bytes() == before, "the report of the former images stays"
    assert run(monkeypatch, path, tmp_path) == 0
    second = json.loads(record.read_text())
    assert second["trial_id"] == first["trial_id"]
    assert second["data"]["checksums"] != first["data"]["checksums"]
    assert second["history"][-1]["metrics"] != first["history"][-1]["metrics"]
    assert results.read_bytes() != before
