"""Rotation accuracy: known answers, how each head is read, and whole trials in which training is not disturbed."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from baselines.common import rotations
from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.protocol import metric_of_output, metric_outputs
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import to_range
from benchmark.evaluation.discriminator_evaluator import DiscriminatorEvaluator, FrozenDiscriminator
from benchmark.evaluation.metrics.rotation_accuracy import RotationAccuracy, RotationOptions
from benchmark.evaluation.references import prepare_references
from benchmark.report.markdown import leaderboard
from benchmark.report.provenance import metric_notes
from benchmark.trials import runner
from benchmark.trials.build import build_trainer
from tests.support.trials import job_in, silent

CPU = torch.device("cpu")
Synthetic32 = registry.datasets["synthetic_32"]
NAMING = {"ssgan", "msgan", "ssgan_la", "ssgan_la_plus", "dist_gan_ss", "dist_gan_ms"}


# --- known answers -------------------------------------------------------------------------------------


class Names:
    """A discriminator that answers by a function of the images: (N,) turns."""

    def __init__(self, turns):
        self.turns = turns

    def rotation_logits(self, images):
        return torch.nn.functional.one_hot(self.turns(images), 4).float()


def prepared(n=150):
    """Noise, with a light in the corner that a quarter turn takes to the next."""
    images = np.random.default_rng(0).integers(0, 200, (n, 3, 4, 4), dtype=np.uint8)
    images[:, :, 0, 0] = 255
    arrays = ArraySplit(images, np.arange(n) % 10)
    return PreparedData(Path(), arrays, arrays, {})


def light(images):
    """Where the light is: counter-clockwise from the upper left corner."""
    corners = images[:, 0, [0, 3, 3, 0], [0, 0, 3, 3]].int()
    return corners.argmax(1)


def accuracy(discriminator, n_test=None, data=None):
    metric = RotationAccuracy(RotationOptions(n_test=n_test), Synthetic32, data or prepared())
    metric.update(discriminator)
    return metric.compute()["rotation_accuracy"]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (light, 100.0),
        (lambda images: (light(images) + 1) % 4, 0.0),
        (lambda images: torch.full((len(images),), 2), 25.0),
        (lambda images: light(images) % 2, 50.0),
    ],
    ids=["right", "wrong", "constant", "half"],
)
@pytest.mark.parametrize("n_test", [None, 60, 1])
def test_it_is_the_share_of_right_answers_over_all_four_turns(monkeypatch, turns, expected, n_test):
    monkeypatch.setattr("benchmark.data.reference.CHUNK", 33)
    data = prepared()
    data = PreparedData(Path(), data.train, data.test, {})
    monkeypatch.setattr(Synthetic32, "shape", (3, 4, 4))
    assert accuracy(Names(turns), n_test, data) == expected


def test_equal_logits_are_a_guess_and_logits_that_are_not_finite_no_number(monkeypatch):
    monkeypatch.setattr(Synthetic32, "shape", (3, 4, 4))

    class Says(Names):
        def rotation_logits(self, images):
            return torch.full((len(images), 4), self.turns)

    assert accuracy(Says(0.0)) == 25.0
    assert np.isnan(accuracy(Says(torch.nan)))


def test_too_few_images_and_images_that_are_not_square_are_refused(monkeypatch):
    assert RotationAccuracy.check_data(RotationOptions(n_test=150), Synthetic32, prepared()) is None
    assert "n_test asks for 151 held-out" in RotationAccuracy.check_data(
        RotationOptions(n_test=151), Synthetic32, prepared()
    )
    assert RotationAccuracy.check_config(RotationOptions(), Synthetic32, 0) is None
    monkeypatch.setattr(Synthetic32, "shape", (3, 32, 48))
    assert "not square" in RotationAccuracy.check_config(RotationOptions(), Synthetic32, 0)


def test_a_reduced_scale_shows_fewer_images():
    assert RotationAccuracy.with_sample_cap(RotationOptions(), 64).n_test == 64
    assert RotationAccuracy.with_sample_cap(RotationOptions(n_test=9), 64).n_test == 9


# --- the heads -----------------------------------------------------------------------------------------


def test_heads_are_read_given_that_the_image_is_real():
    five = torch.tensor([[0.0, 1.0, 3.0, 2.0, 9.0]])  # "fake" is most likely
    assert rotations.real_rotation_logits(five).tolist() == [[0.0, 1.0, 3.0, 2.0]]
    eight = torch.tensor([[0.0, 9.0, 4.0, 0.0, 1.0, 9.0, 2.0, 9.0]])  # real and fake by turns
    assert rotations.joint_rotation_logits(eight).tolist() == [[0.0, 4.0, 1.0, 2.0]]


def test_which_methods_name_rotations():
    assert {name for name in registry.methods if RotationAccuracy.supports(registry.methods[name])} == NAMING


# --- whole trials --------------------------------------------------------------------------------------

MEASURES = {
    "rotation_accuracy": {"options": {"n_test": 40}},
    "linear_probe": {"options": {"n_train": 60, "n_test": 40}},
}


def suite(folder, rows=("gan", "ssgan"), measures=None, scale=None, **defaults):
    cell = {
        "dataset": "synthetic_32",
        "network": "sngan_resnet",
        "network_options": {"generator_width": 2, "discriminator_width": 2},
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 4,
        "batch_size": 4,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
        "protocol": {"measures": MEASURES if measures is None else measures, "evaluations": 2, "sample_batch": 64},
    } | defaults
    text = {
        "title": "Small",
        "seeds": [0],
        "defaults": cell,
        "tables": [{"title": "T", "rows": {name: {"method": name} for name in rows}}],
        "scales": {"paper": scale or {}},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Synthetic32.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data"))


def run(spec, data, folder, dataset=Synthetic32):
    found = prepare_references(spec.protocol, dataset, open_prepared(data), folder / "i", folder)
    return runner.run_trial(job_in(folder, spec, data=data, assets=found), silent)


@pytest.fixture(scope="module")
def records(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    loaded = load_suite(suite(folder))
    return loaded, {cell.row: run(cell.specs[0], data, folder) for cell in loaded.cells}


def test_a_row_without_a_rotation_head_has_no_rotation_accuracy(records):
    loaded, found = records
    assert [list(cell.specs[0].protocol.measures) for cell in loaded.cells] == [
        ["linear_probe"],
        ["rotation_accuracy", "linear_probe"],
    ]
    for row, record in found.items():
        assert record.status == "finished", record.error
        keys = ["probe_accuracy"] if row == "gan" else ["rotation_accuracy", "probe_accuracy"]
        assert [list(entry.metrics) for entry in record.history] == [keys, keys]
        assert all(0 <= value <= 100 for entry in record.history for value in entry.metrics.values())
    assert found["gan"].metrics["probe_accuracy"] > 20, "ten classes of patterns: features, even random ones, tell them"


def test_without_samples_to_measure_there_is_still_a_whole_contact_sheet(records):
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    loaded, found = records
    assert {cell.specs[0].protocol.n_fake for cell in loaded.cells} == {0}
    assert Image.open(BytesIO(b64decode(found["gan"].samples_png))).size == (8 * 32, 8 * 32)


def test_the_report_says_what_was_measured_and_leaves_a_dash(records):
    loaded, found = records
    table = leaderboard_rows(loaded, {record.trial_id: record for record in found.values()})
    text = leaderboard(loaded, table, [])
    assert "rotation accuracy, % ↑" in text
    gan = next(line for line in text.splitlines() if line.startswith("| gan"))
    assert " – " in gan
    assert "on 40 held-out images" in text
    assert "fitted to 60 labelled images of the training split" in text
    assert "0 generated images" not in text
    assert any("25 %" in line for line in metric_notes(table))
    assert metric_of_output(loaded.cells[1].specs[0].protocol, "rotation_accuracy").protocol_fields["n_fake"] is None


@pytest.mark.parametrize(("method", "network"), [("ssgan", "sngan_resnet"), ("gan", "dcgan"), ("ssgan_la", "dcgan")])
def test_training_is_the_same_to_the_bit_with_and_without_these_measurements(data, tmp_path, method, network):
    """dcgan's discriminator has batch norm, sngan_resnet's has spectral norm: both keep statistics."""
    weights = []
    for measures in (MEASURES, {"linear_probe": {"options": {"n_train": 2, "n_test": 1}}}):
        path = suite(tmp_path, [method], measures, network=network)
        spec = load_suite(path).cells[0].specs[0]
        prepared = open_prepared(data)
        trainer = build_trainer(spec, prepared, CPU)
        for step in trainer.train_until(4):
            if step % 2 == 0 and measures is MEASURES:
                evaluator = DiscriminatorEvaluator(spec.protocol, Synthetic32, prepared)
                evaluator.evaluate(FrozenDiscriminator(trainer.method, trainer.image_range, CPU))
                assert all(module.training for module in trainer.method.modules())
        weights.append(trainer.state())
    examined, plain = (state["method"] for state in weights)
    assert examined.keys() == plain.keys()
    assert all(torch.equal(examined[name], plain[name]) for name in plain)
    assert torch.equal(weights[0]["rng"], weights[1]["rng"])


def test_at_rest_images_are_judged_in_evaluation_mode_and_not_one_with_another(data, tmp_path):
    spec = load_suite(suite(tmp_path, ["ssgan"], network="dcgan")).cells[0].specs[0]
    trainer = build_trainer(spec, open_prepared(data), CPU)
    list(trainer.train_until(2))
    images = torch.from_numpy(open_prepared(data).test.images[:270].copy())
    trainer.method.discriminator.heads.eval()  # a mode of its own, which it keeps
    whole = FrozenDiscriminator(trainer.method, trainer.image_range, CPU)
    judged, named = whole.discriminate(images), whole.rotation_logits(images)
    assert judged.features.shape[0] == 270
    assert named.shape == (270, 4)
    assert not judged.features.requires_grad
    assert trainer.method.discriminator.training
    assert not trainer.method.discriminator.heads.training
    torch.testing.assert_close(whole.discriminate(images[:3]).features, judged.features[:3])
    trainer.method.eval()
    with torch.no_grad():
        expected = trainer.method.discriminate(to_range(images[:9], trainer.image_range)).class_logits
    torch.testing.assert_close(named[:9], expected)


def test_what_draws_no_samples_is_not_drawn_again(data, tmp_path):
    protocol = {
        "measures": {
            "linear_probe": MEASURES["linear_probe"],
            "rotation_accuracy_few": {"metric": "rotation_accuracy", "options": {"n_test": 3}},
        },
        "evaluations": 1,
        "draws": 3,
    }
    spec = load_suite(suite(tmp_path, ["ssgan"], protocol=protocol, steps=1)).cells[0].specs[0]
    record = run(spec, data, tmp_path)
    assert record.status == "finished", record.error
    assert list(record.metrics) == list(metric_outputs(spec.protocol)) == ["probe_accuracy", "rotation_accuracy_few"]
    assert record.redraws == []


def test_beside_a_measure_of_samples_on_stacks_in_the_order_of_the_protocol(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.evaluation.extractors.digits.EPOCHS", {8: 1, 28: 1})
    measures = {"rotation_accuracy": {"options": {"n_test": 30}}, "modes": {"n_fake": 20}}
    protocol = {"measures": measures, "evaluations": 1, "draws": 2}
    changes = {"dataset": "synthetic_stacked", "network": "msgan_stacked_mnist", "protocol": protocol, "steps": 1}
    changes |= {"network_options": {"k": 4}}
    spec = load_suite(suite(tmp_path, ["ssgan"], **changes)).cells[0].specs[0]
    dataset = registry.datasets["synthetic_stacked"]
    record = run(spec, dataset.prepare(tmp_path, tmp_path / "d"), tmp_path, dataset)
    assert record.status == "finished", record.error
    assert list(record.metrics) == ["rotation_accuracy", "modes", "kl"]
    assert [list(draw) for draw in record.redraws] == [["modes", "kl"]]
    alone = spec.protocol.model_copy(update={"measures": {"modes": spec.protocol.measures["modes"]}, "draws": 1})
    other = run(spec.model_copy(update={"protocol": alone}), dataset.prepared_dir(tmp_path / "d"), tmp_path, dataset)
    assert other.metrics == {key: record.metrics[key] for key in ("modes", "kl")}


def test_a_discriminator_that_is_not_finite_is_a_divergence(data, tmp_path, monkeypatch):
    spec = load_suite(suite(tmp_path, ["ssgan"], steps=1, **{"protocol": {"measures": MEASURES, "evaluations": 1}}))
    monkeypatch.setattr(
        FrozenDiscriminator, "rotation_logits", lambda self, images: torch.full((len(images), 4), torch.nan)
    )
    record = run(spec.cells[0].specs[0], data, tmp_path)
    assert record.status == "diverged"
    assert "rotation_accuracy" in record.error


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"measures": {"rotation_accuracy": {"n_fake": 100}}},
            ["small.yaml:", "measures.rotation_accuracy.n_fake", "uses no generated images; leave out 'n_fake'"],
        ),
        ({"measures": {"linear_probe": {"codec": "jpeg"}}}, ["measures.linear_probe.codec", "leave out 'codec'"]),
        (
            {"measures": {"rotation_accuracy": {}}},
            ["'gan' has no rotation_accuracy", "methods that have: ", "ssgan_la_plus"],
        ),
        ({"measures": {"rotation_accuracy": {"options": {"n_tests": 1}}}}, ["n_tests"]),
        (
            {"dataset": "stacked_digits", "network": "mlp", "network_options": {}},
            ["linear_probe", "'linear_probe' needs images of a few classes", "stacks"],
        ),
        (
            {"dataset": "stacked_digits", "network": "mlp", "network_options": {}, "measures": {"modes": {}}},
            ["measures.modes", "'n_fake' is required"],
        ),
    ],
    ids=["n_fake", "codec", "nothing left", "option", "dataset", "samples"],
)
def test_mistakes_are_told_with_their_place(tmp_path, changes, words):
    with pytest.raises(UserError) as told:
        load_suite(suite(tmp_path, **changes))
    for word in words:
        assert word in str(told.value)


def test_too_few_images_stop_a_run_before_it_trains(data, tmp_path):
    spec = load_suite(suite(tmp_path, ["gan"], {"linear_probe": {}})).cells[0].specs[0]
    with pytest.raises(UserError, match="linear_probe: n_train asks for 5,000"):
        prepare_references(spec.protocol, Synthetic32, open_prepared(data), tmp_path, tmp_path)


def test_a_reduced_scale_reaches_the_options(tmp_path):
    path = suite(tmp_path, ["ssgan"], {"linear_probe": {}, "rotation_accuracy": {}}, {"samples": 50})
    measures = load_suite(path).cells[0].specs[0].protocol.measures
    assert measures["linear_probe"].options == {"n_train": 50, "n_test": 50}
    assert measures["rotation_accuracy"].options == {"n_test": 50}
    assert {measure.n_fake for measure in measures.values()} == {None}
