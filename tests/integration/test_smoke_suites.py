"""Every suite runs at the scale `smoke` from end to end: no file is needed, and nothing is claimed."""

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.execution.suite_run import SuiteRun
from benchmark.report.markdown import leaderboard
from benchmark.store.workspace import Workspace

SUITES = sorted(Path("suites").glob("*.yaml"))
DRAWN = "methods"  # the suite whose figures are drawn too, which takes longer than its trials


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """One workspace for all suites."""
    return Workspace.at(tmp_path_factory.mktemp("smoke"))


@pytest.fixture(autouse=True)
def _quick_classifier(monkeypatch):
    """The accuracy of the digit classifier does not matter here."""
    monkeypatch.setattr("benchmark.evaluation.extractors.digits.EPOCHS", {8: 1, 28: 1})


@pytest.fixture(scope="session")
def no_data(tmp_path_factory):
    return tmp_path_factory.mktemp("no-data")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_suite_runs_and_is_reported_without_any_file(path, workspace, no_data, tmp_path):
    suite = load_suite(path, "smoke")
    suite_run = SuiteRun(
        suite=suite,
        workspace=workspace,
        data_dir=no_data,
        report_dir=tmp_path / "report",
        console=Console(file=io.StringIO()),
    )
    plan = suite_run.plan()
    assert not plan.missing.message
    records = suite_run.run("inprocess", plan)
    assert {record.spec.name: record.error for record in records.values() if record.status != "finished"} == {}
    assert set(records) == set(suite.specs)
    assert list(no_data.iterdir()) == [], "nothing was downloaded"
    table_rows = leaderboard_rows(suite, records)
    if path.stem == DRAWN:
        page = suite_run.render(suite_run.report_records()).read_text()
        assert {figure.stem for figure in (tmp_path / "report/figures").iterdir()} >= {"leaderboard", "samples"}
    else:
        page = leaderboard(suite, table_rows, ())
    assert f"- **Trials** {len(records)} of {len(records)} finished" in page
    assert all(result.aggregate for row in table_rows for result in row.results.values()), (
        "every cell has all its numbers"
    )
    assert_nothing_is_claimed(path, suite, table_rows, page)


def assert_nothing_is_claimed(path, suite, rows, page):
    """The page says that images are synthetic, and no value is compared with a published one.

    Values in theory are shown, because they hold for data that ship with the program, and judge no reduced training.
    """
    references = [result.published for row in rows for result in row.results.values()]
    assert {reference.kind for reference in references if reference} <= {"theory", "read from a figure"}
    verdicts = {verdict.value for row in rows for verdict in row.verdicts.values()}
    assert verdicts <= {"no matched reference", "reduced scale"}
    assert ("reduced scale" in verdicts) == any(references)
    data = [line for line in page.splitlines() if line.startswith("- **Data**")]
    assert data
    if yaml.safe_load(path.read_text())["scales"]["smoke"].get("synthetic"):
        datasets = {spec.dataset: registry.datasets[spec.dataset] for spec in suite.specs.values()}
        assert all(dataset.is_bundled for dataset in datasets.values())
        real_images = {name for name, of in datasets.items() if not of.is_points and not of.is_synthetic}
        assert real_images <= {"digits"}, "they ship with scikit-learn"
        are_points = all(dataset.is_points for dataset in datasets.values())
        assert are_points or all("synthetic" in line or "digits" in line for line in data)
        assert "the numbers are meaningless" in suite.scale_about
        assert suite.scale_about in page
    else:  # the images ship, and the suites are for a laptop
        assert all(registry.datasets[spec.dataset].is_bundled for spec in suite.specs.values())


def test_the_suite_of_methods_has_every_method():
    """Methods that only an abstract describes carry their mark."""
    suite = load_suite(Path(f"suites/{DRAWN}.yaml"), "smoke")
    gans = {name for name in registry.methods if registry.methods[name].has_generator}
    assert {spec.method for spec in suite.specs.values()} == gans
    assert "Self-labelling GAN‡" in leaderboard(suite, leaderboard_rows(suite, {}), ())
