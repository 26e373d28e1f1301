"""`leaderboard.md`: the report as a page."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from benchmark.analysis.claims.results import claim_results, results_by_table
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, best_results, headline_outputs, rows_by_table
from benchmark.analysis.ordering import ORDER_MEANINGS, OrderVerdict
from benchmark.analysis.verdicts import VERDICT_MEANINGS
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.core.spec import Protocol
from benchmark.report import text
from benchmark.report.sections import claims, modes, noise, provenance, published_tables, seeds
from benchmark.report.sections import figures as figure_sections
from benchmark.report.sections.published_tables import Footnotes
from benchmark.report.text import escape_markdown, grid

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import Output

BATCH_NORM = {
    "moving_average": "its moving averages",
    "batch": "the statistics of the batch that it generates, {batch:,} images",
}
MAX_ERROR = 400  # characters of an error message; results.csv has the whole message
OTHER_METRICS = "Metrics without published values, of tables with too many for the main figure; drawn in the same way."


def leaderboard(suite: Suite, rows: list[LeaderboardRow], figures: Collection[str]) -> str:
    """The whole document. `figures`: file names of the figures in `figures/`."""
    tables, judged = rows_by_table(suite, rows), claim_results(suite, rows)
    blocks = [
        f"# {escape_markdown(suite.title)}",
        *(escape_markdown(paragraph) for paragraph in suite.about.split("\n\n") if paragraph.strip()),
        "\n".join(_settings(suite, tables)),
        *_figure("leaderboard.png", figures, "Every method, measured and published", _main_caption(rows)),
    ]
    blocks += figure_sections.sections(figures)
    for title, members in tables.items():
        blocks += [f"## {escape_markdown(title)}", *_table(suite.tables[title], members)]
        blocks += claims.section(results_by_table(judged).get(title, []))
    blocks += [
        "## How to read the tables",
        "\n".join([*_explanations(suite, rows), *claims.explanations(judged), *provenance.metric_notes(rows)]),
        *_section("## Seeds that would decide", seeds.section(tables, Footnotes())),
        *_section("## Trials without a result", _unsuccessful_trials(rows)),
        *_section("## Other metrics", _figure("besides.png", figures, "The other metrics", OTHER_METRICS)),
        *_section("## Sources of variation", noise.section(tables)),
        *_section("## Learning curves", _figure("curves.png", figures, "Metrics against step", _curves_caption(rows))),
        *_section("## Modes", _modes(tables, figures)),
        *_section("## Samples", _figure("samples.png", figures, "Real and generated images", _samples_caption(rows))),
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


def _settings(suite: Suite, tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    about = f" – {escape_markdown(suite.scale_about)}" if suite.scale_about else ""
    if suite.claims and not any(cell.published for cell in suite.cells):
        meaning = "reduced: smaller than the published experiments" if suite.is_reduced else "the published experiments"
    elif not any(cell.published for cell in suite.cells):
        meaning = "no published values are known for these tables"
    elif suite.is_reduced:
        compared = text.reference_values(cell.published.kind for cell in suite.cells if cell.published)
        meaning = f"reduced: smaller than the published recipes, so nothing is compared with {compared}"
    else:
        meaning = "the full recipe"
    rows = [row for members in tables.values() for row in members]
    fullest = sorted(rows, key=lambda row: len(row.spec.protocol.measures))  # some metrics do not apply to all methods
    return [
        f"- **Scale** {escape_markdown(suite.scale)}, {meaning}{about}",
        f"- **Seeds** {seeds.stated(suite)} – each seed is one training from scratch",
        *_by_tables("Data", tables, {row.table: _dataset(row.spec.dataset) for row in rows}),
        *_by_tables("Protocol", tables, {row.table: protocol_words(row.spec.protocol) for row in fullest}),
        f"- **Trials** {_progress(rows)}",
    ]


def _by_tables(name: str, tables: Iterable[str], descriptions: dict[str, str]) -> list[str]:
    """One line if all tables agree, or a line per description that names its tables."""
    if len(set(descriptions.values())) == 1:
        return [f"- **{name}** {next(iter(descriptions.values()))}"]
    titles: dict[str, list[str]] = {}
    for title in tables:
        titles.setdefault(descriptions[title], []).append(escape_markdown(title))
    return [f"- **{name}** ({', '.join(of)}) {description}" for description, of in titles.items()]


def _dataset(name: str) -> str:
    return f"`{name}`: {escape_markdown(registry.datasets[name].about)}"


def protocol_words(protocol: Protocol) -> str:
    """The protocol as a sentence; several metrics as a list below it."""
    metrics = [_metric_words(bound) for bound in bind_metrics(protocol)]
    batch_norm = BATCH_NORM[protocol.batch_norm].format(batch=protocol.sample_batch)
    how = (
        f"Batch norm of the generator uses {batch_norm}. Measured at {protocol.evaluations} evenly spaced steps; the"
        " last one counts, unless a rule selects the best"
    )
    if protocol.draws > 1:
        how += f". The last one is repeated on {protocol.draws} sets of samples, of which the first counts"
    return f"{metrics[0]}. {how}" if len(metrics) == 1 else "\n  - ".join([how, *metrics])


def _metric_words(bound: BoundMetric) -> str:
    titles = " and ".join(output.title for output in bound.outputs)
    label = f"`{bound.label}`: " if bound.suffix else ""
    return f"{label}{escape_markdown(titles)}: {escape_markdown(bound.description)}"


def _progress(rows: list[LeaderboardRow]) -> str:
    """`13 of 15 finished; 2 failed`. A trial of two tables counts once."""
    statuses = Counter({trial.spec.trial_id: trial.status for row in rows for trial in row.trials}.values())
    rest = [f"{statuses[status]} {status}" for status in ("diverged", "failed", "not run") if statuses[status]]
    return "; ".join([f"{statuses['finished']} of {statuses.total()} finished", *rest])


def _table(note: str, members: list[LeaderboardRow]) -> list[str]:
    """One table of the suite: the metrics with published values, the other metrics, and footnotes."""
    notes, keys = Footnotes(), published_tables.published_keys(members)
    others = [output for output in headline_outputs(members) if output.key not in keys]
    blocks = [block for key in keys for block in published_tables.compare_with_published(members, key, notes)]
    if keys and others:
        blocks.append(f"Metrics without {_references(members)}:")
    if others:
        blocks.append(_measured_only(members, others, notes))
    derived = [f"- {text.DERIVED} {text.DERIVED_MEANING}."] if any(row.is_derived for row in members) else []
    footnotes = [*notes.lines(), *derived, *published_tables.sources(members)]
    return [escape_markdown(note), *blocks, "\n".join(footnotes)]


def _measured_only(members: list[LeaderboardRow], outputs: "list[Output]", notes: Footnotes) -> str:
    best = best_results(members)
    header = ["Method", *(escape_markdown(o.title) + text.arrow(o) for o in outputs), "Seeds"]
    body = [
        [
            escape_markdown(text.label(row)) + notes.mark(*published_tables.row_notes(row)),
            *(_measured(row.results.get(o.key), (row.label, o.key) in best) for o in outputs),
            str(row.counts),
        ]
        for row in members
    ]
    return grid(header, body, "l" + "r" * len(outputs) + "l")


def _measured(result: MetricResult | None, is_best: bool) -> str:
    words = text.format_measured(result) if result else ""
    return f"**{words}**" if is_best else words or "–"


def _cost(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    costs = [(title, row, row.cost) for title, members in tables.items() for row in members if row.cost]
    if not costs:
        return []
    body = [
        [
            escape_markdown(title),
            escape_markdown(text.label(row)),
            text.format_cost(cost),
            text.format_speed(cost),
            text.format_memory(cost.peak_memory_mib),
        ]
        for title, row, cost in costs
    ]
    gpu, core = (sum(getattr(cost, f"{unit}_seconds") for _, _, cost in costs) for unit in ("gpu", "core"))
    total = " and ".join(text.format_duration(time, unit) for time, unit in ((gpu, "GPU"), (core, "core")) if time)
    return [
        grid(["Table", "Method", "Device time", "Training speed", "Peak memory"], body, "llrrr"),
        f"{total or 'No time'} in total. *Device time* covers training and evaluation of all trials of a row; *training"
        " speed* is the mean over them in real images per second; *peak memory* is that of the largest trial.",
    ]


def _tolerance(suite: Suite, rows: list[LeaderboardRow]) -> list[str]:
    keys = {key for row in rows for key, result in row.results.items() if result.published}
    stated = [
        f"{escape_markdown(key)} ± {100 * suite.tolerance[key]:g} %" for key in sorted(keys & suite.tolerance.keys())
    ]
    return [f"- **Tolerance** around the {_references(rows)}: {', '.join(stated)}."] if stated else []


def _explanations(suite: Suite, rows: list[LeaderboardRow]) -> list[str]:
    """What the columns, signs and verdicts mean; only those that occur."""
    results, kinds = [result for row in rows for result in row.results.values()], published_tables.kinds_of(rows)
    lines = [
        "- **a ± b** is the mean and the sample standard deviation over training seeds, each measured once at the end"
        " of its training unless a rule says otherwise. A single seed has no ±. The best mean of a table is **bold**,"
        " which does not imply that the difference is significant.",
        "- **↑** higher is better, **↓** lower is better; **–** means no result, or a metric that does not apply to the"
        " method.",
        "- **Seeds** counts the trainings of a row, and states how many gave no result.",
        *_tolerance(suite, rows),
    ]
    if any(result.difference for result in results):
        lines.append(
            "- **95 % interval** is the t-interval of the measured mean over training seeds, within the range of the"
            f" metric. **Difference** is measured minus {text.reference_word(kinds)}, with its 95 % interval; it is in"
            " brackets where the two must not be compared. Among many verdicts, some are wrong by chance.\n"
            "- **CV** is the coefficient of variation over trainings, standard deviation / mean."
            f" {noise.LOTTERY}"
        )
    if any(result.rule for result in results):
        exact = " A *mean against an exact value* has no uncertainty but that of the mean." if "theory" in kinds else ""
        lines.append(
            "- **Rule** says how the measured side follows what was published: *best over training* takes the best"
            " evaluation of each training, *expected best of k* the mean of the best over all subsets of k seeds, and a"
            f" *prediction interval* asks whether one more training of ours could give the published one.{exact} **Last"
            " evaluations** is then the plain mean ± standard deviation at the end of training, by one instrument."
        )
    if any(result.aggregate and result.aggregate.sampling_std is not None for result in results):
        lines.append(
            "- **Sampling noise** is the standard deviation of one training's value over repeated sampling from its"
            " generator. It is part of the spread over trainings."
        )
    if set(kinds) - {"theory"}:
        lines.append(
            "- **Order** asks for each pair of methods with comparable published values whether the one published as"
            f" better is better here. *Reproduced*: {ORDER_MEANINGS[OrderVerdict.REPRODUCED]}. *Undecided*:"
            f" {ORDER_MEANINGS[OrderVerdict.UNDECIDED]}. The numbers are the probability that a training of the first"
            " method beats one of the second, its interval, and the corrected p-value. Without comparable published"
            " values, each method is compared with the next one in the published order, and p is not corrected. *In the"
            " published order* refers to one training of each method, drawn uniformly from its seeds."
        )
    verdicts = {result.verdict for result in results if result.published}
    lines += [
        f"- **{verdict.value}**: {VERDICT_MEANINGS[verdict]}." for verdict in VERDICT_MEANINGS if verdict in verdicts
    ]
    return lines


def _unsuccessful_trials(rows: Sequence[LeaderboardRow]) -> list[str]:
    """One line per trial that diverged or failed, with its error."""
    lines = {
        trial.spec.trial_id: f"- {escape_markdown(row.table)}, {escape_markdown(row.label)}, seed {trial.spec.seed}"
        f" (`{trial.spec.trial_id}`) **{trial.status}**: "
        + escape_markdown(text.truncate(trial.record.error, MAX_ERROR))
        for row in rows
        for trial in row.trials
        if trial.record and trial.status != "finished"
    }
    return ["\n".join(lines.values())] if lines else []


def _figure(name: str, figures: Collection[str], alternative: str, caption: str) -> list[str]:
    return [f"![{alternative}](figures/{name})", f"*{caption}*"] if name in figures else []


def _section(heading: str, body: list[str]) -> list[str]:
    return [heading, *body] if body else []


def _modes(tables: dict[str, list[LeaderboardRow]], figures: Collection[str]) -> list[str]:
    figure = _figure("modes.png", figures, "Images of each mode, the most frequent first", modes.CAPTION)
    return [*figure, *modes.shares(tables)]


def _curves_caption(rows: list[LeaderboardRow]) -> str:
    caption = (
        "Lines are means over finished seeds; bands range from the lowest seed to the highest. A dotted line that ends"
        " in a cross is a training that diverged or failed."
    )
    if _any_published(rows):
        caption += (
            f" Dashed lines with a diamond are {_references(rows)} in the colour of their method, hollow if unverified"
            " or of another protocol; those far from the curves are numbers at the edge."
        )
    bound = (bound for row in rows for bound in bind_metrics(row.spec.protocol))
    if any(not metric.metric.needs_samples for metric in bound):
        caption += (
            " Rotation accuracy and linear probes show what the discriminator knows of real images: where they fall"
            " during training, it forgets."
        )
    return caption


def _main_caption(rows: list[LeaderboardRow]) -> str:
    caption = (
        "Large dots with bars are mean ± sample standard deviation over seeds; small dots are single seeds. Tables of"
        " the same data and protocol share their axes."
    )
    if any(not result.is_plain for row in rows for result in row.results.values()):
        caption += (
            " Where a rule selects the best over training or several instruments, all dots follow it; a dot without a"
            " bar is the expected best of several trainings."
        )
    if _any_published(rows):
        caption += (
            f" Diamonds are {_references(rows)}, hollow if unverified or of another protocol; their bars show the"
            " spread that the source states, which need not be a standard deviation."
        )
    if any(not math.isfinite(r.aggregate.mean) for row in rows for r in row.results.values() if r.aggregate):
        caption += " Values that are not finite are omitted."
    return caption


def _references(rows: list[LeaderboardRow]) -> str:
    return text.reference_values(published_tables.kinds_of(rows))


def _any_published(rows: list[LeaderboardRow]) -> bool:
    return any(result.published for row in rows for result in row.results.values())


def _samples_caption(rows: list[LeaderboardRow]) -> str:
    caption = "Real images, and samples of each method from fixed latents at the end of its first training."
    if any(registry.datasets[row.spec.dataset].stacked > 1 for row in rows):
        caption += " An image is a stack: its channels are grey images, which are shown side by side."
    return caption
