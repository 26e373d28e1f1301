"""tests.unit.cli.test_logs"""

import io
import logging
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmark.cli import app, logs

logger = logging.getLogger("benchmark.some.module")


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    """Standard error as a terminal of 100 columns."""
    screen = io.StringIO()
    monkeypatch.setattr(logs, "stderr", Console(file=screen, force_terminal=True, width=100))
    return screen


def log_all() -> None:
    logger.debug("a detail")
    logger.info("a file: %s", "[bold]x")
    logger.warning("trouble")


def test_lines_in_a_file_have_a_time_and_go_to_standard_error(capsys):
    with logs.status_on_stderr():
        log_all()
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d a file: \[bold\]x\n\d\d:\d\d:\d\d trouble\n", err)


def test_lines_on_a_terminal_have_a_colour_instead(terminal):
    with logs.status_on_stderr():
        log_all()
    assert terminal.getvalue() == "a file: [bold]x\n\x1b[33mtrouble\x1b[0m\n"


def test_a_line_appears_above_a_live_view(terminal):
    with logs.status_on_stderr(), Live("the view", console=logs.stderr, auto_refresh=False):
        logger.info("a line that is longer than the screen is wide, %s", "x" * 100)
    shown = terminal.getvalue()
    line = shown[shown.index("a line") : shown.index("x" * 100) + 100]
    assert line.replace("\n", "") == f"a line that is longer than the screen is wide, {'x' * 100}"
    assert shown.index("a line") < shown.rindex("the view")


@pytest.mark.parametrize(
    "options, shown", [([], ["info", "warning"]), (["-q"], ["warning"]), (["-v"], ["debug", "info", "warning"])]
)
def test_quiet_and_verbose_choose_what_is_printed(monkeypatch, capsys, options, shown):
    def entry(name):
        for level in ("debug", "info", "warning"):
            getattr(logger, level)(level)
        return {"name": name}

    monkeypatch.setattr("benchmark.cli.methods.entry", entry)
    monkeypatch.setattr(sys, "argv", ["benchmark", *options, "methods", "gan", "--json"])
    with pytest.raises(SystemExit):
        app.main()
    out, err = capsys.readouterr()
    assert '"name": "gan"' in out
    assert [line.split()[-1] for line in err.splitlines()] == shown


def test_quiet_silences_the_live_view():
    with logs.status_on_stderr():
        assert logs.live_console() is logs.stderr
        logs.logger.setLevel(logging.WARNING)
        assert logs.live_console().quiet


def test_logging_is_as_before_once_a_command_has_ended():
    before = (logs.logger.level, logs.logger.propagate, list(logs.logger.handlers))
    with logs.status_on_stderr():
        pass
    assert (logs.logger.level, logs.logger.propagate, logs.logger.handlers) == before


BRACKETS = "GAN [ours] [/x=0.2] [bold]b[/bold] :smile:"


@pytest.mark.parametrize("console", [logs.stdout, logs.stderr], ids=["stdout", "stderr"])
def test_text_of_users_is_never_read_as_markup(console):
    table = Table(BRACKETS, title=BRACKETS)
    table.add_row(BRACKETS)
    table.caption = BRACKETS
    for shown in (BRACKETS, table):
        with console.capture() as captured:
            console.print(shown, width=200, highlight=False)
        assert captured.get().count(BRACKETS) == (1 if shown is BRACKETS else 4)


def test_no_module_writes_markup_into_text():
    """Styles are given as Text(..., style=...), because markup in a string would be printed as it stands."""
    package = Path(logs.__file__).parents[1]
    assert not [path.name for path in package.rglob("*.py") if "[/]" in path.read_text()]
