"""How many seeds a claim needs: the fewest with which a verdict is possible, and those that would probably decide it.

The second number assumes that further seeds are like the measured ones: with the mean and the standard deviation of
their differences for a t-test, whose power is that of the noncentral t distribution, and with their share on the
predicted side for a sign test. A claim about some side is decided by its clearest one, a claim about every side by its
least clear one.
"""

import math
from typing import NamedTuple

import numpy as np

from benchmark.analysis.aggregate import Floats
from benchmark.analysis.claims.paired_tests import LEVEL, predicted_excess
from benchmark.analysis.claims.quantifiers import corrections
from benchmark.analysis.claims.results import ClaimResult, common_differences
from benchmark.analysis.claims.verdicts import ClaimVerdict
from benchmark.analysis.verdicts import MIN_SEEDS
from benchmark.config.claims import Claim

POWER = 0.80
MOST_SEEDS = 1000  # that are searched
LARGEST_EFFECT = 50.0  # in standard deviations; three seeds show any larger one


class FewestSeeds(NamedTuple):
    """The fewest seeds with which a claim can be supported, and with which it can be contradicted."""

    support: int
    contradiction: int


def fewest_seeds(claim: Claim) -> FewestSeeds:
    """Seeds with which a sign test can reach its level, p = 2^-n at best; by a t-test three, as for any verdict."""
    if claim.test == "t":
        return FewestSeeds(MIN_SEEDS, MIN_SEEDS)
    factors = corrections(len(claim.comparisons), claim.quantifier)
    return FewestSeeds(*(max(MIN_SEEDS, math.ceil(math.log2(factor / LEVEL))) for factor in factors))


def seeds_to_decide(result: ClaimResult) -> int | None:
    """The number of seeds that decides an inconclusive claim with a probability of 80 %, if more are like these.

    None for a claim that is decided or not judged, for fewer than two seeds, or if it takes more than 1,000.
    """
    claim = result.claim
    if result.verdict is not ClaimVerdict.INCONCLUSIVE or result.p_for is None or math.isnan(result.p_for):
        return None
    excess = predicted_excess(common_differences(result.sides), claim.edge, claim.relation)
    effects = _effect_sizes(excess) if claim.test == "t" else (excess > 0).mean(axis=-1) - 0.5
    effect = float(effects.max() if claim.quantifier == "some" else effects.min())
    factor = corrections(len(result.sides), claim.quantifier)[effect <= 0]
    sizes = np.arange(MIN_SEEDS, MOST_SEEDS + 1.0)
    power = (_t_power if claim.test == "t" else _sign_power)(abs(effect), sizes, LEVEL / factor)
    enough = np.flatnonzero(power >= POWER)
    return int(sizes[enough[0]]) if len(enough) else None


def _effect_sizes(excess: Floats) -> Floats:
    """Mean / standard deviation of (sides, n) values, within +- `LARGEST_EFFECT`."""
    mean, std = excess.mean(axis=-1), excess.std(axis=-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.where(mean == 0, 0.0, mean / std), -LARGEST_EFFECT, LARGEST_EFFECT)


def _t_power(effect: float, sizes: Floats, level: float) -> Floats:
    """The power of a one-sided t-test at an effect in standard deviations, for each number of seeds."""
    from scipy.special import nctdtr, stdtrit  # importing scipy.stats takes a second

    critical = stdtrit(sizes - 1, 1 - level)
    return np.asarray(1 - nctdtr(sizes - 1, effect * np.sqrt(sizes), critical), dtype=np.float64)


def _sign_power(effect: float, sizes: Floats, level: float) -> Floats:
    """The power of a sign test if a difference is on the side of the effect with probability 1/2 + effect."""
    from scipy.special import bdtr

    most = np.array([_most_misses(int(n), level) for n in sizes], dtype=np.float64)
    return np.asarray(
        np.where(most < 0, 0.0, bdtr(np.maximum(most, 0), sizes.astype(int), 0.5 - effect)), dtype=np.float64
    )


def _most_misses(n: int, level: float) -> int:
    """The most of n differences that may lie on the other side in a significant sign test; -1 if none may."""
    from scipy.special import bdtr

    return int(np.searchsorted(bdtr(np.arange(n + 1.0), n, 0.5), level, side="right")) - 1
