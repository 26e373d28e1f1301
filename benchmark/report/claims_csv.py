"""`claims.csv`: one line per claim and pair of quantities, for further computation."""

import csv
import io
from collections.abc import Iterable, Iterator

from benchmark.analysis.claims.results import ClaimResult, SideResult

CLAIM_COLUMNS = {
    "table": "title of the suite's table",
    "claim": "name of the claim in that table",
    "published": "the claim of a paper, as `paper/claim`",
    "side": "which of several rows or outputs; empty for a claim about one",
    "left_row": "row of the left quantity",
    "left_output": "metric output of the left quantity",
    "right_row": "row of the right quantity",
    "right_output": "metric output of the right quantity",
    "relation": "greater, less or not_greater: what left is predicted to be",
    "margin": "of not_greater, in the unit of the output",
    "quantifier": "some or every, for a claim about several sides; else each",
    "test": "t (paired t-test) or sign (exact sign test)",
    "seeds": "number of seeds that finished on all rows of the claim",
    "left": "mean over seeds",
    "right": "mean over seeds",
    "difference": "mean over seeds of left - right",
    "difference_low": "lower end of its 90 % t-interval",
    "difference_high": "upper end of its 90 % t-interval",
    "p_for": "p-value of the test for the claim, of this side alone",
    "p_against": "p-value of the test against it, of this side alone",
    "claim_p_for": "p-value of the test for the claim, combined over its sides",
    "claim_p_against": "p-value of the test against it, combined over its sides",
    "verdict": "supported, contradicted, inconclusive, reduced scale, unverified or not run",
    "source": "where the sentence was read",
}


def claims_csv(results: Iterable[ClaimResult]) -> str:
    """The whole file. Numbers have full precision; what is not measured is empty."""
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, CLAIM_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerows(_lines(result))
    return content.getvalue()


def _lines(result: ClaimResult) -> Iterator[dict[str, object]]:
    claim, measured = result.claim, {side.pair: side for side in result.sides}
    for pair in claim.comparisons:
        yield {
            "table": claim.table,
            "claim": claim.name,
            "published": claim.reference,
            "side": pair.side,
            "left_row": pair.left.row,
            "left_output": pair.left.output.key,
            "right_row": pair.right.row,
            "right_output": pair.right.output.key,
            "relation": claim.relation,
            "margin": claim.margin,
            "quantifier": claim.quantifier,
            "test": claim.test,
            "seeds": result.counts.finished,
            "claim_p_for": result.p_for,
            "claim_p_against": result.p_against,
            "verdict": result.verdict.value,
            "source": claim.published.source,
        } | (_measured(measured[pair]) if pair in measured else {})


def _measured(side: SideResult) -> dict[str, object]:
    low, high = side.interval or (None, None)
    return {
        "left": side.left.mean,
        "right": side.right.mean,
        "difference": side.difference.mean,
        "difference_low": low,
        "difference_high": high,
        "p_for": side.p_for,
        "p_against": side.p_against,
    }
