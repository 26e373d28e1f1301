"""tests.unit.report.figures.test_page"""

from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.report.figures import page

INCHES = st.floats(0.4, 8)


@given(words=st.text(st.characters(categories=["L", "N", "Zs"], max_codepoint=0x17F), max_size=60), inches=INCHES)
@settings(max_examples=60, deadline=None)
def test_wrapped_words_are_within_their_inches_and_lines(words, inches):
    wrapped = page.wrap(words, 9, inches, 2)
    assert page.width(wrapped, 9) <= inches
    assert wrapped.count("\n") <= 1
    if not wrapped.endswith("…"):
        assert "".join(wrapped.split()) == "".join(words.split()), "nothing is lost without a sign"


def test_lines_break_at_spaces_where_they_can():
    assert page.wrap("Self-labelling GAN", 8, 0.9, 2) == "Self-labelling\nGAN"
    assert page.wrap("GAN", 8, 1.0, 2) == "GAN"
    assert page.wrap("", 8, 1.0, 2) == ""
    assert page.wrap("a " * 99, 8, 1.0, 1).endswith("…")


@given(
    low=st.floats(-1e4, 1e4),
    reach=st.floats(1e-4, 1e5),
    inches=INCHES,
    log=st.booleans(),
    upright=st.booleans(),
    whole=st.booleans(),
)
@example(low=911.8744209115575, reach=1e-4, inches=1.0, log=True, upright=False, whole=False)
@settings(max_examples=100, deadline=None)
def test_ticks_are_on_the_axis_and_their_labels_apart(low, reach, inches, log, upright, whole):
    low = abs(low) + 1e-3 if log else low
    found = page.ticks((low, low + reach), inches, log, upright, whole)
    assert len(found.places) != 1, "a single one says nothing about the scale"
    slack = 1e-6 * reach
    assert all(low - slack <= place <= low + reach + slack for place in found.places)
    assert page._apart(found, (low, low + reach), inches, log, upright)
    assert len(set(found.labels)) == len(found.labels)


@pytest.mark.parametrize(
    "limits, inches, labels",
    [
        ((0, 100), 3, ["0", "20", "40", "60", "80", "100"]),
        ((0, 2000), 3, ["0", "500", "1,000", "1,500", "2,000"]),
        ((0.0066, 0.0145), 1.3, ["0.008", "0.012"]),
    ],
)
def test_ticks_are_round_and_fewer_where_there_is_less_room(limits, inches, labels):
    assert page.ticks(limits, inches).labels == labels


@pytest.mark.parametrize("limits", [(1e-300, 1e9), (5e-324, 1.0), (1e-12, 1e12), (0.999999, 1.000001)])
def test_a_logarithmic_axis_has_no_tick_at_nought(limits):
    found = page.ticks(limits, 2.0, log=True, upright=True)
    assert all(place > 0 for place in found.places)


def test_steps_are_counted_in_thousands():
    assert page.ticks((0, 102_000), 1.8, whole=True).labels == ["0", "25k", "50k", "75k", "100k"]
    assert page.ticks((0, 2), 2, whole=True).labels == ["0", "1", "2"]


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_limits_leave_a_margin(values):
    low, high = page.limits(values)
    assert low < high
    assert all(low < value < high for value in values)


@given(sizes=st.lists(st.integers(1, 40), max_size=12))
@settings(deadline=None)
def test_a_key_keeps_its_order_and_its_width(sizes):
    entries = [page.LegendEntry("m" * size, {}) for size in sizes]
    lines = page.wrap_entries(entries, 8, 4.0)
    assert [entry for line in lines for entry in line] == entries
    assert all(sum(page._entry_width(entry, 8) for entry in line) <= 4.0 for line in lines if len(line) > 1)


@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=6), most=st.integers(1, 4))
def test_no_column_more_than_saves_a_row(counts, most):
    def rows(columns):
        return [len(page.rows_of(range(count), columns)) for count in counts]

    found = page.columns(counts, most)
    assert 1 <= found <= most
    assert rows(found) == rows(most)
    assert found == 1 or rows(found - 1) != rows(most)


@pytest.mark.parametrize(
    "groups, rows",
    [
        ([3, 3, 1, 1, 3], [3, 3, 2, 3]),
        ([1, 1, 1, 1], [3, 1]),
        ([4, 1], [3, 2]),
        ([2, 2], [2, 2]),
        ([], []),
    ],
)
def test_groups_share_a_row_only_as_a_whole(groups, rows):
    items = [[(group, place) for place in range(size)] for group, size in enumerate(groups)]
    found = page.rows_of_groups(items, 3)
    assert [len(row) for row in found] == rows
    assert list(chain(*found)) == list(chain(*items)), "in their order"
