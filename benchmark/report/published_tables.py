"""Published beside measured: for every published metric of a table, one Markdown table as in the paper."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, outputs_of
from benchmark.analysis.ordering import MethodPair, OrderVerdict, TableOrder, table_orders
from benchmark.analysis.verdicts import Verdict
from benchmark.config.published import PublishedValue, with_discrepancy_ids
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid


@dataclass
class Footnotes:
    """Numbers texts in the order of their first use; equal texts share a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, *notes: str) -> str:
        """The raised numbers of some notes."""
        used = [self.numbers.setdefault(text.single_line(note), len(self.numbers) + 1) for note in notes]
        return f" <sup>{','.join(map(str, used))}</sup>" if used else ""

    def lines(self) -> list[str]:
        """A line for each."""
        return [f"- <sup>{number}</sup> {escape_markdown(note)}" for note, number in self.numbers.items()]


def published_keys(members: Sequence[LeaderboardRow]) -> list[str]:
    """The outputs that some row of a table has a published value of."""
    keys = [output.key for output in outputs_of(members)]
    return [key for key in keys if any(row.results[key].published for row in _with(members, key))]


def compared(members: Sequence[LeaderboardRow], key: str, notes: Footnotes) -> list[str]:
    """One metric of one table: published, measured, interval, difference, verdict; then what became of the order."""
    rows = _with(members, key)
    output = rows[0].results[key].output
    noise = [_noise(row.results.get(key)) for row in members]
    header = ["Method", "Published", "Measured", "95 % interval", "Difference", "Seeds", "Verdict"]
    body = [_line(row, row.results.get(key), notes) for row in members]
    if any(noise):
        header.insert(4, "Sampling noise")
        for line, words in zip(body, noise, strict=True):
            line.insert(4, words or "–")
    align = "l" + "r" * (len(header) - 3) + "ll"
    order = table_orders(rows, key)
    return [
        f"**{escape_markdown(output.title)}** {text.ARROWS[output.better]}",
        grid(header, body, align),
        "\n".join([*_quoted(members, key), *(_told(order) if order else [])]),
    ]


def sources(members: Sequence[LeaderboardRow]) -> list[str]:
    """Where the published values of a table were read, and what is wrong with them."""
    found: dict[str, dict[str, None]] = {}  # line -> what the ± of its values are
    remarks: dict[str, None] = {}
    for published in (row.cell.published for row in members if row.cell.published):
        values = [value for output in outputs_of(members) if (value := published.value(output.key))]
        for value in values:
            paper, table, source = map(escape_markdown, (published.paper, value.table, value.source))
            read = f"- Published: {paper}, {table}. Read in: {source}."
            found.setdefault(read, {})[spread_words(value)] = None
        if values and (remark := with_discrepancy_ids(published.table.note, published.table.discrepancies)):
            remarks[f"- {escape_markdown(remark)}"] = None
    lines = [*(read + "".join(spreads) for read, spreads in found.items()), *remarks]
    references = [result.reference for row in members for result in row.results.values() if result.reference]
    if not all(reference.verified for reference in references):
        lines.append(f"- {text.UNVERIFIED} {text.UNVERIFIED_MEANING}.")
    return lines


def spread_words(value: PublishedValue) -> str:
    """What the ± of a published value is, as a sentence; empty when it has none."""
    if value.spread is None:
        return ""
    trainings = f", {value.n_seeds} {'training' if value.n_seeds == 1 else 'trainings'}" if value.n_seeds else ""
    return f" ± there: {text.SPREADS[value.spread_kind]}{trainings}."


def row_notes(row: LeaderboardRow) -> list[str]:
    """What is to be known of a row: our note, and that of the published one."""
    theirs = row.cell.published.note if row.cell.published else ""
    return [note for note in (row.cell.note, f"published: {theirs}" if theirs else "") if note]


def _with(members: Iterable[LeaderboardRow], key: str) -> list[LeaderboardRow]:
    return [row for row in members if key in row.results]


def _line(row: LeaderboardRow, result: MetricResult | None, notes: Footnotes) -> list[str]:
    name = escape_markdown(text.label(row)) + notes.mark(*row_notes(row))
    if result is None:
        return [name, "–", "–", "–", "–", str(row.counts), "–"]
    interval = text.format_interval(result.interval, result.output.decimals) if result.interval else "–"
    return [
        name,
        text.format_published(result) or "–",
        text.format_measured(result) or "–",
        interval,
        _apart(result, notes),
        str(row.counts),
        result.verdict.value + notes.mark(*_mismatches(result)),
    ]


def _apart(result: MetricResult, notes: Footnotes) -> str:
    """The difference to the published value; its interval and basis only where something is made of it."""
    apart, judged = result.difference, result.verdict not in (Verdict.NO_REFERENCE, Verdict.REDUCED)
    if apart is None:
        return "–"
    return text.format_difference(apart, result.output.decimals, judged) + (notes.mark(apart.basis) if judged else "")


def _mismatches(result: MetricResult) -> list[str]:
    found = result.reference.mismatches if result.reference else ()
    return ["protocol of the published value: " + "; ".join(found)] if found else []


def _noise(result: MetricResult | None) -> str:
    spread = result.aggregate.sampling_std if result and result.aggregate else None
    return "" if result is None or spread is None else f"± {spread:.{result.output.decimals}f}"


def _quoted(members: Sequence[LeaderboardRow], key: str) -> list[str]:
    """The rows of the published table that are not trained here."""
    used = [row.cell.published for row in members if row.cell.published]
    if not used:
        return []
    title = Counter(one.table.title for one in used).most_common(1)[0][0]  # single rows may stand in other tables
    of_table = [one for one in used if one.table.title == title]
    trained = {one.row for one in of_table}
    others = [of_table[0].model_copy(update={"row": name}) for name in of_table[0].table.rows if name not in trained]
    told = [
        f"{escape_markdown(value.row)} {text.published_value(value)}"
        for value in (other.value(key) for other in others)
        if value
    ]
    return [f"- Also published there, not trained here: {', '.join(told)}."] if told else []


def _told(order: TableOrder) -> list[str]:
    """What became of the published order, in a sentence, and the pairs that were decided."""
    if not str(order):
        return _not_judged(order)
    tau = (
        ""
        if order.kendall_tau is None
        else f"; Kendall's τ between published and measured means {order.kendall_tau:.2f}"
    )
    lines = [f"- **Order**: {order}{tau}.{_whole(order)}"]
    for verdict in (OrderVerdict.REPRODUCED, OrderVerdict.REVERSED):
        if pairs := [_pair(pair) for pair in order.pairs if pair.verdict is verdict]:
            lines.append(f"  - {verdict.value}: {'; '.join(pairs)}.")
    return lines


def _not_judged(order: TableOrder) -> list[str]:
    """Where no published order may be judged: how often it is met, and each method beside the next one."""
    if not order.published_order:
        return []
    of = {(pair.first, pair.second): pair for pair in order.pairs}  # the better one as published first, as there
    neighbours = [_pair(of[two]) for two in pairwise(order.published_order.methods)]
    return [f"- **Order**, not judged: {'; '.join(neighbours)}.{_whole(order)}"]


def _whole(order: TableOrder) -> str:
    """How often one training of each is in the published order."""
    if not order.published_order or len(order.published_order.methods) < 3:
        return ""
    return (
        f" One training of each of the {len(order.published_order.methods)} is in the published order with probability"
        f" {order.published_order.probability:.2g}; by chance with {order.published_order.chance:.2g}."
    )


def _pair(pair: MethodPair) -> str:
    """The better one as published over the other: probability of improvement, its interval, and p, which is corrected
    where it was judged by."""
    numbers = ""
    if gain := pair.improvement:
        p_value = gain.p_value if pair.p_value is None else pair.p_value
        numbers = f" {gain.probability:.2f} [{gain.interval[0]:.2f}, {gain.interval[1]:.2f}], p = {p_value:.3f}"
    close = " (the published ranges touch)" if pair.ranges_touch else ""
    return f"{escape_markdown(pair.first)} over {escape_markdown(pair.second)}{numbers}{close}"
