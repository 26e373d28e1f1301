"""Reproductions of real trainings, compared with their records."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from scipy import stats

from baselines.methods.gan import GAN
from benchmark.analysis import reproduction
from benchmark.analysis.reproduction import ReproductionVerdict, judge_reproduction
from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.evaluation.extractors.digits import DigitClassifier, Digits
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from tests.conftest import SMALL

SUITE = {
    "title": "Tiny",
    "seeds": [0, 1, 2, 3],
    "defaults": {
        **SMALL["defaults"],
        "steps": 4,
        "protocol": {"measures": {"modes": {"n_fake": 100}}, "evaluations": 2, "draws": 2},
    },
    "tables": [{"title": "Digits", "rows": {"GAN": {"method": "gan"}}}],
    "scales": {"quick": {}},
}


@pytest.fixture(scope="module")
def instrument(tmp_path_factory):
    """An untrained digit classifier: the tests do not depend on its accuracy."""
    path = tmp_path_factory.mktemp("instrument") / "classifier.pt"
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, path)
    return path


@pytest.fixture(autouse=True)
def _quick_instrument(monkeypatch, instrument):
    monkeypatch.setattr(Digits, "prepare", classmethod(lambda *_: instrument))


@pytest.fixture(scope="module")
def once(tmp_path_factory, instrument):
    """A workspace with four seeds of one cell, and their records, first seed first."""
    folder = tmp_path_factory.mktemp("once")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(SUITE, sort_keys=False))
    workspace = Workspace.at(folder / "ws")
    made = SuiteRun(
        suite=load_suite(path),
        workspace=workspace,
        data_dir=folder,
        report_dir=folder / "report",
        console=Console(quiet=True),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "prepare", classmethod(lambda *_: instrument))
        return workspace.root, list(made.run("inprocess", made.plan()).values())


@pytest.fixture
def trained(tmp_path, once):
    """A private copy of the store, with its records."""
    root, records = once
    shutil.copytree(root, tmp_path / "ws")
    return RecordStore(tmp_path / "ws" / "results"), records


@pytest.fixture
def again(monkeypatch, capsys, trained):
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(trial_id, *arguments):
        workspace = trained[0].folder.parent
        line = ["benchmark", "reproduce", trial_id, "--workspace", str(workspace), *arguments]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            app.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_metrics(record, **changed):
    last = record.history[-1].model_copy(update={"metrics": record.metrics | changed})
    return record.model_copy(update={"history": [*record.history[:-1], last]})


def test_a_bit_identical_reproduction_leaves_the_store_untouched(again, trained):
    store, (record, *_) = trained
    before, sheets = snapshot(store.folder), store.folder.parent / "samples" / record.trial_id
    drawn = {path.name: path.stat().st_mtime_ns for path in sheets.rglob("*.png")}
    assert len(drawn) == 2
    code, output, _ = again(record.trial_id[:6])
    assert code == 0
    assert "bit-identical: every evaluation" in output
    assert "5 of 5 groups of numbers" in output  # two evaluations with their losses, and a redraw
    assert snapshot(store.folder) == before
    kept = RecordStore(store.folder.parent / "reproductions")
    assert kept.read(record.trial_id).history == record.history
    assert [path.name for path in kept.folder.iterdir()] == [f"{record.trial_id}.json"]  # no checkpoints stay
    assert {path.name: path.stat().st_mtime_ns for path in sheets.rglob("*.png")} == drawn  # sample grids are untouched


def test_a_tampered_record_is_different_and_the_first_divergence_is_named(again, trained):
    store, (record, *_) = trained
    store.write(with_metrics(record, modes=999.0))
    code, output, _ = again(record.trial_id, "--json")
    content = json.loads(output)
    assert code == 1
    assert content["verdict"] == "different"
    assert content["departure"] == f"metrics at step 4: modes 999.0 -> {record.metrics['modes']}"
    assert (content["same"], content["compared"]) == (4, 5)
    assert content["metrics"]["modes"]["difference"] == record.metrics["modes"] - 999
    assert content["metrics"]["modes"]["noise"]["n"] == 3  # and a wrong record does not widen it
    assert content["metrics"]["kl"]["within"]
    assert "modes: further apart than chance" in content["reason"]


def test_other_seeds_bound_the_noise(trained):
    store, (record, *others) = trained
    values = [one.metrics["kl"] for one in others]
    bound = stats.t.ppf(0.975, 2) * stats.tstd(values) * 2**0.5
    assert bound > 0
    records = [store.read(trial_id) for trial_id in store.ids()]
    for share, verdict in (
        (0.99, ReproductionVerdict.WITHIN_NOISE),
        (-0.99, ReproductionVerdict.WITHIN_NOISE),
        (1.01, ReproductionVerdict.DIFFERENT),
    ):
        made = judge_reproduction(record, with_metrics(record, kl=record.metrics["kl"] + share * bound), records)
        assert made.verdict is verdict
        assert next(f for f in made.metrics if f.key == "kl").noise == (pytest.approx(bound), "other seeds", 3)
    alone = judge_reproduction(record, with_metrics(record, kl=record.metrics["kl"] + 1e-6), records[:1])
    assert alone.verdict is ReproductionVerdict.DIFFERENT
    assert "the noise is not known" in alone.reason


def test_redraws_bound_the_noise_without_other_seeds(trained):
    _, (record, *_) = trained
    draws = [{"modes": 20.0 + n, "kl": 4.0} for n in range(3)]
    drawn = record.model_copy(update={"redraws": draws})
    made = judge_reproduction(drawn, with_metrics(drawn, modes=record.metrics["modes"] + 6), [])
    assert made.metrics[0].noise == (pytest.approx(stats.t.ppf(0.975, 2) * 2**0.5), "redraws of the samples", 3)
    assert made.verdict is ReproductionVerdict.WITHIN_NOISE
    assert (
        judge_reproduction(drawn, with_metrics(drawn, modes=record.metrics["modes"] + 7), []).verdict
        is ReproductionVerdict.DIFFERENT
    )


def test_only_finished_seeds_with_the_same_data_and_instruments_count(trained):
    _, (record, other, *_) = trained
    assert reproduction.is_other_seed(other, record)
    assert not reproduction.is_other_seed(record, record)
    slower = other.spec.model_copy(update={"steps": 5})
    for change in ({"status": "diverged"}, {"instruments": {"digits": "0"}}, {"spec": slower}):
        assert not reproduction.is_other_seed(other.model_copy(update=change), record)
    assert not reproduction.is_other_seed(other.model_copy(update={"data": {"checksums": "0"}}), record)


def test_differences_in_the_environment_are_listed(again, trained):
    store, (record, *_) = trained
    packages = record.environment["packages"] | {"torch": "0.0.1"}
    changed = record.environment | {"cpu": "Another CPU", "packages": packages, "source": "79c7567aaaaa+changes"}
    instruments = {"digits": "0123"}
    store.write(record.model_copy(update={"environment": changed, "instruments": instruments}))
    code, output, _ = again(record.trial_id, "--json")
    content = json.loads(output)
    found = {change["key"]: change["one"] for change in content["environment"]}
    assert code == 0
    assert found == {
        "cpu": "Another CPU",
        "packages.torch": "0.0.1",
        "source": "79c7567aaaaa+changes",
        "instruments.digits": "0123",
    }
    assert [doubt.partition(":")[0] for doubt in content["doubts"]] == ["source", "instruments"]
    _, output, _ = again(record.trial_id)
    assert "Another CPU" in output


def test_as_many_threads_as_recorded(again, trained):
    store, (record, *_) = trained
    cost = record.cost.model_copy(update={"cpus": 64})
    store.write(record.model_copy(update={"cost": cost, "environment": record.environment | {"threads": 64}}))
    _, output, _ = again(record.trial_id, "--json")
    content = json.loads(output)
    assert not [change for change in content["environment"] if change["key"] == "threads"]
    assert [doubt for doubt in content["doubts"] if doubt.startswith("threads: 64, as recorded, on")]


def test_a_failed_reproduction_shows_its_error(again, trained, monkeypatch):
    def broken(self, player, turn):
        raise RuntimeError("no luck")

    monkeypatch.setattr(GAN, "loss", broken)
    code, output, _ = again(trained[1][0].trial_id)
    assert code == 1
    assert "failed: RuntimeError: no luck" in output


def test_a_stopped_reproduction_resumes_to_the_same_end(again, trained, monkeypatch):
    monkeypatch.setattr("benchmark.trials.stopwatch.MIN_INTERVAL", 0.0)
    monkeypatch.setattr("benchmark.trials.stopwatch.MAX_SHARE", math.inf)
    real_loss, calls = GAN.loss, []

    def killed(self, player, turn):
        calls.append(player)
        if len(calls) == 7:  # in the fourth step
            raise KeyboardInterrupt
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", killed)
    code, _, output = again(trained[1][0].trial_id)
    assert code == 130
    assert "the same command resumes" in output
    code, output, _ = again(trained[1][0].trial_id)
    assert code == 0
    assert "bit-identical" in output
    assert len(calls) < 7 + 8  # four steps of two players would be a whole training


@pytest.mark.parametrize("wanted", ["ffff", "../../etc", "zz", ""])
def test_unknown_ids_exit_2(again, trained, wanted):
    code, _, output = again(wanted)
    assert code == 2
    assert "at least 4" in output if wanted == "" else f"no trial '{wanted}' among the 4 records in" in output


def test_the_nearest_ids_are_named(again, trained):
    wanted = trained[1][0].trial_id
    _, _, output = again(wanted[:-1] + "x")
    assert f"nearest: {wanted}" in output


def test_a_prefix_of_several_ids_names_them(again, trained):
    store, (record, *_) = trained
    twin = record.trial_id[:5] + "0" * 11
    store.path(twin).write_text("{}")
    code, _, output = again(record.trial_id[:5])
    assert code == 2
    assert record.trial_id in output
    assert twin in output


def test_a_record_of_an_older_recipe_names_its_revision(again, trained):
    store, (record, *_) = trained
    written = json.loads(store.path(record.trial_id).read_text())
    written["spec"]["version"] = 1
    written["spec"]["protocol"] = {"metric": "modes"}  # fields were others then
    written["environment"]["source"] = "79c7567aaaaa"
    store.path("0123456789abcdef").write_text(json.dumps(written))
    code, _, output = again("0123")
    assert code == 2
    assert "recipe version 1" in output
    assert "revision 79c7567aaaaa" in output


def test_a_removed_option_names_the_revision(again, trained):
    store, (record, *_) = trained
    spec = record.spec.model_copy(update={"options": {"gone": 1}})
    store.write(record.model_copy(update={"spec": spec, "trial_id": spec.trial_id}))
    code, _, output = again(spec.trial_id)
    assert code == 2
    assert "does not know its recipe; it was made with revision" in output
    assert "gone" in output
