"""`leaderboard.md`: the report for people."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from benchmark import plugins
from benchmark.measures import Named, named
from benchmark.papers import PublishedValue, with_ids
from benchmark.report import provenance, text
from benchmark.report.tables import Result, Row, best_keys, by_table, outputs_of
from benchmark.report.text import escape, grid
from benchmark.report.verdicts import MEANINGS
from benchmark.spec import Protocol
from benchmark.suite import Suite

BATCH_NORM = {
    "moving_average": "moving averages",
    "batch": "the statistics of the batch that it is making, {batch:,} images",
}
MAX_ERROR = 400  # characters of an error that are shown; results.csv has all of it


def leaderboard(suite: Suite, rows: list[Row], figures: Collection[str]) -> str:
    """The whole document. `figures` are the names of the pictures that were drawn into `figures/`."""
    tables = by_table(suite, rows)
    blocks = [
        f"# {escape(suite.title)}",
        *(escape(paragraph) for paragraph in suite.about.split("\n\n") if paragraph.strip()),
        "\n".join(_setting(suite, tables)),
        *_figure("leaderboard.png", figures, "Every metric of every method", _main_caption(rows)),
    ]
    for title, members in tables.items():
        blocks += [f"## {escape(title)}", *_table(suite.tables[title], members)]
    blocks += [
        "## How to read this",
        "\n".join(_reading(suite, rows)),
        *_section("## Trials without a result", _troubles(rows)),
        *_section("## Learning curves", _figure("curves.png", figures, "Metrics against step", _CURVES)),
        *_section("## Samples", _figure("samples.png", figures, "Real and generated images", _samples(rows))),
        "## What was trained",
        *provenance.recipes(tables),
        "## Where it ran",
        *provenance.environment(rows),
        "## Run it again",
        provenance.command(suite),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _setting(suite: Suite, tables: dict[str, list[Row]]) -> list[str]:
    about = f" – {escape(suite.scale_about)}" if suite.scale_about else ""
    if not any(cell.published for cell in suite.cells):
        meaning = "no published value is known for these tables"
    elif suite.reduced:
        meaning = "reduced: smaller than the published recipes, so nothing is judged against published values"
    else:
        meaning = "the full recipe"
    rows = [row for members in tables.values() for row in members]
    fullest = sorted(rows, key=lambda row: len(row.spec.protocol.measures))  # some measures are not of every method
    seeds = ", ".join(map(str, suite.seeds))
    return [
        f"- **Scale** {escape(suite.scale)}, {meaning}{about}",
        f"- **Seeds** {seeds} – a seed is one training from scratch",
        *_by_tables("Data", tables, {row.table: _dataset(row.spec.dataset) for row in rows}),
        *_by_tables("Protocol", tables, {row.table: protocol_words(row.spec.protocol) for row in fullest}),
        f"- **Trials** {_progress(rows)}",
    ]


def _by_tables(name: str, tables: Iterable[str], words: dict[str, str]) -> list[str]:
    """One line when all tables agree, else a line per wording that names its tables."""
    if len(set(words.values())) == 1:
        return [f"- **{name}** {next(iter(words.values()))}"]
    users: dict[str, list[str]] = {}
    for title in tables:
        users.setdefault(words[title], []).append(escape(title))
    return [f"- **{name}** ({', '.join(titles)}) {wording}" for wording, titles in users.items()]


def _dataset(name: str) -> str:
    return f"`{name}`: {escape(plugins.datasets[name].about)}"


def protocol_words(protocol: Protocol) -> str:
    """The protocol as a sentence."""
    return (
        f"{'; '.join(map(_measure_words, named(protocol)))}. The generator normalises by"
        f" {BATCH_NORM[protocol.batch_norm].format(batch=protocol.sample_batch)}. Measured at {protocol.evaluations}"
        " evenly spaced steps of a training, the last of which counts"
        + ("" if protocol.draws == 1 else f", there over {protocol.draws} draws of samples, the first of which counts")
    )


def _measure_words(one: Named) -> str:
    options = one.measure.options
    words = [escape(one.metric.about)]
    if extractor := options.get("extractor"):
        words.append(f"through {escape(plugins.extractors[extractor].about)}")
    if one.metric.draws:
        words.append(f"over {one.n_fake:,} generated images")
    if "n_train" in options:
        words.append(f"fitted to {options['n_train']:,} labelled images of the training split")
    if "n_test" in options:
        n_test = f"{options['n_test']:,}" if options["n_test"] else "all"
        words.append(f"on {n_test} held-out images")
    if reference := options.get("reference"):
        n_real = f"{options['n_real']:,}" if options["n_real"] else "all"
        words.append(f"against {n_real} real images of the {reference} split")
    if one.measure.codec != "none":
        words.append(f"after {one.measure.codec.upper()} compression")
    return (f"{escape(one.label)}: " if one.suffix else "") + ", ".join(words)


def _progress(rows: list[Row]) -> str:
    status = {trial.spec.trial_id: trial.status for row in rows for trial in row.trials}
    words = list(status.values())
    rest = [f"{words.count(word)} {word}" for word in ("diverged", "failed", "not run") if word in words]
    return "; ".join([f"{words.count('finished')} of {len(words)} finished", *rest])


def _table(note: str, members: list[Row]) -> list[str]:
    outputs, best, notes = outputs_of(members), best_keys(members), _Footnotes()
    published = [o for o in outputs if any(r.results[o.key].published for r in members if o.key in r.results)]
    header = ["Method", *(f"{escape(o.title)} {text.ARROWS[o.better]}" for o in outputs)]
    header += [*(f"{escape(o.key)}, published" for o in published), "Verdict", "Seeds", "Cost"]
    body = []
    for row in members:
        results = [row.results.get(output.key) for output in outputs]
        theirs = [row.results.get(output.key) for output in published]
        body.append(
            [
                escape(text.label(row)) + notes.mark(*_row_notes(row)),
                *(_measured(result, (row.label, o.key) in best) for result, o in zip(results, outputs, strict=True)),
                *(text.published(result) if result else "" for result in theirs),
                text.verdict_words(row.verdicts) + notes.mark(*_mismatches(row)),
                str(row.counts),
                ", ".join(part for part in (text.spent(row.cost), text.speed(row.cost)) if part) or "–",
            ]
        )
    align = "l" + "r" * (len(outputs) + len(published)) + "lll"
    derived = [f"- {text.DERIVED} {text.DERIVED_MEANING}."] if any(row.derived for row in members) else []
    below = [*notes.lines(), *derived, *_sources(members)]
    return [escape(note), grid(header, body, align), "\n".join(below)]


def _measured(result: Result | None, best: bool) -> str:
    words = text.measured(result) if result else ""
    return f"**{words}**" if best else words or "–"


def _row_notes(row: Row) -> list[str]:
    theirs = row.cell.published.note if row.cell.published else ""
    return [note for note in (row.cell.note, f"published: {theirs}" if theirs else "") if note]


def _mismatches(row: Row) -> list[str]:
    found = {m for result in row.results.values() if result.reference for m in result.reference.mismatches}
    return ["protocol of the published value: " + "; ".join(sorted(found))] if found else []


def _sources(members: list[Row]) -> list[str]:
    """Where the published values of a table were read, and what is wrong with them."""
    sources: dict[str, dict[str, None]] = {}  # line -> what the ± of its values are
    remarks: dict[str, None] = {}
    for published in (row.cell.published for row in members if row.cell.published):
        values = [value for output in outputs_of(members) if (value := published.value(output.key))]
        for value in values:
            read = f"- Published: {escape(published.paper)}, {escape(value.table)}. Read in: {escape(value.source)}."
            sources.setdefault(read, {})[spread_words(value)] = None
        if values and (remark := with_ids(published.table.note, published.table.discrepancies)):
            remarks[f"- {escape(remark)}"] = None
    lines = [*(read + "".join(spreads) for read, spreads in sources.items()), *remarks]
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


@dataclass
class _Footnotes:
    """Numbers texts in the order of their first use; equal texts share a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, *notes: str) -> str:
        used = [self.numbers.setdefault(text.plain(note), len(self.numbers) + 1) for note in notes]
        return f" <sup>{','.join(map(str, used))}</sup>" if used else ""

    def lines(self) -> list[str]:
        return [f"- <sup>{number}</sup> {escape(note)}" for note, number in self.numbers.items()]


def _tolerance(suite: Suite, rows: list[Row]) -> list[str]:
    keys = {key for row in rows for key, result in row.results.items() if result.published}
    stated = [f"{escape(key)} ± {100 * suite.tolerance[key]:g} %" for key in sorted(keys & suite.tolerance.keys())]
    return [f"- **Tolerance** around the published values: {', '.join(stated)}."] if stated else []


def _reading(suite: Suite, rows: list[Row]) -> list[str]:
    lines = [
        "- **a ± b** is the mean and the sample standard deviation over training seeds, each measured once at"
        " the end of its training. One seed has no ±. The best mean of a table is **bold**; that alone does"
        " not make the difference significant.",
        "- **↑** higher is better, **↓** lower is better; **–** no result, or a measure that does not apply to the"
        " method.",
        "- **Seeds** counts the trainings behind a row; those that gave no result are named.",
        "- **Cost** is the device time of all trials of the row, training and measuring; img/s is the mean"
        " training speed.",
    ]
    lines += _tolerance(suite, rows)
    used = {verdict for row in rows for verdict in row.verdicts.values()}
    lines += [f"- **{verdict.value}**: {MEANINGS[verdict]}." for verdict in MEANINGS if verdict in used]
    return lines + provenance.instruments(rows)


def _troubles(rows: Sequence[Row]) -> list[str]:
    """A line per trial that gave no result, with its error."""
    lines = {
        trial.spec.trial_id: f"- {escape(row.table)}, {escape(row.label)}, seed {trial.spec.seed}"
        f" (`{trial.spec.trial_id}`) **{trial.status}**: {escape(text.clip(trial.record.error, MAX_ERROR))}"
        for row in rows
        for trial in row.trials
        if trial.record and trial.status != "finished"
    }
    return ["\n".join(lines.values())] if lines else []


def _figure(name: str, drawn: Collection[str], alternative: str, caption: str) -> list[str]:
    return [f"![{alternative}](figures/{name})", f"*{caption}*"] if name in drawn else []


def _section(heading: str, body: list[str]) -> list[str]:
    return [heading, *body] if body else []


_CURVES = (
    "Line: mean over the seeds that finished; band: from the lowest to the highest of them. A dotted line"
    " that ends in a cross is a training that diverged or failed."
)


def _main_caption(rows: list[Row]) -> str:
    caption = "Large dot and bar: mean ± sample standard deviation over seeds. Small dots: single seeds."
    if any(result.published for row in rows for result in row.results.values()):
        caption += " Diamonds: published values, hollow when they are not verified or of another protocol."
    if any(not math.isfinite(r.aggregate.mean) for row in rows for r in row.results.values() if r.aggregate):
        caption += " Values that are not numbers are left out."
    return caption


def _samples(rows: list[Row]) -> str:
    caption = "Real images, and each method's images from fixed latents at the end of its first training."
    if any(plugins.datasets[row.spec.dataset].stacked == 3 for row in rows):
        caption += " The three digits of an image are its red, green and blue channels, so they overlap."
    return caption
