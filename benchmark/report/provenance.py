"""What stands behind the numbers: recipes, instruments, machines, and the command that runs it again."""

import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.config.cells import Cell
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics, extractors_used
from benchmark.core.spec import EMAConfig, Optimizer, TrialSpec
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid
from benchmark.store.records import TrialRecord

HASH_DIGITS = 12
NAMED_TRIALS = 3  # of those that something happened to


def recipes(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    """What exactly was trained, all switches written out: first what all rows share, then a line per cell."""
    labelled = [
        (
            escape_markdown(row.label)
            if len(tables) == 1
            else f"{escape_markdown(title)}: {escape_markdown(row.label)}",
            _recipe(row.spec),
        )
        for title, members in tables.items()
        for row in members
    ]
    shared = [name for name, value in labelled[0][1].items() if all(recipe[name] == value for _, recipe in labelled)]
    blocks = []
    if len(labelled) > 1 and shared:
        words = "; ".join(f"{name.lower()} {labelled[0][1][name]}" for name in shared)
        blocks.append(f"The same for all rows: {words}.")
    names = [name for name in labelled[0][1] if len(labelled) == 1 or name not in shared]
    body = [[label, *(recipe[name] for name in names)] for label, recipe in labelled]
    return [*blocks, grid(["Row", *names], body, "l" * (1 + len(names)))]


def _recipe(spec: TrialSpec) -> dict[str, str]:
    network = f"{spec.network} ({_options(spec.network_options)})" if spec.network_options else spec.network
    return {
        "Method": escape_markdown(spec.method),
        "Options": escape_markdown(_options(spec.options)) or "–",
        "Dataset": escape_markdown(spec.dataset),
        "Network": escape_markdown(network),
        "Latent": f"{spec.latent.dim} {spec.latent.distribution}",
        "Steps": f"{spec.steps:,}",
        "Batch": f"{spec.batch_size:,}",
        "Discriminator steps": str(spec.discriminator_steps),
        "Optimiser": escape_markdown(_optimizer(spec.optimizer)),
        "Samples from": _sampled(spec.average),
        "Precision": spec.precision,
    }


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())


def _optimizer(optimizer: Optimizer) -> str:
    rates = [f"lr {optimizer.lr:g}", *(f"{player} {lr:g}" for player, lr in optimizer.player_lr.items())]
    schedule = "" if optimizer.schedule == "constant" else f", {optimizer.schedule} schedule"
    return f"Adam, {', '.join(rates)}, β {optimizer.betas[0]:g} and {optimizer.betas[1]:g}{schedule}"


def _sampled(average: EMAConfig | None) -> str:
    if average is None:
        return "the generator"
    return f"its average, decay {average.decay:g} from step {average.start:,}"


def instruments(rows: Iterable[LeaderboardRow]) -> list[str]:
    """What a reader must know of the instruments: notes of the metrics, and the facts in the records."""
    rows = list(rows)
    measures = [one for row in rows for one in bind_metrics(row.spec.protocol)]
    notes = dict.fromkeys(note for one in measures for note in one.metric.notes(one.options, one.n_fake).items())
    lines = [f"- **{title}**: {sentence}" for title, sentence in notes]
    used = dict.fromkeys(name for row in rows for name in extractors_used(row.spec.protocol))
    titles = {k: v for name in used for k, v in registry.extractors[name].metadata_titles.items()}
    for name, seen in _facts(rows).items():
        values = " / ".join(f"{100 * value:.1f} %" if name in titles else f"{value:g}" for value in seen)
        lines.append(f"- **Instrument**: {escape_markdown(titles.get(name, name.replace('_', ' ')))} {values}.")
    return lines


def _facts(rows: Iterable[LeaderboardRow]) -> dict[str, list[float]]:
    facts: dict[str, list[float]] = {}
    for record in _records(rows):
        for name, value in record.facts.items():
            seen = facts.setdefault(name, [])
            if value not in seen:
                seen.append(value)
    return facts


def _records(rows: Iterable[LeaderboardRow]) -> Iterator[TrialRecord]:
    """Each record once, though two tables may share a trial."""
    seen = {t.record.trial_id: t.record for row in rows for t in row.trials if t.record}
    yield from seen.values()


def environment(rows: Iterable[LeaderboardRow]) -> list[str]:
    """Machine, versions, source and data of the records; where they disagree, each value with its trials."""
    found: dict[str, dict[str, int]] = {}
    for record in _records(rows):
        for name, value in [*_flat(record.environment), *_data(record.data)]:
            counts = found.setdefault(name, {})
            counts[value] = counts.get(value, 0) + 1
    if not found:
        return ["Nothing has been run yet."]
    return [grid(["", ""], [[escape_markdown(name), _told(counts)] for name, counts in found.items()], "ll")]


def events(rows: Iterable[LeaderboardRow]) -> list[str]:
    """What happened to trials before they ended: a line for each kind of event; nothing where nothing did."""
    whose: dict[str, dict[str, str]] = {}  # what -> trial id -> which trial, and how often
    for row in rows:
        for record in (trial.record for trial in row.trials if trial.record):
            for event in record.events:
                often = f"{event.times:,} times from step" if event.times > 1 else "at step"
                named = f"{escape_markdown(row.label)} seed {record.spec.seed}, {often} {event.step:,}"
                whose.setdefault(event.what, {}).setdefault(record.trial_id, named)
    if not whose:
        return []
    return ["What happened on the way:", "\n".join(starmap(_event, whose.items()))]


def _event(what: str, whose: dict[str, str]) -> str:
    named = list(whose.values())
    more = [f"{len(named) - NAMED_TRIALS:,} more"] if len(named) > NAMED_TRIALS else []
    trials = f"{len(named):,} trial{'s' if len(named) > 1 else ''}"
    return f"- {escape_markdown(what)}: {trials} ({'; '.join([*named[:NAMED_TRIALS], *more])})"


def _flat(environment: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{key} {inner}" for key, inner in value.items())
        elif value != "":
            yield name, str(value)


def _data(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The dataset's arrays and the checksums of its sources."""
    if not manifest:
        return
    shapes = [f"{split} {' x '.join(map(str, manifest[split]))}" for split in ("train", "test") if split in manifest]
    sums = [f"{name} {str(value)[:HASH_DIGITS]}…" for name, value in manifest.get("sources", {}).items()]
    note = [manifest["note"]] if manifest.get("note") else []
    yield f"data {manifest.get('dataset', '')}", ", ".join([*shapes, *sums, *note])


def _told(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return escape_markdown(next(iter(counts)))
    return "<br>".join(f"{escape_markdown(value)} ({n} trial{'s' * (n > 1)})" for value, n in counts.items())


def rerun_commands(suite: Suite) -> list[str]:
    """How the suite is run again, one cell of it, and one trial."""
    blocks = [_shell(_run(suite, suite.only))]
    if len(suite.cells) > 1:
        blocks += ["One cell alone, here the first, is `TABLE/ROW`:", _shell(cell_command(suite, suite.cells[0]))]
    return [
        *blocks,
        "One trial, compared with its record number by number; `results.csv` has the ids:",
        _shell(f"python -m benchmark reproduce {suite.cells[0].specs[0].trial_id}"),
    ]


def _shell(line: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence}sh\n{line}\n{fence}"


def cell_command(suite: Suite, cell: Cell) -> str:
    """The command line that runs one cell again, safe to paste into a shell."""
    return _run(suite, [f"{cell.table}/{cell.row}"])


def _run(suite: Suite, only: Iterable[str]) -> str:
    file, scale = f"suites/{text.single_line(suite.name)}.yaml", text.single_line(suite.scale)
    counted = ["--seeds", str(suite.seeds_option)] if suite.seeds_option else []
    cells = [word for name in only for word in ("--only", text.single_line(name))]
    return shlex.join(["python", "-m", "benchmark", "run", file, "--scale", scale, *counted, *cells])
