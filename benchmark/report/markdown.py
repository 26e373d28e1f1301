"""`leaderboard.md`: the report for people."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, best_results, outputs_of, rows_by_table
from benchmark.analysis.ordering import ORDER_MEANINGS, OrderVerdict
from benchmark.analysis.verdicts import VERDICT_MEANINGS
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.core.spec import Protocol
from benchmark.report import modes, noise, provenance, published_tables, text
from benchmark.report.published_tables import Footnotes
from benchmark.report.text import escape_markdown, grid

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output

BATCH_NORM = {
    "moving_average": "moving averages",
    "batch": "the statistics of the batch that it is making, {batch:,} images",
}
MAX_ERROR = 400  # characters of an error that are shown; results.csv has all of it


def leaderboard(suite: Suite, rows: list[LeaderboardRow], figures: Collection[str]) -> str:
    """The whole document. `figures` are the names of the pictures that were drawn into `figures/`."""
    tables = rows_by_table(suite, rows)
    blocks = [
        f"# {escape_markdown(suite.title)}",
        *(escape_markdown(paragraph) for paragraph in suite.about.split("\n\n") if paragraph.strip()),
        "\n".join(_setting(suite, tables)),
        *_figure("leaderboard.png", figures, "Every method, measured and published", _main_caption(rows)),
    ]
    for title, members in tables.items():
        blocks += [f"## {escape_markdown(title)}", *_table(suite.tables[title], members)]
    blocks += [
        "## How to read this",
        "\n".join(_reading(suite, rows)),
        *_section("## Trials without a result", _troubles(rows)),
        *_section("## Measured besides", _figure("besides.png", figures, "The other metrics", _BESIDES)),
        *_section("## What differences are made of", noise.section(tables)),
        *_section("## Learning curves", _figure("curves.png", figures, "Metrics against step", _curves(rows))),
        *_section("## Modes", _modes(tables, figures)),
        *_section("## Samples", _figure("samples.png", figures, "Real and generated images", _samples(rows))),
        *_section("## Cost", _cost(tables)),
        "## What was trained",
        *provenance.recipes(tables),
        "## Where it ran",
        *provenance.environment(rows),
        *provenance.events(rows),
        "## Run it again",
        *provenance.rerun_commands(suite),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _setting(suite: Suite, tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    about = f" – {escape_markdown(suite.scale_about)}" if suite.scale_about else ""
    if not any(cell.published for cell in suite.cells):
        meaning = "no published value is known for these tables"
    elif suite.is_reduced:
        meaning = "reduced: smaller than the published recipes, so nothing is judged against published values"
    else:
        meaning = "the full recipe"
    rows = [row for members in tables.values() for row in members]
    fullest = sorted(rows, key=lambda row: len(row.spec.protocol.measures))  # some measures are not of every method
    seeds = ", ".join(map(str, suite.seeds))
    return [
        f"- **Scale** {escape_markdown(suite.scale)}, {meaning}{about}",
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
        users.setdefault(words[title], []).append(escape_markdown(title))
    return [f"- **{name}** ({', '.join(titles)}) {wording}" for wording, titles in users.items()]


def _dataset(name: str) -> str:
    return f"`{name}`: {escape_markdown(registry.datasets[name].about)}"


def protocol_words(protocol: Protocol) -> str:
    """The protocol as a sentence; several measures as a list below it."""
    measures = [_measure_words(one) for one in bind_metrics(protocol)]
    alone = f"{measures[0]}. " if len(measures) == 1 else ""
    whole = (
        f"{alone}The generator normalises by {BATCH_NORM[protocol.batch_norm].format(batch=protocol.sample_batch)}."
        f" Measured at {protocol.evaluations} evenly spaced steps of a training, the last of which counts"
        + ("" if protocol.draws == 1 else f", there over {protocol.draws} draws of samples, the first of which counts")
    )
    return whole if alone else "\n  - ".join([whole, *measures])


def _measure_words(bound: BoundMetric) -> str:
    titles = " and ".join(output.title for output in bound.outputs)
    label = f"`{bound.label}`: " if bound.suffix else ""
    return f"{label}{escape_markdown(titles)}: {escape_markdown(bound.description)}"


def _progress(rows: list[LeaderboardRow]) -> str:
    status = {trial.spec.trial_id: trial.status for row in rows for trial in row.trials}
    words = list(status.values())
    rest = [f"{words.count(word)} {word}" for word in ("diverged", "failed", "not run") if word in words]
    return "; ".join([f"{words.count('finished')} of {len(words)} finished", *rest])


def _table(note: str, members: list[LeaderboardRow]) -> list[str]:
    """A table of the suite: what has a published value beside it, and what else was measured."""
    notes, keys = Footnotes(), published_tables.published_keys(members)
    others = [output for output in outputs_of(members) if output.key not in keys]
    blocks = [block for key in keys for block in published_tables.compared(members, key, notes)]
    if keys and others:
        blocks.append("Measured besides, without a published value:")
    if others:
        blocks.append(_measured_only(members, others, notes))
    derived = [f"- {text.DERIVED} {text.DERIVED_MEANING}."] if any(row.is_derived for row in members) else []
    below = [*notes.lines(), *derived, *published_tables.sources(members)]
    return [escape_markdown(note), *blocks, "\n".join(below)]


def _measured_only(members: list[LeaderboardRow], outputs: "list[Output]", notes: Footnotes) -> str:
    best = best_results(members)
    header = ["Method", *(f"{escape_markdown(o.title)} {text.ARROWS[o.better]}" for o in outputs), "Seeds"]
    body = [
        [
            escape_markdown(text.label(row)) + notes.mark(*published_tables.row_notes(row)),
            *(_measured(row.results.get(o.key), (row.label, o.key) in best) for o in outputs),
            str(row.counts),
        ]
        for row in members
    ]
    return grid(header, body, "l" + "r" * len(outputs) + "l")


def _measured(result: MetricResult | None, best: bool) -> str:
    words = text.format_measured(result) if result else ""
    return f"**{words}**" if best else words or "–"


def _cost(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    """What every row took, and the whole."""
    spent = [(title, row, row.cost) for title, members in tables.items() for row in members if row.cost]
    if not spent:
        return []
    body = [
        [
            escape_markdown(title),
            escape_markdown(text.label(row)),
            text.format_cost(cost),
            text.format_speed(cost),
            text.format_memory(cost.peak_memory_mib),
        ]
        for title, row, cost in spent
    ]
    costs = [cost for _, _, cost in spent]
    totals = ((sum(c.gpu_seconds for c in costs), "GPU"), (sum(c.core_seconds for c in costs), "core"))
    whole = " and ".join(text.format_duration(total, unit) for total, unit in totals if total)
    return [
        grid(["Table", "Method", "Device time", "Training speed", "Peak memory"], body, "llrrr"),
        f"{whole or 'No time'} in all. Device time is that of all trials of a row, training and measuring; the speed"
        " is a mean over them, of real images per second; the memory is the largest of one trial.",
    ]


def _tolerance(suite: Suite, rows: list[LeaderboardRow]) -> list[str]:
    keys = {key for row in rows for key, result in row.results.items() if result.published}
    stated = [
        f"{escape_markdown(key)} ± {100 * suite.tolerance[key]:g} %" for key in sorted(keys & suite.tolerance.keys())
    ]
    return [f"- **Tolerance** around the published values: {', '.join(stated)}."] if stated else []


def _differences(rows: list[LeaderboardRow]) -> list[str]:
    results = [result for row in rows for result in row.results.values()]
    lines = []
    if any(result.difference for result in results):
        lines.append(
            "- **95 % interval** is the t-interval of the measured mean over training seeds, as far as the metric"
            " reaches; **difference** is measured minus published, with its 95 % interval, and in brackets where"
            " nothing is judged. Of many verdicts some are wrong by chance."
        )
    if any(result.aggregate and result.aggregate.sampling_std is not None for result in results):
        lines.append(
            "- **Sampling noise**: how far the number of one training moves when other latents are drawn, a standard"
            " deviation. It is part of the spread over trainings."
        )
    return lines


def _reading(suite: Suite, rows: list[LeaderboardRow]) -> list[str]:
    lines = [
        "- **a ± b** is the mean and the sample standard deviation over training seeds, each measured once at"
        " the end of its training. One seed has no ±. The best mean of a table is **bold**; that alone does"
        " not make the difference significant.",
        "- **↑** higher is better, **↓** lower is better; **–** no result, or a measure that does not apply to the"
        " method.",
        "- **Seeds** counts the trainings behind a row; those that gave no result are named.",
    ]
    lines += _tolerance(suite, rows)
    lines += _differences(rows)
    if any(result.published for row in rows for result in row.results.values()):
        lines.append(
            "- **Order**: of each two methods with published values that may be judged, is the one published as better"
            f" better here? *Reproduced*: {ORDER_MEANINGS[OrderVerdict.REPRODUCED]}. *Undecided*:"
            f" {ORDER_MEANINGS[OrderVerdict.UNDECIDED]}. The numbers are the probability that a training of the first"
            " beats one of the second, its interval, and the corrected p. Where nothing may be judged, each method is"
            " set beside the next one as published, and p is not corrected. *In the published order*: of one training"
            " of each method, all seeds of a method being equally likely."
        )
    used = {result.verdict for row in rows for result in row.results.values() if result.published}
    lines += [f"- **{verdict.value}**: {VERDICT_MEANINGS[verdict]}." for verdict in VERDICT_MEANINGS if verdict in used]
    return lines + provenance.instruments(rows)


def _troubles(rows: Sequence[LeaderboardRow]) -> list[str]:
    """A line per trial that gave no result, with its error."""
    lines = {
        trial.spec.trial_id: f"- {escape_markdown(row.table)}, {escape_markdown(row.label)}, seed {trial.spec.seed}"
        f" (`{trial.spec.trial_id}`) **{trial.status}**: "
        + escape_markdown(text.truncate(trial.record.error, MAX_ERROR))
        for row in rows
        for trial in row.trials
        if trial.record and trial.status != "finished"
    }
    return ["\n".join(lines.values())] if lines else []


def _figure(name: str, drawn: Collection[str], alternative: str, caption: str) -> list[str]:
    return [f"![{alternative}](figures/{name})", f"*{caption}*"] if name in drawn else []


def _section(heading: str, body: list[str]) -> list[str]:
    return [heading, *body] if body else []


def _modes(tables: dict[str, list[LeaderboardRow]], drawn: Collection[str]) -> list[str]:
    picture = _figure("modes.png", drawn, "Images of each mode, the most frequent first", modes.CAPTION)
    return [*picture, *modes.shares(tables)]


_BESIDES = "Metrics without a published value, of the tables that have too many for the main figure; drawn as there."


def _curves(rows: list[LeaderboardRow]) -> str:
    caption = (
        "Line: mean over the seeds that finished; band: from the lowest to the highest of them. A dotted line"
        " that ends in a cross is a training that diverged or failed."
    )
    if _any_published(rows):
        caption += (
            " Dashed lines with a diamond: published values in the colour of their method, hollow when they are not"
            " verified or of another protocol; those far from the curves are numbers at the edge."
        )
    return caption


def _main_caption(rows: list[LeaderboardRow]) -> str:
    caption = (
        "Large dot and bar: mean ± sample standard deviation over seeds. Small dots: single seeds. Tables of the same"
        " data and protocol share their axes."
    )
    if _any_published(rows):
        caption += (
            " Diamonds: published values, hollow when they are not verified or of another protocol; their bars are"
            " what the source gives, which need not be a standard deviation."
        )
    if any(not math.isfinite(r.aggregate.mean) for row in rows for r in row.results.values() if r.aggregate):
        caption += " Values that are not numbers are left out."
    return caption


def _any_published(rows: list[LeaderboardRow]) -> bool:
    return any(result.published for row in rows for result in row.results.values())


def _samples(rows: list[LeaderboardRow]) -> str:
    caption = "Real images, and each method's images from fixed latents at the end of its first training."
    if any(registry.datasets[row.spec.dataset].stacked == 3 for row in rows):
        caption += " The three digits of an image are its red, green and blue channels, so they overlap."
    return caption
