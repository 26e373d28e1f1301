"""Modes and KL(generated || uniform)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from benchmark.evaluation.metrics.modes import Modes, kl_floor, mode_statistics
from tests.support.measures import BrightnessReader, digit_stacks

LN_1000 = math.log(1000)


def counts_of(**bins):
    counts = np.zeros(1000, np.int64)
    for name, count in bins.items():
        counts[int(name[1:])] = count
    return counts


@pytest.mark.parametrize(
    ("counts", "modes", "kl"),
    [
        (np.full(1000, 7), 1000, 0.0),
        (counts_of(b5=40), 1, math.log(1000)),
        (counts_of(b0=3, b999=3), 2, math.log(500)),
        # p = 1/4 and 3/4: 1/4 ln 250 + 3/4 ln 750
        (counts_of(b1=1, b2=3), 2, 0.25 * math.log(250) + 0.75 * math.log(750)),
    ],
)
def test_modes_and_kl_by_hand(counts, modes, kl):
    assert mode_statistics(counts) == {"modes": modes, "kl": pytest.approx(kl, abs=1e-12)}


histograms = arrays(np.int64, 1000, elements=st.integers(0, 50), fill=st.integers(0, 3)).filter(np.any)


@given(counts=histograms)
@settings(max_examples=60, deadline=None)
def test_kl_equals_scipys_and_lies_between_0_and_ln_1000(counts):
    statistics = mode_statistics(counts)
    assert statistics["kl"] == pytest.approx(entropy(counts, np.full(1000, 1e-3)), rel=1e-9, abs=1e-12)
    assert -1e-12 <= statistics["kl"] <= LN_1000 + 1e-12
    assert statistics["modes"] == np.count_nonzero(counts)
    assert statistics["kl"] >= LN_1000 - math.log(statistics["modes"]) - 1e-12, "few modes force a large KL"


@given(counts=histograms, factor=st.integers(2, 9), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_statistics_depend_on_the_shares_of_modes_only(counts, factor, seed):
    shuffled = np.random.default_rng(seed).permutation(counts) * factor
    assert mode_statistics(shuffled) == pytest.approx(mode_statistics(counts), rel=1e-9, abs=1e-12)


def test_empty_counts_are_an_error():
    with pytest.raises(ValueError, match="no samples"):
        mode_statistics(np.zeros(1000, np.int64))


def test_the_floor_of_25600_samples_is_the_mean_kl_of_uniform_samples():
    """X-04: 999 / 51,200 = 0.0195. The mean over forty simulated perfect generators has a standard error of 0.00014."""
    assert kl_floor(25_600) == pytest.approx(999 / 51_200)
    assert kl_floor(25_600) == pytest.approx(0.0195, abs=5e-5)
    rng = np.random.default_rng(0)
    kls = [mode_statistics(np.bincount(rng.integers(0, 1000, 25_600), minlength=1000))["kl"] for _ in range(40)]
    assert np.mean(kls) == pytest.approx(kl_floor(25_600), abs=6e-4)


def test_the_bins_are_the_digits_of_the_channels():
    """Mode 370 is a red 3, a green 7 and a blue 0; the metrics follow from the histogram."""
    bins = Modes.histogram_spec(Modes.Options())
    assert [name for name, _ in bins.axes] == ["red", "green", "blue"]
    cube = np.arange(1000).reshape(bins.shape)
    assert cube[3, 7, 0] == 370
    metric = Modes(Modes.Options(), None, {})
    metric.update(BrightnessReader()(digit_stacks([(3, 7, 0), (3, 7, 0), (0, 0, 9)])))
    assert dict(enumerate(metric.histogram().tolist())) | {370: 0, 9: 0} == dict.fromkeys(range(1000), 0)
    assert metric.histogram()[[370, 9]].tolist() == [2, 1]
    assert mode_statistics(metric.histogram()) == metric.compute()


def test_reference_lines_are_all_modes_and_the_floor_of_the_kl():
    lines = Modes.reference_lines(Modes.Options(), 25_600)
    assert lines["modes"].value == 1000
    assert lines["kl"].value == kl_floor(25_600)
    assert "0.0195" in " ".join(Modes.notes(Modes.Options(), 25_600).values())


def measured(extractor, batches):
    metric = Modes(Modes.Options(), None, {})
    for batch in batches:
        metric.update(extractor(batch))
    return metric.compute()


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_modes_of_all_batches_are_counted(size):
    """Modes 0 to 599 occur once, and mode 7 four hundred times more."""
    triples = [(m // 100, m // 10 % 10, m % 10) for m in [*range(600), *[7] * 400]]
    values = measured(BrightnessReader(), digit_stacks(triples, size=2).split(size))
    p = np.array([401 / 1000, *[1 / 1000] * 599])
    assert values == {"modes": 600.0, "kl": pytest.approx(float((p * np.log(p * 1000)).sum()), rel=1e-9)}
