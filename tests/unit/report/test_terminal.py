"""tests.unit.report.test_terminal"""

import io

import pytest
from rich.console import Console

from benchmark.report.render import summary_table


def printed(suite, records, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(suite, records))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_everything_fits_and_nothing_is_cut(suite, mixed, width):
    lines = printed(suite, mixed, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_it_tells_values_verdicts_and_what_is_missing(suite, mixed):
    shown = printed(suite, mixed)
    for words in (
        "Checked",
        "modes ↑",
        "kl ↓",
        "906.75 ± 26.15",
        "99†",
        "(3)",
        "not run",
        "img/s",
        "30 core-s",
    ):
        assert words in shown
    assert "2 of 3; 1 failed" in shown
    assert "2 of 3; 1 diverged" in shown


def test_labels_are_not_markup(small_suite):
    assert "[red]|x[/]" in printed(small_suite("[red]|x[/]"), {})


def test_a_method_from_an_abstract_is_marked(derived_suite, suite):
    shown = " ".join(printed(derived_suite, {}).split())
    assert "Selfish‡" in shown
    assert "‡ follows the abstract of its paper" in shown
    assert "‡" not in printed(suite, {})


def test_no_header_is_cut(suite, mixed):
    assert "…" not in printed(suite, mixed, 30)  # as narrow as many columns are in 120
