"""tests.unit.report.figures.test_page"""

from itertools import chain

import pytest
from hypothesis import given, settings
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


@given(sizes=st.lists(st.integers(1, 40), max_size=12))
@settings(deadline=None)
def test_a_key_keeps_its_order_and_its_width(sizes):
    entries = [page.LegendEntry("m" * size, {}) for size in sizes]
    lines = page.wrap_entries(entries, 8, 4.0)
    assert [entry for line in lines for entry in line] == entries
    assert all(sum(page.entry_width(entry, 8) for entry in line) <= 4.0 for line in lines if len(line) > 1)


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
