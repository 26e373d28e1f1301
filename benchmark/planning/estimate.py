"""What the rest of a suite will cost: time and memory, from finished trials where possible, else from timings.

    seconds of a trial = steps x seconds per step + evaluations x seconds per evaluation

Finished trials of the same kind on the same hardware provide both. Otherwise the calibration does, and

    seconds per evaluation = samples x seconds per sample + for each feature pass: images x seconds per image

which omits what a metric computes at the end. The calibration times each trial alone; trials in parallel slow each
other down where they share a core's units or a GPU.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmark.config.cells import Cell
from benchmark.core.spec import TrialSpec
from benchmark.planning.cost_keys import FeatureCostKey, TrainingCostKey, cost_key, feature_passes, training_cost_key
from benchmark.planning.hardware import Hardware, hardware_fingerprint
from benchmark.planning.timings import Calibration
from benchmark.store.records import Cost, TrialSummary

EstimateSource = Literal["records", "calibration", ""]
UNTIMED = "not timed yet"


@dataclass(frozen=True)
class TrialEstimate:
    """One trial's cost. `seconds` is None if unknown, and too low by what `problem` says is omitted."""

    seconds: float | None
    peak_memory_mib: float | None
    source: EstimateSource
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class CellEstimate:
    """How many trials of a cell are done and to do, and what one of them costs."""

    cell: Cell
    done: int
    todo: int
    trial: TrialEstimate

    @property
    def seconds(self) -> float | None:
        """The time of all trials to do, one after the other; None if unknown."""
        if not self.todo:
            return 0.0
        return None if self.trial.seconds is None else self.trial.seconds * self.todo

    def as_json(self) -> dict[str, Any]:
        """A cell of `plan --json`."""
        return {"done": self.done, "todo": self.todo, "estimated_seconds": self.seconds, "each": asdict(self.trial)}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of a whole suite, and the cost keys that it still lacks, each with a trial that has it.

    A trial that is part of two cells counts in both of them, and once in `trials` and the totals.
    """

    cells: tuple[CellEstimate, ...]
    trials: tuple[TrialEstimate, ...]  # those to do
    hardware: Hardware
    untimed_training: tuple[tuple[TrainingCostKey, TrialSpec], ...]
    untimed_features: tuple[tuple[FeatureCostKey, TrialSpec], ...]

    @property
    def device_seconds(self) -> float | None:
        """The time of all trials, one after the other; None if one is unknown."""
        seconds = [trial.seconds for trial in self.trials if trial.seconds is not None]
        return float(sum(seconds)) if len(seconds) == len(self.trials) else None

    @property
    def wall_seconds(self) -> float | None:
        """The time with as many trials in parallel as fit, but at least that of the longest trial."""
        total = self.device_seconds
        if not total:
            return total
        parallel = min(self.hardware.slots, len(self.trials))
        return max(total / parallel, *(trial.seconds or 0.0 for trial in self.trials))

    @property
    def peak_memory_mib(self) -> float | None:
        """The largest known peak of a trial."""
        return max(self._peaks, default=None)

    @property
    def side_by_side_memory_mib(self) -> float | None:
        """The peaks of the largest trials in parallel: an upper bound, as they share libraries and mapped images."""
        return sum(sorted(self._peaks, reverse=True)[: self.hardware.slots]) if self._peaks else None

    @property
    def _peaks(self) -> list[float]:
        return [trial.peak_memory_mib for trial in self.trials if trial.peak_memory_mib is not None]

    @property
    def fits(self) -> bool:
        """Whether the trials in parallel fit into memory, as far as known."""
        return (self.side_by_side_memory_mib or 0.0) <= self.hardware.memory_mib

    @property
    def source(self) -> Literal["records", "calibration", "mixed", ""]:
        """Where the numbers come from."""
        sources = {trial.source for trial in self.trials if trial.source}
        return "mixed" if len(sources) > 1 else next(iter(sources), "")

    @property
    def problems(self) -> dict[str, int]:
        """What is unknown or omitted -> for how many trials."""
        problems = [trial.problem for trial in self.trials if trial.problem]
        return {problem: problems.count(problem) for problem in dict.fromkeys(problems)}

    def as_json(self) -> dict[str, Any]:
        """The `estimate` of `plan --json`."""
        return {
            "device_seconds": self.device_seconds,
            "wall_seconds": self.wall_seconds,
            "side_by_side": self.hardware.slots,
            "peak_memory_mib": self.peak_memory_mib,
            "side_by_side_memory_mib": self.side_by_side_memory_mib,
            "machine": self.hardware.as_json(),
            "fits": self.fits,
            "source": self.source,
            "problems": self.problems,
        }


def estimate(
    *,
    cells: Iterable[Cell],
    summaries: Mapping[str, TrialSummary],
    todo: Mapping[str, TrialSpec],
    calibration: Calibration,
    hardware: Hardware,
    images_mib: Mapping[str, float],
    missing_weights: Mapping[str, str],
) -> Estimate:
    """Estimate the cost of the trials to do. Trials of a cell differ only in their seeds, so each cell is costed once.

    Args:
        cells: the cells of the suite.
        summaries: trial id -> how it ended.
        todo: trial id -> a trial to do.
        calibration: the timings of this machine.
        hardware: this machine.
        images_mib: dataset -> MiB of its prepared training images, where known.
        missing_weights: extractors without weights here, by name; they cannot be timed.
    """
    cells = list(cells)
    recorded = _recorded_costs(cells, summaries, hardware)
    cell_estimates, trials = [], dict[str, TrialEstimate]()
    untimed_training: dict[str, tuple[TrainingCostKey, TrialSpec]] = {}
    untimed_features: dict[str, tuple[FeatureCostKey, TrialSpec]] = {}
    for cell in cells:
        spec = cell.specs[0]
        ids = [spec.trial_id for spec in cell.specs if spec.trial_id in todo]
        if costs := recorded.get(cost_key(spec)):
            trial = costs.estimate(spec)
        else:
            trial = _from_timings(spec, calibration, images_mib.get(spec.dataset, 0.0), missing_weights)
            if ids:
                for training in calibration.untimed([training_cost_key(spec)]):
                    untimed_training.setdefault(training.key, (training, spec))
                passes = [key for key in feature_passes(spec) if key.extractor not in missing_weights]
                for features in calibration.untimed(passes):
                    untimed_features.setdefault(features.key, (features, spec))
        cell_estimates.append(CellEstimate(cell=cell, done=len(cell.specs) - len(ids), todo=len(ids), trial=trial))
        trials |= dict.fromkeys(ids, trial)
    return Estimate(
        cells=tuple(cell_estimates),
        trials=tuple(trials.values()),
        hardware=hardware,
        untimed_training=tuple(untimed_training.values()),
        untimed_features=tuple(untimed_features.values()),
    )


def count_evaluations(spec: TrialSpec) -> int:
    """How often a trial evaluates its generator: as its protocol says, and again for every redraw at the end."""
    return spec.protocol.evaluations + spec.protocol.draws - 1


@dataclass
class _RecordedCosts:
    """The sums over finished trials with the same cost key."""

    train_seconds: float = 0.0
    steps: int = 0
    evaluation_seconds: float = 0.0
    evaluations: int = 0
    peak_memory_mib: float = 0.0

    def add(self, spec: TrialSpec, cost: Cost) -> None:
        self.train_seconds += cost.train_seconds
        self.steps += spec.steps
        self.evaluation_seconds += cost.evaluation_seconds
        self.evaluations += count_evaluations(spec)
        self.peak_memory_mib = max(self.peak_memory_mib, cost.peak_memory_mib)

    def estimate(self, spec: TrialSpec) -> TrialEstimate:
        training = spec.steps * self.train_seconds / self.steps
        evaluation = count_evaluations(spec) * self.evaluation_seconds / self.evaluations
        return TrialEstimate(training + evaluation, self.peak_memory_mib, "records")


def _recorded_costs(
    cells: list[Cell], summaries: Mapping[str, TrialSummary], hardware: Hardware
) -> dict[str, _RecordedCosts]:
    """Cost key -> the costs of its finished trials on this hardware."""
    recorded: dict[str, _RecordedCosts] = {}
    for cell in cells:
        key = ""
        for spec in cell.specs:
            summary = summaries.get(spec.trial_id)
            if summary is None or summary.status != "finished" or not summary.cost:
                continue
            if hardware_fingerprint(summary.environment) == hardware.fingerprint:
                key = key or cost_key(spec)  # the same for all seeds of a cell
                recorded.setdefault(key, _RecordedCosts()).add(spec, summary.cost)
    return recorded


def _from_timings(
    spec: TrialSpec, calibration: Calibration, images_mib: float, missing_weights: Mapping[str, str]
) -> TrialEstimate:
    timing = calibration.get(training_cost_key(spec))
    if timing is None or timing.error:
        return TrialEstimate(None, None, "", timing.error if timing else UNTIMED)
    batches = math.ceil(spec.protocol.n_fake / spec.protocol.sample_batch)
    evaluation = batches * spec.protocol.sample_batch * timing.sample_seconds
    extractor_mib: dict[str, float] = {}
    problems = []
    for key, images in feature_passes(spec).items():
        features = calibration.get(key)
        if features is None or features.error:
            reason = features.error if features else UNTIMED
            if key.extractor in missing_weights:
                reason = "its weights are not here"
            problems.append(f"measuring through {key.extractor} is left out: {reason}")
            continue
        evaluation += images * features.seconds
        extractor_mib[key.extractor] = max(extractor_mib.get(key.extractor, 0.0), features.peak_memory_mib)
    seconds = spec.steps * timing.seconds + count_evaluations(spec) * evaluation
    peak = timing.peak_memory_mib + sum(extractor_mib.values()) + images_mib
    return TrialEstimate(seconds, peak, "calibration", "; ".join(dict.fromkeys(problems)))
