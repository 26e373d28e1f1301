"""Published and measured values side by side: one Markdown table per published metric."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, outputs_of
from benchmark.analysis.ordering import MethodPair, OrderVerdict, TableOrder, table_orders
from benchmark.analysis.rules.difference import Difference
from benchmark.analysis.verdicts import Verdict
from benchmark.config.published import PublishedValue, ValueKind, with_discrepancy_ids
from benchmark.report import text
from benchmark.report.sections.seeds import look_notes
from benchmark.report.text import escape_markdown, grid

COLUMNS = (
    "Method",
    "Published",
    "Measured",
    "95 % interval",
    "Last evaluations",
    "CV",
    "Sampling noise",
    "Difference",
    "Seeds",
    "Rule",
    "Verdict",
)
OPTIONAL = {"Last evaluations", "CV", "Sampling noise", "Rule"}  # left out where no row has anything to show
WORDS = {"Method", "Seeds", "Rule", "Verdict"}  # aligned to the left


@dataclass
class Footnotes:
    """Numbers notes in the order of their first use; equal notes share a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, *notes: str) -> str:
        """The superscript numbers of some notes."""
        numbers = [self.numbers.setdefault(text.single_line(note), len(self.numbers) + 1) for note in notes]
        return f" <sup>{','.join(map(str, numbers))}</sup>" if numbers else ""

    def lines(self) -> list[str]:
        """One line per note."""
        return [f"- <sup>{number}</sup> {escape_markdown(note)}" for note, number in self.numbers.items()]


def published_keys(members: Sequence[LeaderboardRow]) -> list[str]:
    """The outputs with a published value in some row of a table."""
    published = {key for row in members for key, result in row.results.items() if result.published}
    return [output.key for output in outputs_of(members) if output.key in published]


def compare_with_published(members: Sequence[LeaderboardRow], key: str, notes: Footnotes) -> list[str]:
    """One metric of one table: title, grid, and the findings about the published order."""
    rows = [row for row in members if key in row.results]
    output = rows[0].results[key].output
    columns = [_columns(row, row.results.get(key), notes) for row in members]
    names = [name for name in COLUMNS if name not in OPTIONAL or any(cells[name] for cells in columns)]
    body = [[cells[name] or "–" for name in names] for cells in columns]
    word = text.reference_word(kinds_of(rows)).capitalize()
    header = [word if name == "Published" else name for name in names]
    order = table_orders(rows, key)
    return [
        f"**{escape_markdown(output.title)}**{text.arrow(output)}",
        grid(header, body, "".join("l" if name in WORDS else "r" for name in names)),
        "\n".join([*_only_published(members, key), *(_order(order) if order else [])]),
    ]


def kinds_of(members: Iterable[LeaderboardRow]) -> list[ValueKind]:
    """The kinds of the published values of some rows."""
    return [row.cell.published.kind for row in members if row.cell.published]


def sources(members: Sequence[LeaderboardRow]) -> list[str]:
    """Where the published values of a table were read, and known problems with them."""
    spreads: dict[str, dict[str, None]] = {}  # source -> meanings of the ± of its values
    remarks: dict[str, None] = {}
    for published in (row.cell.published for row in members if row.cell.published):
        values = [value for output in outputs_of(members) if (value := published.value(output.key))]
        for value in values:
            paper, table, source = map(escape_markdown, (published.paper, value.table, value.source))
            origin = f"Published: {paper}, {table}. Read in: {source}"
            if value.kind == "theory":
                origin = f"Theory: {paper}, {table}. Derived in: {source}"
            spreads.setdefault(f"- {origin}.", {})[spread_words(value)] = None
        if values and (remark := with_discrepancy_ids(published.table.note, published.table.discrepancies)):
            remarks[f"- {escape_markdown(remark)}"] = None
    read_in = (source + "".join(meanings) for source, meanings in spreads.items())
    lines = [*read_in, *completed_from_code(members), *remarks]
    references = [result.reference for row in members for result in row.results.values() if result.reference]
    if not all(reference.is_verified for reference in references):
        lines.append(f"- {text.UNVERIFIED} {text.UNVERIFIED_MEANING}.")
    return lines


def completed_from_code(members: Sequence[LeaderboardRow]) -> list[str]:
    """Which fields of the published protocols are known from released code alone, and where it was read."""
    published = {row.label: row.cell.published for row in members if row.cell.published}
    labels: dict[tuple[str, str], list[str]] = {}  # fields and their source -> the rows
    for label, reference in published.items():
        if reference.from_code:
            key = ", ".join(reference.from_code), reference.released_code_source
            labels.setdefault(key, []).append(label)
    lines = []
    for (fields, source), names in labels.items():
        of_rows = "" if len(names) == len(published) else f" for {', '.join(names)}"
        sentence = f"The protocol{of_rows} is completed from the authors' released code: {fields}. Read in: {source}."
        lines.append(f"- {escape_markdown(sentence)}")
    return lines


def spread_words(value: PublishedValue) -> str:
    """The meaning of a published value's ±, as a sentence; empty without one."""
    if value.spread is None:
        return ""
    trainings = f", {value.n_seeds} {'training' if value.n_seeds == 1 else 'trainings'}" if value.n_seeds else ""
    return f" Its ± is the {text.SPREADS[value.spread_kind]}{trainings}."


def row_notes(row: LeaderboardRow) -> list[str]:
    """The suite's note on a row, and that of the published row."""
    published = row.cell.published.note if row.cell.published else ""
    word = text.reference_word(kinds_of([row]))
    return [note for note in (row.cell.note, f"{word}: {published}" if published else "") if note]


def _columns(row: LeaderboardRow, result: MetricResult | None, notes: Footnotes) -> dict[str, str]:
    """The cells of one line by the name of their column; "" where there is nothing to show."""
    cells = dict.fromkeys(COLUMNS, "")
    cells["Method"] = escape_markdown(text.label(row)) + notes.mark(*row_notes(row))
    cells["Seeds"] = str(row.counts)
    if result is None:
        return cells
    digits = result.output.decimals
    is_judged = result.verdict not in (Verdict.NO_REFERENCE, Verdict.REDUCED)
    cells["Published"], cells["Measured"] = text.format_published(result), text.format_measured(result)
    cells["95 % interval"] = text.format_interval(result.interval, digits) if result.interval else ""
    cells["Last evaluations"] = "" if result.is_plain else text.format_mean(result.aggregate, digits)
    cells["CV"] = text.format_variation(result)
    cells["Sampling noise"] = _sampling_noise(result)
    cells["Difference"] = text.format_difference(result.difference, digits, is_judged) if result.difference else ""
    cells["Rule"] = _rule(result, notes) if is_judged else ""
    cells["Verdict"] = result.verdict.value + _verdict_notes(result, notes)
    return cells


def _rule(result: MetricResult, notes: Footnotes) -> str:
    """The rule in a few words, and its footnotes."""
    if result.reference is None:
        return ""
    return escape_markdown(result.rule) + notes.mark(*result.reference.rule_notes, *look_notes(result))


def _verdict_notes(result: MetricResult, notes: Footnotes) -> str:
    """Why the verdict could not be another: another protocol, or a published value that is too uncertain."""
    reasons = []
    if result.reference and result.reference.mismatches:
        reasons.append("protocol of the published value: " + "; ".join(result.reference.mismatches))
    difference = result.difference
    if result.verdict is Verdict.INCONCLUSIVE and difference and difference.is_out_of_reach:
        reasons.append(out_of_reach_note(difference, result))
    return notes.mark(*reasons)


def out_of_reach_note(difference: Difference, result: MetricResult) -> str:
    """That `reproduced` is impossible, and by how much the published value alone is too uncertain."""
    digits, value = result.output.decimals, abs(result.reference.value) if result.reference else 0.0
    half_width, margin = difference.published_half_width or 0.0, difference.margin or 0.0
    share = f" ({100 * half_width / value:.1f} %)" if value else ""
    return (
        f"out of reach: however many seeds are trained, the 90 % interval keeps a half-width of {half_width:.{digits}f}"
        f"{share} from the published side alone, more than the tolerance of {margin:.{digits}f}, so the value cannot be"
        " reproduced"
    )


def _sampling_noise(result: MetricResult) -> str:
    std = result.aggregate.sampling_std if result.aggregate else None
    return "" if std is None else f"± {std:.{result.output.decimals}f}"


def _only_published(members: Sequence[LeaderboardRow], key: str) -> list[str]:
    """The rows of the published table that are not trained here."""
    references = [row.cell.published for row in members if row.cell.published]
    if not references:
        return []
    # single rows may refer to other tables than most
    title = Counter(reference.table.title for reference in references).most_common(1)[0][0]
    of_table = [reference for reference in references if reference.table.title == title]
    missing = [name for name in of_table[0].table.rows if name not in {reference.row for reference in of_table}]
    values = (of_table[0].model_copy(update={"row": name}).value(key) for name in missing)
    known = [f"{escape_markdown(value.row)} {text.published_value(value)}" for value in values if value]
    word = "derived" if of_table[0].kind == "theory" else "published"
    return [f"- Also {word} there, not trained here: {', '.join(known)}."] if known else []


def _order(order: TableOrder) -> Iterator[str]:
    """Whether the published order is reproduced, and the decided pairs; or, without a verdict, all neighbours."""
    summary, published = str(order), order.published_order
    probability = ""
    if published and len(published.methods) >= 3:
        probability = (
            f" One training of each of the {len(published.methods)} is in the published order with probability"
            f" {published.probability:.2g}; by chance with {published.chance:.2g}."
        )
    if summary:
        means = "Kendall's τ between published and measured means"
        tau = "" if order.kendall_tau is None else f"; {means} {order.kendall_tau:.2f}"
        yield f"- **Order**: {summary}{tau}.{probability}"
        for verdict in (OrderVerdict.REPRODUCED, OrderVerdict.REVERSED):
            if pairs := [_pair(pair) for pair in order.pairs if pair.verdict is verdict]:
                yield f"  - {verdict.value}: {'; '.join(pairs)}."
    elif published:
        pairs_by_name = {(pair.first, pair.second): pair for pair in order.pairs}
        neighbours = [_pair(pairs_by_name[names]) for names in pairwise(published.methods)]
        yield f"- **Order**, not judged: {'; '.join(neighbours)}.{probability}"


def _pair(pair: MethodPair) -> str:
    """The pair with its probability of improvement, the interval, and p: corrected if the pair has a verdict."""
    numbers = ""
    if gain := pair.improvement:
        p_value = gain.p_value if pair.p_value is None else pair.p_value
        numbers = f" {gain.probability:.2f} [{gain.interval[0]:.2f}, {gain.interval[1]:.2f}], p = {p_value:.3f}"
    touching = " (the published ranges touch)" if pair.ranges_touch else ""
    return f"{escape_markdown(pair.first)} over {escape_markdown(pair.second)}{numbers}{touching}"
