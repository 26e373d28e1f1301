"""The provenance of the numbers: recipes, evaluation networks, machines, and the commands that reproduce them."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.config.cells import Cell
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import bind_metrics, extractors_used
from benchmark.core.spec import Optimizer, StepDecay, TrialSpec
from benchmark.report import text
from benchmark.report.text import escape_markdown, grid
from benchmark.store.records import TrialRecord

HASH_DIGITS = 12
NAMED_TRIALS = 3  # trials that are listed for an event; more are counted


def recipes(tables: dict[str, list[LeaderboardRow]]) -> list[str]:
    """The complete recipes: first what all rows share, then one line per cell."""
    recipe_of = [
        (escape_markdown(row.label if len(tables) == 1 else f"{title}: {row.label}"), _recipe(row.spec))
        for title, members in tables.items()
        for row in members
    ]
    first = recipe_of[0][1]
    shared = [] if len(recipe_of) == 1 else [n for n in first if all(recipe[n] == first[n] for _, recipe in recipe_of)]
    names = [name for name in first if name not in shared]
    body = [[label, *(recipe[name] for name in names)] for label, recipe in recipe_of]
    words = "; ".join(f"{name.lower()} {first[name]}" for name in shared)
    intro = [f"Shared by all rows: {words}."] if shared else []
    return [*intro, grid(["Row", *names], body, "l" * (1 + len(names)))]


def _recipe(spec: TrialSpec) -> dict[str, str]:
    network = f"{spec.network} ({_options(spec.network_options)})" if spec.network_options else spec.network
    return {
        "Method": escape_markdown(spec.method),
        "Options": escape_markdown(_options(spec.options)) or "–",
        "Dataset": escape_markdown(spec.dataset),
        "Network": escape_markdown(network),
        "Latent": f"{spec.latent.dim} {spec.latent.distribution}" if spec.latent else "–",
        "Steps": f"{spec.steps:,}",
        "Batch": f"{spec.batch_size:,}",
        "Discriminator steps": str(spec.discriminator_steps),
        "Optimiser": escape_markdown(_optimizer(spec.optimizer)),
        "Samples from": _sampled(spec),
        "Precision": spec.precision,
    }


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())


def _optimizer(optimizer: Optimizer) -> str:
    rates = [f"lr {optimizer.lr:g}", *(f"{player} {lr:g}" for player, lr in optimizer.player_lr.items())]
    schedule = "" if optimizer.schedule == "constant" else f", {_schedule(optimizer.schedule)}"
    adam = f"Adam, {', '.join(rates)}, β {optimizer.betas[0]:g} and {optimizer.betas[1]:g}{schedule}"
    return "; ".join([adam, *(f"{player}: SGD, Nesterov momentum {m:g}" for player, m in optimizer.nesterov.items())])


def _schedule(schedule: StepDecay | str) -> str:
    if isinstance(schedule, str):
        return f"{schedule} schedule"
    players = " of all players" if schedule.counted == "updates" else ""
    return f"× {schedule.factor:g} every {schedule.every:,} {schedule.counted}{players}"


def _sampled(spec: TrialSpec) -> str:
    if spec.average is None:
        return "the generator" if registry.methods[spec.method].has_generator else "–"
    return f"its moving average, decay {spec.average.decay:g} from step {spec.average.start:,}"


def metric_notes(rows: Iterable[LeaderboardRow]) -> list[str]:
    """Notes of the metrics on how to read them, and the recorded metadata of their evaluation networks."""
    rows = list(rows)
    metrics = [bound for row in rows for bound in bind_metrics(row.spec.protocol)]
    notes = dict.fromkeys(note for bound in metrics for note in bound.metric.notes(bound.options, bound.n_fake).items())
    lines = [f"- **{title}**: {sentence}" for title, sentence in notes]
    extractors = dict.fromkeys(name for row in rows for name in extractors_used(row.spec.protocol))
    titles = {key: title for name in extractors for key, title in registry.extractors[name].metadata_titles.items()}
    facts: dict[str, dict[float, None]] = {}
    for record in _records(rows):
        for key, value in record.facts.items():
            facts.setdefault(key, {})[value] = None
    for key, values in facts.items():
        shown = " / ".join(f"{100 * value:.1f} %" if key in titles else f"{value:g}" for value in values)
        lines.append(f"- **Evaluation**: {escape_markdown(titles.get(key, key.replace('_', ' ')))} {shown}.")
    return lines


def _records(rows: Iterable[LeaderboardRow]) -> Iterable[TrialRecord]:
    """Each record once: two tables may share a trial."""
    trials = (trial for row in rows for trial in row.trials)
    return {trial.record.trial_id: trial.record for trial in trials if trial.record}.values()


def environment(rows: Iterable[LeaderboardRow]) -> list[str]:
    """Machine, versions, source and data of the records; if they disagree, each value with its number of trials."""
    counts: dict[str, Counter[str]] = {}
    for record in _records(rows):
        for name, value in [*_flat(record.environment), *_data(record.data)]:
            counts.setdefault(name, Counter())[value] += 1
    if not counts:
        return ["No trial has been run yet."]
    return [grid(["", ""], [[escape_markdown(name), _values(values)] for name, values in counts.items()], "ll")]


def _values(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return escape_markdown(next(iter(counts)))
    return "<br>".join(f"{escape_markdown(value)} ({n} trial{'s' * (n > 1)})" for value, n in counts.items())


def events(rows: Iterable[LeaderboardRow]) -> list[str]:
    """What happened during the trials: one line for each kind of event."""
    trials: dict[str, dict[str, str]] = {}  # event -> trial id -> the trial, and when it happened
    for row in rows:
        for record in (trial.record for trial in row.trials if trial.record):
            for event in record.events:
                when = f"{event.times:,} times from step" if event.times > 1 else "at step"
                trial = f"{escape_markdown(row.label)} seed {record.spec.seed}, {when} {event.step:,}"
                trials.setdefault(event.what, {}).setdefault(record.trial_id, trial)
    if not trials:
        return []
    return ["Events during the trials:", "\n".join(_event(what, list(of.values())) for what, of in trials.items())]


def _event(what: str, trials: list[str]) -> str:
    more = [f"{len(trials) - NAMED_TRIALS:,} more"] if len(trials) > NAMED_TRIALS else []
    count = f"{len(trials):,} trial{'s' if len(trials) > 1 else ''}"
    return f"- {escape_markdown(what)}: {count} ({'; '.join([*trials[:NAMED_TRIALS], *more])})"


def _flat(environment: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{key} {inner}" for key, inner in value.items())
        elif value != "":
            yield name, str(value)


def _data(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The shapes of the dataset's arrays and the checksums of its sources."""
    if not manifest:
        return
    shapes = [f"{split} {' x '.join(map(str, manifest[split]))}" for split in ("train", "test") if split in manifest]
    sums = [f"{name} {str(value)[:HASH_DIGITS]}…" for name, value in manifest.get("sources", {}).items()]
    note = [manifest["note"]] if manifest.get("note") else []
    yield f"data {manifest.get('dataset', '')}", ", ".join([*shapes, *sums, *note])


def rerun_commands(suite: Suite) -> list[str]:
    """The commands that run the suite, one of its cells, and one trial again."""
    blocks = [_shell(_run(suite, suite.only))]
    if len(suite.cells) > 1:
        blocks += ["A single cell, here the first, is named `TABLE/ROW`:", _shell(cell_command(suite, suite.cells[0]))]
    return [
        *blocks,
        "A single trial, compared with its record; `results.csv` lists the trial ids:",
        _shell(f"python -m benchmark reproduce {suite.cells[0].specs[0].trial_id}"),
    ]


def _shell(line: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence}sh\n{line}\n{fence}"


def cell_command(suite: Suite, cell: Cell) -> str:
    """The command that runs one cell again, quoted for a shell."""
    return _run(suite, [cell.name])


def _run(suite: Suite, only: Iterable[str]) -> str:
    file, scale = text.single_line(_relative_path(suite)), text.single_line(suite.scale)
    counted = ["--seeds", str(suite.seeds_option)] if suite.seeds_option else []
    counted += ["--until-decided", "--max-seeds", str(suite.max_seeds)] if suite.max_seeds else []
    cells = [word for name in only for word in ("--only", text.single_line(name))]
    return shlex.join(["python", "-m", "benchmark", "run", file, "--scale", scale, *counted, *cells])


def _relative_path(suite: Suite) -> str:
    """The suite's file as it was named; without the folders of this machine if its path is absolute."""
    return f"suites/{suite.path.name}" if suite.path.is_absolute() else suite.path.as_posix()
