"""Unreadable files and unwritable folders: the message names them, and nothing else is changed."""

import os
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from benchmark.cli import app
from benchmark.core import registry
from benchmark.core.errors import UserError
from tests.support.examples import example_files, small_mnist

NOBODY = 65534


@contextmanager
def as_nobody(home):
    """Drop the rights of root inside the block, because root is denied nothing.

    Import lazily loaded modules before: other users may not be able to read Python itself.
    """
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except PermissionError:
        pytest.skip("root without the right to become somebody else")
    try:
        if not os.access(home, os.R_OK | os.X_OK, effective_ids=True):
            pytest.skip(f"{home} is closed to others")
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def home():
    """A folder that every user can reach; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        (path / "raw").mkdir()
        (path / "cache").mkdir()
        (path / "cache").chmod(0o777)
        yield path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def refused(dataset, home):
    """The message of a refused preparation, which leaves the raw files unchanged and nothing in the cache."""
    before = contents(home)
    with as_nobody(home), pytest.raises(UserError) as raised:
        dataset.prepare(home / "raw", home / "cache")
    assert contents(home) == before
    return str(raised.value)


@pytest.mark.parametrize("name", [name for name in registry.datasets if not registry.datasets[name].is_bundled])
def test_an_unreadable_raw_file_is_named(name, home, monkeypatch):
    example_files(registry.datasets[name], home / "raw", monkeypatch)
    registry.datasets[name].prepare(home / "raw", home / "imports")
    for file in sorted(path for path in (home / "raw").rglob("*") if path.suffix not in (".txt", ".lock"))[-3:]:
        mode = file.stat().st_mode
        file.chmod(0)
        output = refused(registry.datasets[name], home)
        assert str(file) in output
        assert "ermission denied" in output
        file.chmod(mode)
    with as_nobody(home):
        registry.datasets[name].prepare(home / "raw", home / "cache")


def test_an_unwritable_cache_is_named(home, monkeypatch):
    small_mnist(home / "raw", monkeypatch)
    (home / "cache").chmod(0o555)
    output = refused(registry.datasets["mnist"], home)
    assert str(home / "cache") in output
    assert "ermission denied" in output


@pytest.fixture
def command(monkeypatch, capsys, home):
    """Runs a command. Returns its exit code and its whole output."""

    def run(*arguments, nobody=True):
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
        with as_nobody(home) if nobody else nullcontext(), pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


@pytest.mark.parametrize("closed", ["raw/t10k-labels-idx1-ubyte", "raw", "cache"])
@pytest.mark.parametrize("arguments", [("datasets", "prepare", "mnist"), ("datasets", "verify", "mnist")], ids=" ".join)
def test_commands_name_the_inaccessible_path_and_exit_with_2(arguments, closed, home, monkeypatch, command):
    small_mnist(home / "raw", monkeypatch)
    where = ["--data-dir", home / "raw", "--workspace", home / "cache"]
    command(*arguments, "--data-dir", home / "raw", "--workspace", home / "imports", nobody=False)
    before = contents(home)
    mode = (home / closed).stat().st_mode
    (home / closed).chmod(0)
    code, output = command(*arguments, *where)
    (home / closed).chmod(mode)
    assert code == 2, output
    assert str(home / closed) in output
    assert contents(home) == before
