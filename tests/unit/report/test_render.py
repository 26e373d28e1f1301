"""tests.unit.report.test_render"""

import dataclasses
import subprocess
import sys

import pytest

from benchmark.report.render import render, replaced_title


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def small(small_suite, all_finished):
    suite = small_suite("GAN", "Other")
    return suite, all_finished(suite)


@pytest.fixture(scope="module")
def path(small, real, tmp_path_factory):
    return render(*small, tmp_path_factory.mktemp("reports") / "new" / "folder", real)


def test_it_writes_a_leaderboard_a_table_and_pictures(path):
    assert (path.name, path.parent.name) == ("leaderboard.md", "folder")
    assert list(contents(path.parent)) == [
        "figures/curves.png",
        "figures/leaderboard.png",
        "figures/samples.png",
        "leaderboard.md",
        "results.csv",
        "results.json",
    ]


def test_the_same_store_gives_the_same_bytes(small, path, tmp_path, real):
    suite, records = small
    render(suite, dict(reversed(records.items())), tmp_path, real)
    assert contents(tmp_path) == contents(path.parent)


def test_pictures_that_are_no_longer_shown_go_and_other_files_stay(small, tmp_path, real):
    suite, _ = small
    (tmp_path / "figures").mkdir()
    for name in ("curves.png", "old.png", "note.txt"):
        (tmp_path / "figures" / name).write_bytes(b"old")
    path = render(suite, {}, tmp_path, real)
    assert list(contents(tmp_path / "figures")) == ["leaderboard.png", "note.txt"]
    assert "not run" in path.read_text()


def test_importing_the_report_loads_nothing_heavy():
    code = "import sys, benchmark.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "pandas", "torch", "scipy", "ray", "mlflow"} & set(done.stdout.split())


def test_a_report_of_another_suite_is_recognised_in_its_folder(small, path, tmp_path):
    suite = small[0]
    assert replaced_title(suite, path.parent) == ""
    assert replaced_title(suite, tmp_path) == ""
    assert replaced_title(dataclasses.replace(suite, title="Other"), path.parent) == suite.title
