"""`--only`: a suite cut down to some of its cells, and the command that does it."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from benchmark.cli import app
from benchmark.config.suite import load_suite, select_cells
from benchmark.core.errors import UserError
from benchmark.report.provenance import cell_command, rerun_commands

SUITE = {
    "title": "Tiny",
    "seeds": [0, 1],
    "defaults": {
        "dataset": "stacked_digits",
        "network": "mlp",
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 2,
        "batch_size": 8,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
        "protocol": {"measures": {"modes": {"n_fake": 100}}, "evaluations": 1},
    },
    "tables": [
        {"title": "Width K/4", "rows": {"GAN": {"method": "gan"}, "SS GAN's": {"method": "ssgan"}}},
        {"title": "Longer", "defaults": {"steps": 3}, "rows": {"GAN": {"method": "gan"}}},
    ],
    "scales": {"quick": {}},
}


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "suites").mkdir()
    path = tmp_path / "suites" / "tiny.yaml"
    path.write_text(yaml.safe_dump(SUITE, sort_keys=False))
    return load_suite(path, "quick", 3)


def names(suite):
    return [f"{cell.table}/{cell.row}" for cell in suite.cells]


@pytest.mark.parametrize(
    "wanted, expected",
    [
        ([], ["Width K/4/GAN", "Width K/4/SS GAN's", "Longer/GAN"]),
        (["GAN"], ["Width K/4/GAN", "Longer/GAN"]),
        (["longer/gan"], ["Longer/GAN"]),
        (["Longer/GAN", " SS  GAN's "], ["Width K/4/SS GAN's", "Longer/GAN"]),
    ],
)
def test_cells_are_named_by_table_and_row_or_by_row(suite, wanted, expected):
    cut = select_cells(suite, wanted)
    assert names(cut) == expected
    assert len(cut.specs) == 3 * len(expected)
    assert set(cut.specs) <= set(suite.specs)


def scaled(tmp_path, rows):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(SUITE | {"scales": {"quick": {"rows": rows}, "paper": {}}}, sort_keys=False))
    return path


def test_a_scale_may_have_some_rows_only(tmp_path):
    path = scaled(tmp_path, ["Longer/GAN", "ss gan's"])
    assert names(load_suite(path, "quick")) == ["Width K/4/SS GAN's", "Longer/GAN"]
    assert len(load_suite(path, "paper").cells) == 3
    assert not load_suite(path, "quick").only, "the scale is whole"


def test_a_scales_row_that_is_none_is_named_with_its_place(tmp_path):
    with pytest.raises(UserError, match=r"tiny\.yaml.*rows.*'Longer/GAM'.*did you mean 'Longer/GAN'"):
        load_suite(scaled(tmp_path, ["Longer/GAM"]), "quick")


def test_an_unknown_cell_tells_the_nearest(suite):
    with pytest.raises(UserError, match=r"--only 'Longer/GAM'.*did you mean 'Longer/GAN'"):
        select_cells(suite, ["GAN", "Longer/GAM"])


def test_the_command_of_a_cell_runs_that_cell(suite, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    cell = suite.cells[1]
    line = cell_command(suite, cell)
    assert line.endswith("""--scale quick --seeds 3 --only 'Width K/4/SS GAN'"'"'s'""")
    python, _, module, verb, *arguments = shlex.split(line)
    assert (python, module, verb) == ("python", "benchmark", "run")
    monkeypatch.setattr(sys, "argv", ["benchmark", "plan", *arguments, "--json"])
    with pytest.raises(SystemExit):
        app.main()
    planned = json.loads(capsys.readouterr().out)["cell_states"]
    trials = [trial["trial_id"] for state in planned for trial in state["trials"]]
    assert trials == [spec.trial_id for spec in cell.specs]
    assert rerun_commands(select_cells(suite, ["Width K/4/SS GAN's"]))[0].splitlines()[1] == line


def test_a_part_does_not_overwrite_the_report_of_the_whole(suite, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark", "report", "suites/tiny.yaml", "--only", "Longer/GAN"])
    with pytest.raises(SystemExit):
        app.main()
    assert [path.name for path in Path("reports").iterdir()] == ["tiny-only"]
    assert "SS GAN" not in Path("reports/tiny-only/leaderboard.md").read_text()
