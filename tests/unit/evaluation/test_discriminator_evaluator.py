"""Discriminator metrics in whole trials: they do not disturb the training, and are refused before it."""

import pytest
import torch
import yaml

from baselines.networks.layers.residual import residual_blocks
from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.protocol import metric_of_output, metric_outputs
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import to_range
from benchmark.evaluation.discriminator_evaluator import DiscriminatorEvaluator, FrozenDiscriminator
from benchmark.evaluation.references import prepare_references
from benchmark.report.markdown import leaderboard
from benchmark.report.sections.provenance import metric_notes
from benchmark.trials import runner
from benchmark.trials.build import build_trainer
from tests.support.trials import ignore_progress, job_in

CPU = torch.device("cpu")
Synthetic32 = registry.datasets["synthetic_32"]
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
    assets = prepare_references(spec.protocol, dataset, open_prepared(data), folder / "i", folder)
    return runner.run_trial(job_in(folder, spec, data=data, assets=assets), ignore_progress)


@pytest.fixture(scope="module")
def records(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    loaded = load_suite(suite(folder))
    return loaded, {cell.row: run(cell.specs[0], data, folder) for cell in loaded.cells}


def test_a_row_without_a_rotation_head_has_no_rotation_accuracy(records):
    loaded, records_by_row = records
    assert [list(cell.specs[0].protocol.measures) for cell in loaded.cells] == [
        ["linear_probe"],
        ["rotation_accuracy", "linear_probe"],
    ]
    for row, record in records_by_row.items():
        assert record.status == "finished", record.error
        keys = ["probe_accuracy"] if row == "gan" else ["rotation_accuracy", "probe_accuracy"]
        assert [list(entry.metrics) for entry in record.history] == [keys, keys]
        assert all(0 <= value <= 100 for entry in record.history for value in entry.metrics.values())
    assert records_by_row["gan"].metrics["probe_accuracy"] > 20, (
        "even random features distinguish the ten classes of patterns"
    )


def test_without_sample_metrics_there_is_still_a_full_sample_grid(records):
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    loaded, records_by_row = records
    assert {cell.specs[0].protocol.n_fake for cell in loaded.cells} == {0}
    assert Image.open(BytesIO(b64decode(records_by_row["gan"].samples_png))).size == (8 * 32, 8 * 32)


def test_the_report_describes_the_protocol_and_shows_a_dash(records):
    loaded, records_by_row = records
    table = leaderboard_rows(loaded, {record.trial_id: record for record in records_by_row.values()})
    text = leaderboard(loaded, table, ["curves.png"])
    assert "where they fall during training, it forgets" in text
    assert "rotation accuracy, % ↑" in text
    gan = next(line for line in text.splitlines() if line.startswith("| gan"))
    assert " – " in gan
    assert "on 40 held-out images" in text
    assert "fitted to 60 labelled images of the training split" in text
    assert "0 generated images" not in text
    assert any("25 %" in line for line in metric_notes(table))
    assert metric_of_output(loaded.cells[1].specs[0].protocol, "rotation_accuracy").protocol_fields["n_fake"] is None


@pytest.mark.parametrize(("method", "network"), [("ssgan", "sngan_resnet"), ("gan", "dcgan"), ("ssgan_la", "dcgan")])
def test_training_is_bit_identical_with_and_without_evaluating_the_discriminator(data, tmp_path, method, network):
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


def test_a_frozen_discriminator_is_in_evaluation_mode_and_takes_images_one_by_one(data, tmp_path):
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


def test_the_maps_of_a_block_are_those_of_the_network_cut_off_after_it(data, tmp_path):
    spec = load_suite(suite(tmp_path, ["ssgan"])).cells[0].specs[0]
    prepared = open_prepared(data)
    trainer = build_trainer(spec, prepared, CPU)
    list(trainer.train_until(2))
    images = torch.from_numpy(prepared.test.images[:260].copy())
    frozen = FrozenDiscriminator(trainer.method, trainer.image_range, CPU)
    maps = [frozen.block_maps(images, block) for block in range(4)]
    trainer.method.eval()
    with torch.no_grad():
        expected = to_range(images[:9], trainer.image_range)
        for found, block in zip(maps, residual_blocks(trainer.method.discriminator), strict=True):
            expected = block(expected)
            assert len(found) == 260
            torch.testing.assert_close(found[:9], expected)
            assert not block._forward_hooks


def test_a_wrong_number_of_blocks_is_refused_with_its_location(tmp_path):
    with pytest.raises(UserError, match=r"small.yaml:\d+.*linear_probe.*blocks is 5, and the discriminator .* has 4"):
        load_suite(suite(tmp_path, ["gan"], {"linear_probe": {"options": {"n_train": 60, "blocks": 5}}}))


def test_discriminator_metrics_are_not_repeated_with_other_latents(data, tmp_path):
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


def test_both_kinds_of_metrics_are_reported_in_protocol_order(tmp_path, monkeypatch):
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


def test_a_non_finite_discriminator_is_a_divergence(data, tmp_path, monkeypatch):
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
def test_mistakes_are_reported_with_their_location(tmp_path, changes, words):
    with pytest.raises(UserError) as error:
        load_suite(suite(tmp_path, **changes))
    for word in words:
        assert word in str(error.value)


def test_too_few_images_stop_a_run_before_training(data, tmp_path):
    spec = load_suite(suite(tmp_path, ["gan"], {"linear_probe": {}})).cells[0].specs[0]
    with pytest.raises(UserError, match="linear_probe: n_train asks for 5,000"):
        prepare_references(spec.protocol, Synthetic32, open_prepared(data), tmp_path, tmp_path)


def test_a_reduced_scale_reaches_the_options(tmp_path):
    path = suite(tmp_path, ["ssgan"], {"linear_probe": {}, "rotation_accuracy": {}}, {"samples": 50})
    measures = load_suite(path).cells[0].specs[0].protocol.measures
    assert measures["linear_probe"].options == {"n_train": 50, "n_test": 50, "blocks": None}
    assert measures["rotation_accuracy"].options == {"n_test": 50}
    assert {measure.n_fake for measure in measures.values()} == {None}
