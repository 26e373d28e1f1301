"""Verdicts on claims."""

from enum import StrEnum

from benchmark.analysis.claims.paired_tests import LEVEL
from benchmark.analysis.verdicts import MIN_SEEDS, SeedCounts


class ClaimVerdict(StrEnum):
    """The verdicts on claims."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    REDUCED = "reduced scale"
    UNVERIFIED = "unverified"
    NOT_RUN = "not run"

    @property
    def is_decided(self) -> bool:
        """Whether it answers the question if the claim holds."""
        return self in (ClaimVerdict.SUPPORTED, ClaimVerdict.CONTRADICTED)


CLAIM_VERDICT_MEANINGS = {
    ClaimVerdict.SUPPORTED: "the test for the claim has a p-value of at most 5 %, and every seed finished",
    ClaimVerdict.CONTRADICTED: "the test of the opposite has a p-value of at most 5 %, and every seed finished",
    ClaimVerdict.INCONCLUSIVE: f"neither, or fewer than {MIN_SEEDS} seeds, or a seed that did not finish",
    ClaimVerdict.REDUCED: "these trials are smaller than the experiment of the paper, so the claim is not judged",
    ClaimVerdict.UNVERIFIED: "the sentence was not read in a named source, so the claim is not judged",
    ClaimVerdict.NOT_RUN: "no seed has run on all rows yet",
}


def judge_claim(
    counts: SeedCounts, p_for: float, p_against: float, *, is_verified: bool = True, is_full_scale: bool = True
) -> ClaimVerdict:
    """The verdict on a claim. The first rule that applies:

    1. No seed ran on all rows: `not run`.
    2. The trials are smaller than the experiment of the paper: `reduced scale`.
    3. The sentence was not read in a named source: `unverified`.
    4. Fewer than three seeds finished, or some seed did not: `inconclusive`, as the missing ones may differ.
    5. The p-value for the claim is at most 5 %: `supported`.
    6. The p-value against it is at most 5 %: `contradicted`.
    7. Otherwise: `inconclusive`.
    """
    if counts.not_run == counts.total:
        return ClaimVerdict.NOT_RUN
    if not is_full_scale:
        return ClaimVerdict.REDUCED
    if not is_verified:
        return ClaimVerdict.UNVERIFIED
    if counts.finished < MIN_SEEDS or not counts.is_complete:
        return ClaimVerdict.INCONCLUSIVE
    if p_for <= LEVEL:
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.CONTRADICTED if p_against <= LEVEL else ClaimVerdict.INCONCLUSIVE
