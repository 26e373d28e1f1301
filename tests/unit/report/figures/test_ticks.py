"""tests.unit.report.figures.test_ticks"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.report.figures import ticks

INCHES = st.floats(0.4, 8)


@given(
    low=st.floats(-1e4, 1e4),
    reach=st.floats(1e-4, 1e5),
    inches=INCHES,
    log=st.booleans(),
    vertical=st.booleans(),
    steps=st.booleans(),
)
@example(low=911.8744209115575, reach=1e-4, inches=1.0, log=True, vertical=False, steps=False)
@settings(max_examples=100, deadline=None)
def test_ticks_are_on_the_axis_and_their_labels_apart(low, reach, inches, log, vertical, steps):
    low = abs(low) + 1e-3 if log else low
    chosen = ticks.choose_ticks((low, low + reach), inches, log=log, vertical=vertical, steps=steps)
    assert len(chosen.positions) != 1, "a single one says nothing about the scale"
    slack = 1e-6 * reach
    assert all(low - slack <= position <= low + reach + slack for position in chosen.positions)
    assert ticks.labels_fit(chosen, (low, low + reach), inches, log, vertical)
    assert len(set(chosen.labels)) == len(chosen.labels)


@pytest.mark.parametrize(
    "limits, inches, labels",
    [
        ((0, 100), 3, ["0", "20", "40", "60", "80", "100"]),
        ((0, 2000), 3, ["0", "500", "1,000", "1,500", "2,000"]),
        ((0.0066, 0.0145), 1.3, ["0.008", "0.012"]),
    ],
)
def test_ticks_are_round_and_fewer_where_there_is_less_room(limits, inches, labels):
    assert ticks.choose_ticks(limits, inches).labels == labels


@pytest.mark.parametrize("limits", [(1e-300, 1e9), (5e-324, 1.0), (1e-12, 1e12), (0.999999, 1.000001)])
def test_a_logarithmic_axis_has_no_tick_at_nought(limits):
    chosen = ticks.choose_ticks(limits, 2.0, log=True, vertical=True)
    assert all(position > 0 for position in chosen.positions)


def test_steps_are_counted_in_thousands():
    assert ticks.choose_ticks((0, 102_000), 1.8, steps=True).labels == ["0", "25k", "50k", "75k", "100k"]
    assert ticks.choose_ticks((0, 2), 2, steps=True).labels == ["0", "1", "2"]


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_limits_leave_a_margin(values):
    low, high = ticks.axis_limits(values)
    assert low < high
    assert all(low < value < high for value in values)
