"""The claims of a table: verdicts, what was measured on both sides, and the sentences with their sources."""

from collections.abc import Iterable, Sequence

from benchmark.analysis.claims.power import POWER, fewest_seeds, seeds_to_decide
from benchmark.analysis.claims.results import ClaimResult, SideResult
from benchmark.analysis.claims.verdicts import CLAIM_VERDICT_MEANINGS, ClaimVerdict
from benchmark.config.claims import Claim, Quantity
from benchmark.config.published import with_discrepancy_ids
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid

HEADER = ["Claim", "Left", "Right", "Difference", "p for", "p against", "Seeds", "Verdict"]
ALIGN = "lrrrrrll"
RELATIONS = {"greater": "to be greater than", "less": "to be less than", "not_greater": "not to be greater than"}
SUBJECTS = {"each": "", "some": "at least one", "every": "every one"}
TESTS = {"t": "paired t-test", "sign": "exact sign test"}
MAX_NAMES = 5  # of rows or outputs in a sentence


def section(results: Sequence[ClaimResult]) -> list[str]:
    """The claims of one table as blocks of Markdown; empty without any."""
    if not results:
        return []
    blocks = ["### Claims", grid(HEADER, map(_line, results), ALIGN)]
    by_reference: dict[str, list[ClaimResult]] = {}
    for result in results:
        by_reference.setdefault(result.claim.reference, []).append(result)
    for members in by_reference.values():
        blocks += _published(members[0].claim)
        for result in members:
            blocks += [_tested(result), *_sides(result)]
    return blocks


def explanations(results: Iterable[ClaimResult]) -> list[str]:
    """What columns and verdicts of claims mean; only the verdicts that occur."""
    verdicts = {result.verdict for result in results}
    if not verdicts:
        return []
    return [
        "- **Claims** are sentences of papers whose sign is tested. *Left* and *right* are means ± sample standard"
        " deviations over training seeds, and *difference* is the mean of left - right of the same seed with its 90 %"
        " t-interval. *p for* is that of a one-sided test for the claim, *p against* that of its opposite. Claims are"
        " not corrected for their number.",
        *(
            f"  - **{verdict.value}**: {meaning}."
            for verdict, meaning in CLAIM_VERDICT_MEANINGS.items()
            if verdict in verdicts
        ),
    ]


def difference_words(side: SideResult) -> str:
    """`-1.2 [-1.5, -0.9]`: the mean difference and its 90 % interval, with the decimals of the output."""
    digits = side.pair.left.output.decimals
    if not side.difference.is_finite:
        return "not a number"
    shown = f"{side.difference.mean:+.{digits}f}"
    interval = side.interval
    return shown if interval is None else f"{shown} [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"


def summary(result: ClaimResult) -> str:
    """The difference of a claim about one pair of quantities; of several, how many are as predicted."""
    if not result.sides:
        return ""
    if len(result.claim.comparisons) == 1:
        return difference_words(result.sides[0])
    return f"{len(result.as_predicted)} of {len(result.claim.comparisons)} as predicted, {len(result.opposed)} opposed"


def p_words(p: float | None) -> str:
    """`0.031`, `< 0.001`; empty without a p-value."""
    if p is None or p != p:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def limits(result: ClaimResult) -> str:
    """What an inconclusive claim lacks, as a sentence; empty for any other."""
    if result.verdict is not ClaimVerdict.INCONCLUSIVE:
        return ""
    fewest, finished = fewest_seeds(result.claim), result.counts.finished
    support, contradiction = (f"({number} seeds can)" if finished < number else "" for number in fewest)
    if support and contradiction:
        return f"With {finished} seeds it can neither support the claim {support} nor contradict it {contradiction}."
    if support or contradiction:
        verb = "support" if support else "contradict"
        return f"With {finished} seeds it cannot {verb} the claim {support or contradiction}."
    more = seeds_to_decide(result)
    if more is None or more <= finished:
        return ""
    return f"About {more:,} seeds would decide it with a probability of {100 * POWER:.0f} %, if more differ like these."


def _line(result: ClaimResult) -> list[str]:
    single = result.sides[0] if len(result.claim.comparisons) == 1 and result.sides else None
    return [
        escape_markdown(result.claim.name),
        *_values(single),
        summary(result) or "–",
        p_words(result.p_for) or "–",
        p_words(result.p_against) or "–",
        str(result.counts),
        f"**{result.verdict.value}**" if result.verdict.is_decided else result.verdict.value,
    ]


def _values(side: SideResult | None) -> list[str]:
    if side is None:
        return ["–", "–"]
    return [
        text.format_mean(aggregate, quantity.output.decimals)
        for aggregate, quantity in ((side.left, side.pair.left), (side.right, side.pair.right))
    ]


def _published(claim: Claim) -> list[str]:
    """The sentence, where it was read, and its experiment."""
    published = claim.published
    unverified = f" {text.UNVERIFIED} {text.UNVERIFIED_MEANING}." if published.status == "unverified" else ""
    remark = with_discrepancy_ids(published.note, published.discrepancies)
    scale = " The source does not say how long was trained, so every scale is judged." * (
        published.scale == "not_stated"
    )
    return [
        f"> {escape_markdown(published.sentence)}",
        f"{escape_markdown(claim.paper)}. Read in: {escape_markdown(published.source)}.{unverified} The experiment:"
        f" {escape_markdown(published.experiment)}.{scale}" + (f" Note: {escape_markdown(remark)}." if remark else ""),
    ]


def _tested(result: ClaimResult) -> str:
    """What one claim predicts and how it was tested, as an item of a list."""
    claim = result.claim
    number = len(claim.comparisons)
    subject = "left" if number == 1 else f"of {number} quantities, {SUBJECTS[claim.quantifier]}"
    margin = f" by {claim.margin:g} or more" if claim.margin else ""
    sentences = [
        f"{subject} is predicted {RELATIONS[claim.relation]} right{margin}.",
        f"{TESTS[claim.test].capitalize()}, one-sided at 5 % in each direction{_sign_counts(result)}.",
        limits(result),
        f"Assumptions where the paper is silent: {'; '.join(claim.assumptions)}." if claim.assumptions else "",
        f"Note: {claim.note}." if claim.note else "",
    ]
    left, right = ([getattr(pair, side) for pair in claim.comparisons] for side in ("left", "right"))
    words = " ".join(filter(None, sentences))
    return "\n".join(
        [
            f"- **{escape_markdown(claim.name)}**: {escape_markdown(words)}",
            f"  - *left*: {escape_markdown(_quantity_words(left))}",
            f"  - *right*: {escape_markdown(_quantity_words(right))}",
        ]
    )


def _quantity_words(quantities: Sequence[Quantity]) -> str:
    """`Plain, accuracy (%), mean over steps 1 to 10`: quantities of the same steps."""
    rows, outputs = (
        [*dict.fromkeys(names)] for names in zip(*((q.row, q.output.title) for q in quantities), strict=True)
    )
    when = f"mean over {quantities[0].when}" if quantities[0].when else "last evaluation"
    return f"{_listed(rows)}; {_listed(outputs)}; {when}"


def _sign_counts(result: ClaimResult) -> str:
    """How many differences are negative, for a sign test of one pair of quantities."""
    if result.claim.test != "sign" or len(result.sides) != 1:
        return ""
    (side,) = result.sides
    above = sum(value > result.claim.edge for value in side.difference.values.values())
    return f"; {above} of {side.difference.n} differences are above {result.claim.edge:g}"


def _sides(result: ClaimResult) -> list[str]:
    """One line for each of several pairs of quantities."""
    if len(result.claim.comparisons) == 1 or not result.sides:
        return []
    header = ["Side", *HEADER[1:6]]
    body = [
        [
            escape_markdown(side.pair.side),
            *_values(side),
            difference_words(side),
            p_words(side.p_for) or "–",
            p_words(side.p_against) or "–",
        ]
        for side in result.sides
    ]
    return [grid(header, body, ALIGN[:6])]


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many names the first and the last."""
    if len(names) > MAX_NAMES:
        return f"{names[0]} to {names[-1]} ({len(names)})"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
