"""tests.unit.report.test_text"""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.analysis.aggregate import Aggregate
from benchmark.analysis.leaderboard import JudgedValue, MetricResult, TotalCost
from benchmark.analysis.verdicts import Verdict
from benchmark.config.published import PublishedValue
from benchmark.evaluation.metrics.base import Output
from benchmark.report import text

PARSER = MarkdownIt("commonmark").enable("table")
SPICY = st.text(st.sampled_from("|`*_[]()<>&\\~$#-+=.!1a :\n\t\x00\u202e\"'{}^@é数")) | st.text()


def shown(fragment):
    """The text that a reader of rendered HTML sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", fragment))


@given(SPICY)
@example("1. a")
@example("``` |")
@example("&lt; &amp;")
@example("\\|")
@example("--- | ---")
def test_escaped_text_is_shown_as_it_was(raw):
    clean = text.single_line(raw)
    assert shown(PARSER.render(text.escape_markdown(raw))).strip() == clean
    table = PARSER.render(text.grid(["a", "b"], [[text.escape_markdown(raw), "x"]], "lr"))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table, re.S)
    assert [shown(cell).strip() for cell in cells] == [clean, "x"]
    assert "<em>" not in table
    assert "<code>" not in table


@given(SPICY, st.integers(1, 30))
def test_clipped_text_fits(raw, length):
    assert len(text.truncate(raw, length)) <= length


def result(published=None, digits=1, values=None, best_of=1):
    aggregate = Aggregate(dict(enumerate(values))) if values else None
    return MetricResult(
        output=Output(key="modes", title="modes", better="higher", decimals=digits),
        aggregate=aggregate,
        judged=JudgedValue(trainings=aggregate, better="higher", best_of=best_of) if aggregate else None,
        published=published,
        reference=None,
        verdict=Verdict.INCONCLUSIVE,
    )


@pytest.mark.parametrize(
    "values, words",
    [
        ([900.0, 910.0], "905.0 ± 7.1"),
        ([900.0], "900.0"),
        (None, ""),
        ([900.0, float("nan")], "not a number"),
    ],
)
def test_measured(values, words):
    assert text.format_measured(result(values=values)) == words


@pytest.mark.parametrize(
    "values, words",
    [
        ([900.0, 910.0, 920.0], "916.7"),
        ([900.0], ""),
        (None, ""),
        ([900.0, 910.0, float("nan")], "not a number"),
    ],
)
def test_an_expected_best_has_no_spread_and_needs_enough_seeds(values, words):
    assert text.format_measured(result(values=values, best_of=2)) == words


@pytest.mark.parametrize(
    "values, words",
    [([99.0, 101.0], "1.4 %"), ([-99.0, -101.0], "1.4 %"), ([50.0, 150.0], "71 %"), ([5.0], ""), ([-1.0, 1.0], "")],
)
def test_the_coefficient_of_variation_is_a_share_of_the_mean(values, words):
    assert text.format_variation(result(values=values)) == words


@pytest.mark.parametrize(
    "value, spread, status, words",
    [
        (926.75, 32.65, "verified", "926.75 ± 32.65"),
        (0.9, 0.13, "verified", "0.90 ± 0.13"),
        (1000.0, None, "verified", "1000"),
        (12.3, None, "unverified", "12.3†"),
        (1e-05, None, "verified", "0.00001"),
    ],
)
def test_published_values_keep_the_decimals_of_their_source(value, spread, status, words):
    published = PublishedValue.model_construct(value=value, spread=spread, status=status)
    assert text.format_published(result(published)) == words
    assert text.format_published(result()) == ""


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0.0 s"), (9.4, "9.4 s"), (59, "59 s"), (900, "15 min"), (7200, "2.0 h"), (4e6, "1,111.1 h")],
)
def test_durations(seconds, words):
    assert text.format_duration(seconds) == words


def total_cost(**fields):
    return TotalCost(**(dict.fromkeys(TotalCost.__dataclass_fields__, 0.0) | fields))


def test_device_time_names_its_device():
    assert text.format_cost(total_cost(core_seconds=90)) == "90 core-s"
    assert text.format_cost(total_cost(gpu_seconds=8000)) == "2.2 GPU-h"
    assert text.format_cost(None) == text.format_speed(None) == ""
    assert text.format_speed(total_cost(images_per_second=6712.4)) == "6,712 img/s"
