"""tests.unit.cli.test_app"""

import subprocess
import sys

import pytest
from typer.main import get_command

from benchmark.cli import app

COMMANDS = get_command(app.app).commands


def test_a_help_text_imports_no_heavy_library():
    heavy = ("torch", "ray", "mlflow", "matplotlib", "pandas", "numpy")
    code = f"import sys; from benchmark.cli import app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [*COMMANDS, ""])
@pytest.mark.parametrize("columns", ["80", "120"])
def test_every_help_text_has_examples_and_fits(monkeypatch, capsys, name, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "argv", ["benchmark", *([name] if name else []), "--help"])
    with pytest.raises(SystemExit):
        app.main()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert name == "track" or any("$ python -m benchmark" in line for line in lines)


def test_verbose_and_quiet_exclude_each_other(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "-v", "-q", "methods"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --verbose and --quiet exclude each other\n"


def test_papers_in_another_folder_says_where_it_looked(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark", "papers"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert f"{tmp_path}/suites/papers: no papers there" in capsys.readouterr().err
