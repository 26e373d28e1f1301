"""What the documents say is so."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from benchmark.analysis.claims.verdicts import ClaimVerdict
from benchmark.analysis.verdicts import Verdict
from benchmark.cli.app import app
from benchmark.core.spec import TrialSpec
from benchmark.report.claims_csv import CLAIM_COLUMNS
from benchmark.report.results_csv import CSV_COLUMNS

DOCUMENTS = [*Path().glob("*.md"), *Path("docs").rglob("*.md"), *Path("reports").rglob("*.md")]


@pytest.mark.parametrize("columns", [CSV_COLUMNS, CLAIM_COLUMNS])
def test_every_column_of_a_csv_is_documented(columns):
    documented = re.findall(r"^\| `([^`]+)` \| (.+) \|$", Path("docs/results.md").read_text(), re.MULTILINE)
    assert set(documented) >= columns.items()


@pytest.mark.parametrize("word", list(ClaimVerdict))
def test_every_verdict_on_a_claim_is_explained(word):
    assert f"| `{word}` |" in Path("docs/results.md").read_text()


def test_every_field_of_a_cell_is_documented():
    text = Path("docs/suites.md").read_text()
    fields = set(TrialSpec.model_fields) - {"seed", "version"}
    assert not [name for name in fields if f"`{name}`" not in text]


@pytest.mark.parametrize("word", list(Verdict))
def test_every_verdict_is_explained_in_the_readme(word):
    assert f"`{word}`" in Path("README.md").read_text()


def test_every_option_in_the_readme_exists():
    commands = get_command(app).commands
    below = [inner for command in commands.values() for inner in getattr(command, "commands", {}).values()]
    every = [*commands.values(), *below]
    known = {option for command in every for parameter in command.params for option in parameter.opts}
    readme = Path("README.md").read_text()
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme)) - {"--backend-store-uri"}
    assert used
    assert used <= known
    assert set(re.findall(r"python -m benchmark ([a-z]+)", readme)) <= set(commands)
    assert set(re.findall(r"datasets ([a-z]+) NAME", readme)) <= set(commands["datasets"].commands)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(path):
    targets = re.findall(r"\]\(([^)#]+)", path.read_text())
    missing = [t for t in targets if not t.startswith("http") and not (path.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("path", sorted(Path("suites").glob("*.yaml")), ids=str)
def test_a_suite_is_about_as_long_as_its_table(path):
    assert len(path.read_text().splitlines()) <= 110


def test_every_discrepancy_id_in_use_is_explained():
    folders = ("baselines", "benchmark", "suites")
    files = [path for folder in folders for ending in ("*.py", "*.yaml") for path in Path(folder).rglob(ending)]
    used = {name for path in files for name in re.findall(r"\b(?:MS|SS|LA|SN|DG|X)-\d\d\b", path.read_text())}
    explained = set(
        re.findall(r"^\| ((?:MS|SS|LA|SN|DG|X)-\d\d) \|", Path("docs/discrepancies.md").read_text(), re.MULTILINE)
    )
    assert used
    assert used <= explained


def test_every_module_on_the_architecture_page_exists():
    rooms = {path.name for path in Path("benchmark").iterdir() if path.is_dir()}
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", Path("docs/architecture.md").read_text())
    modules = [name for name in named if name.partition(".")[0] in rooms]
    assert len(modules) > 10
    missing = [name for name in modules if not list(Path("benchmark").glob(name.replace(".", "/") + "*"))]
    assert not missing
