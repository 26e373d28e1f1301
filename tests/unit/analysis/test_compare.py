"""Comparison of stores and of suites: real trainings, and records with known differences."""

import json
import random
import shutil
import sys

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from benchmark.analysis.compare import ComparisonSide, ComparisonVerdict, compare_runs, welch_interval
from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.evaluation.extractors.digits import DigitClassifier, Digits
from benchmark.execution.suite_run import SuiteRun
from benchmark.report.compare import markdown
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from tests.conftest import SMALL

SUITE = {
    **SMALL,
    "title": "Tiny",
    "seeds": [0, 1, 2],
    "defaults": {
        **SMALL["defaults"],
        "steps": 2,
        "protocol": {"measures": {"modes": {"n_fake": 100}}, "evaluations": 1},
    },
}


def written(folder, name="tiny", defaults=None, **changes):
    path = folder / f"{name}.yaml"
    suite = {**SUITE, "defaults": {**SUITE["defaults"], **(defaults or {})}, **changes}
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A trained suite, its workspace and its records."""
    folder = tmp_path_factory.mktemp("once")
    instrument = folder / "classifier.pt"
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, instrument)
    made = SuiteRun(
        suite=load_suite(written(folder)),
        workspace=Workspace.at(folder / "ws"),
        data_dir=folder,
        report_dir=folder / "report",
        console=Console(quiet=True),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "prepare", classmethod(lambda *_: instrument))
        records = made.run("inprocess", made.plan())
    assert {record.status for record in records.values()} == {"finished"}
    return made.suite, made.workspace, records


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    def call(*arguments):
        line = ["benchmark", "report", *map(str, arguments), "--report-dir", str(tmp_path / "page")]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            app.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def changed(records, change):
    """The records with `change(spec, metrics)` as their last measurement."""
    result = {}
    for trial_id, record in records.items():
        last = record.history[-1].model_copy(update={"metrics": change(record.spec, record.metrics)})
        result[trial_id] = record.model_copy(update={"history": [*record.history[:-1], last]})
    return result


def values(records, **by_seed):
    """Records with synthetic metrics, the same for all methods."""
    return changed(records, lambda spec, metrics: metrics | {key: v[spec.seed] for key, v in by_seed.items()})


def verdicts_of(suite, one, other):
    made = compare_runs(ComparisonSide("a", suite, one), ComparisonSide("b", suite, other))
    return {key: metric.verdict for key, metric in made.pairs[0].metrics.items()}


def test_two_identical_stores(once, command, tmp_path):
    suite, workspace, records = once
    other = tmp_path / "other"
    shutil.copytree(workspace.results, other / "results")
    code, output, _ = command(suite.path, "--compare", workspace.root, other)
    assert code == 0
    assert output.count("bit-identical") == 4
    page = (tmp_path / "page" / "compare.md").read_text()
    assert "None: both sides have the same recipes" in page
    assert f"6 of {len(records)} trials" in page
    command(suite.path, "--compare", workspace.root, other)
    assert (tmp_path / "page" / "compare.md").read_text() == page


def test_a_store_with_other_numbers_and_another_machine(once, command, tmp_path):
    suite, workspace, records = once
    rng = random.Random(0)
    other = RecordStore(Workspace.at(tmp_path / "other").results)
    shifted = changed(records, lambda spec, metrics: metrics | {"modes": metrics["modes"] + 500 + rng.random()})
    for record in shifted.values():
        packages = record.environment["packages"] | {"torch": "0.0.1"}
        other.write(record.model_copy(update={"environment": record.environment | {"packages": packages}}))
    code, output, _ = command(suite.path, "--compare", workspace.root, tmp_path / "other", "--json")
    content = json.loads(output)
    assert code == 0
    (first, _) = content["cells"]
    assert first["metrics"]["modes"]["word"] == "B better"
    assert first["metrics"]["modes"]["difference"] == pytest.approx(500.5, abs=0.5)
    assert first["metrics"]["kl"]["word"] == "bit-identical"
    assert [change["key"] for change in content["environment"]] == ["packages.torch"]
    page = (tmp_path / "page" / "compare.md").read_text()
    assert "| packages.torch |" in page
    assert "0.0.1" in page


def test_two_suites_of_one_store(once, command, tmp_path):
    suite, workspace, _ = once
    slower = written(tmp_path, "slower", {"optimizer": {"lr": 4e-3, "betas": [0.0, 0.9]}})
    code, output, _ = command("--compare", suite.path, slower, "--workspace", workspace.root, "--json")
    content = json.loads(output)
    assert code == 0
    assert content["cells"][0]["recipe"] == [{"key": "optimizer.lr", "one": "0.001", "other": "0.004"}]
    assert content["cells"][0]["metrics"]["modes"]["word"] == "nothing to compare"  # the slower one was not run
    page = (tmp_path / "page" / "compare.md").read_text()
    assert "- GAN: optimizer.lr 0.001 -&gt; 0.004" in page


def test_the_interval_decides_in_the_direction_of_the_metric(once):
    suite, _, records = once
    low, high = [10.0, 11.0, 12.5], [20.0, 21.0, 22.5]
    one = values(records, modes=low, kl=low)
    assert verdicts_of(suite, one, values(records, modes=high, kl=high)) == {
        "modes": ComparisonVerdict.B_BETTER,
        "kl": ComparisonVerdict.A_BETTER,
    }
    assert verdicts_of(suite, values(records, modes=high, kl=high), one) == {
        "modes": ComparisonVerdict.A_BETTER,
        "kl": ComparisonVerdict.B_BETTER,
    }
    near = values(records, modes=[10.5, 11.0, 12.0], kl=low)
    assert verdicts_of(suite, one, near) == {
        "modes": ComparisonVerdict.NO_DIFFERENCE,
        "kl": ComparisonVerdict.IDENTICAL,
    }
    spread = values(records, modes=[0.0, 20.0, 40.0], kl=[12.5, 11.0, 10.0])  # seeds swapped is not the same
    assert verdicts_of(suite, one, spread) == {
        "modes": ComparisonVerdict.NO_DIFFERENCE,
        "kl": ComparisonVerdict.NO_DIFFERENCE,
    }


def test_constant_numbers_can_differ(once):
    suite, _, records = once
    one, other = values(records, modes=[1000.0] * 3), values(records, modes=[999.0] * 3)
    assert verdicts_of(suite, one, other)["modes"] is ComparisonVerdict.A_BETTER


def test_fewer_than_three_seeds_are_too_few(once):
    suite, _, records = once
    few = {trial_id: record for trial_id, record in records.items() if record.spec.seed < 2}
    assert (
        verdicts_of(suite, few, values(records, modes=[900.0, 901.0, 902.0]))["modes"]
        is ComparisonVerdict.TOO_FEW_SEEDS
    )
    assert verdicts_of(suite, {}, records)["modes"] is ComparisonVerdict.NO_VALUE


def test_a_side_with_diverged_seeds_is_not_better(once, tmp_path):
    _, _, records = once
    more = load_suite(written(tmp_path, seeds=[0, 1, 2, 3]))
    first = next(iter(records.values()))
    specs = [spec for spec in more.cells[0].specs if spec.seed == 3]
    lost = first.model_copy(update={"spec": specs[0], "trial_id": specs[0].trial_id, "status": "diverged"})
    good = values(records, modes=[900.0, 901.0, 902.0]) | {lost.trial_id: lost}
    assert verdicts_of(more, values(records, modes=[1.0, 2.0, 3.0]), good)["modes"] is ComparisonVerdict.UNDECIDED
    assert verdicts_of(more, good, values(records, modes=[950.0, 951.0, 952.0]))["modes"] is ComparisonVerdict.B_BETTER


def test_values_of_another_protocol_are_not_judged(once, tmp_path):
    suite, _, records = once
    path = written(tmp_path, "more", {"protocol": {"measures": {"modes": {"n_fake": 200}}, "evaluations": 1}})
    more = load_suite(path)
    theirs = {
        spec.trial_id: record.model_copy(update={"spec": spec, "trial_id": spec.trial_id})
        for spec, record in zip(more.specs.values(), records.values(), strict=True)
    }
    made = compare_runs(ComparisonSide("a", suite, records), ComparisonSide("b", more, theirs))
    verdicts = {metric.verdict for pair in made.pairs for metric in pair.metrics.values()}
    assert verdicts == {ComparisonVerdict.NOT_COMPARABLE}


@pytest.mark.parametrize(
    "title, rows, expected, alone",
    [
        ("Digits", {"GAN": {"method": "gan"}, "New": {"method": "msgan"}}, [("GAN", "GAN")], ("SSGAN", "New")),
        ("Other", {"SSGAN": {"method": "ssgan"}}, [("SSGAN", "SSGAN")], ("GAN", None)),
        ("Other", {"Plain": {"method": "gan"}, "SS": {"method": "ssgan"}}, [("GAN", "Plain"), ("SSGAN", "SS")], None),
        ("Other", {"X": {"method": "gan"}, "Y": {"method": "gan", "steps": 3}}, [], None),
    ],
)
def test_cells_are_matched_by_name_else_by_method(once, tmp_path, title, rows, expected, alone):
    suite, _, records = once
    other = load_suite(written(tmp_path, "other", tables=[{"title": title, "rows": rows}]))
    made = compare_runs(ComparisonSide("a", suite, records), ComparisonSide("b", other, {}))
    assert [(pair.a.label, pair.b.label) for pair in made.pairs] == expected
    if alone:
        page = markdown(made)
        assert f"## Only in A\n\n- Digits/{alone[0]}\n" in page
        assert ("## Only in B" in page) == (alone[1] is not None)


@pytest.mark.parametrize(
    "operands, expected",
    [
        (("tiny", "--compare", "ws", "none"), "no such file or folder"),
        (("tiny", "--compare", "ws", "tiny"), "one is a folder and the other a file"),
        (("--compare", "ws", "ws"), "also name the suite"),
        (("tiny", "--compare", "tiny", "tiny"), "omit this suite"),
        (("tiny", "--compare", "ws", "empty"), "it has no results/"),
        ((), "give a suite file"),
        (("tiny", "--json"), "goes with --compare"),
    ],
)
def test_invalid_operands_exit_2_and_write_nothing(once, command, tmp_path, operands, expected):
    suite, workspace, _ = once
    (tmp_path / "empty").mkdir()
    places = {"tiny": suite.path, "ws": workspace.root, "none": tmp_path / "none", "empty": tmp_path / "empty"}
    code, _, output = command(*(places.get(operand, operand) for operand in operands))
    assert code == 2
    assert expected in output
    assert not (tmp_path / "page").exists()


samples = st.lists(st.integers(-1000, 1000).map(lambda eighths: eighths / 8), min_size=2, max_size=8, unique=True)


@settings(max_examples=30)
@given(samples, samples)
def test_the_interval_is_welchs(a, b):
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert welch_interval(a, b) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-9)


def test_tiny_spreads_do_not_underflow():
    low, high = welch_interval([0.0, 1e-100], [0.0, 1e-100])
    assert low < 0 < high


@pytest.mark.parametrize("a, b", [([1.0], [1.0, 2.0]), ([1.0, float("nan")], [1.0, 2.0])])
def test_no_interval_without_two_numbers(a, b):
    assert welch_interval(a, b) is None
