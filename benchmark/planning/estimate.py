"""What the rest of a suite will cost: hours and memory, from finished trials where there are any, else from timings.

seconds of a trial = steps x seconds of a step + measurements x seconds of a measurement

Finished trials of the same kind on the same hardware tell both. Else the calibration does, and a measurement is

samples made x seconds of a sample + for every way of looking at them: samples seen x seconds of a look

which leaves out what a metric reckons at the end. The calibration times a trial alone; side by side they slow each
other down where they share a core's units or a GPU.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmark.config.cells import Cell
from benchmark.core.spec import TrialSpec
from benchmark.planning.cost_keys import FeatureCostKey, TrainingCostKey, cost_key, feature_passes, training_cost_key
from benchmark.planning.hardware import Hardware, hardware_of
from benchmark.planning.timings import Calibration
from benchmark.store.records import Cost, TrialSummary

Source = Literal["records", "calibration", ""]
UNTIMED = "not timed yet"


@dataclass(frozen=True)
class TrialEstimate:
    """Of one trial. `seconds` is None where nothing is known, and too low where `problem` says what is left out."""

    seconds: float | None
    peak_memory_mib: float | None
    source: Source
    problem: str = ""


@dataclass(frozen=True)
class CellEstimate:
    """Of one cell: how many of its trials are done and to do, and what each of the latter costs."""

    cell: Cell
    done: int
    todo: int
    trial: TrialEstimate

    @property
    def seconds(self) -> float | None:
        """All that is to do, as if one after the other."""
        if not self.todo:
            return 0.0
        return None if self.trial.seconds is None else self.trial.seconds * self.todo

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"done": self.done, "todo": self.todo, "estimated_seconds": self.seconds, "each": asdict(self.trial)}


@dataclass(frozen=True)
class Estimate:
    """Of a whole suite. A trial that stands in two cells counts in both of them, and once in the totals."""

    cells: tuple[CellEstimate, ...]
    rest: tuple[TrialEstimate, ...]
    hardware: Hardware
    untimed_training: tuple[tuple[TrainingCostKey, TrialSpec], ...]
    untimed_features: tuple[tuple[FeatureCostKey, TrialSpec], ...]

    @property
    def device_seconds(self) -> float | None:
        """All trials one after the other; None when one of them is unknown."""
        return _sum(each.seconds for each in self.rest)

    @property
    def wall_seconds(self) -> float | None:
        """As many side by side as there is room for, but never less than the longest trial."""
        total = self.device_seconds
        if not total:
            return total
        return max(total / min(self.side_by_side, len(self.rest)), *(each.seconds or 0.0 for each in self.rest))

    @property
    def side_by_side(self) -> int:
        """How many trials the machine's cores, or shares of its GPUs, are enough for."""
        return self.hardware.slots

    @property
    def peak_memory_mib(self) -> float | None:
        """The largest trial's, as far as known."""
        return max((each.peak_memory_mib for each in self.rest if each.peak_memory_mib is not None), default=None)

    @property
    def side_by_side_memory_mib(self) -> float | None:
        """The largest trials side by side; an upper bound, because they share libraries and mapped images."""
        known = sorted((each.peak_memory_mib for each in self.rest if each.peak_memory_mib is not None), reverse=True)
        return sum(known[: self.side_by_side]) if known else None

    @property
    def fits(self) -> bool:
        """Whether they have room side by side, as far as known."""
        return (self.side_by_side_memory_mib or 0.0) <= self.hardware.memory_mib

    @property
    def source(self) -> Literal["records", "calibration", "mixed", ""]:
        """Where the numbers are from."""
        found = {each.source for each in self.rest if each.source}
        return "mixed" if len(found) > 1 else next(iter(found), "")

    @property
    def problems(self) -> dict[str, int]:
        """What is unknown or left out -> of how many trials."""
        told = [each.problem for each in self.rest if each.problem]
        return {problem: told.count(problem) for problem in dict.fromkeys(told)}

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "device_seconds": self.device_seconds,
            "wall_seconds": self.wall_seconds,
            "side_by_side": self.side_by_side,
            "peak_memory_mib": self.peak_memory_mib,
            "side_by_side_memory_mib": self.side_by_side_memory_mib,
            "machine": asdict(self.hardware),
            "fits": self.fits,
            "source": self.source,
            "problems": self.problems,
        }


def estimate(
    cells: Iterable[Cell],
    outcomes: Mapping[str, TrialSummary],
    todo: Mapping[str, TrialSpec],
    calibration: Calibration,
    machine: Hardware,
    images_mib: Mapping[str, float],
    missing: Mapping[str, str],
) -> Estimate:
    """Reckon. The trials of a cell differ in their seeds alone, so each cell is looked at once.

    `images_mib`: dataset -> MiB of its prepared training images, where that is known. `missing`: the extractors whose
    weights are not here, by name: they cannot be timed.
    """
    cells = list(cells)
    speeds = _recorded(cells, outcomes, machine)
    rest: dict[str, TrialEstimate] = {}
    found = []
    untimed: dict[str, tuple[TrainingCostKey, TrialSpec]] = {}
    unlooked: dict[str, tuple[FeatureCostKey, TrialSpec]] = {}
    for cell in cells:
        spec = cell.specs[0]
        ids = [spec.trial_id for spec in cell.specs if spec.trial_id in todo]
        each = speeds[kind].of(spec) if (kind := cost_key(spec)) in speeds else None
        if each is None:
            training, looks = training_cost_key(spec), feature_passes(spec)
            each = _calibrated(spec, training, looks, calibration, images_mib.get(spec.dataset, 0.0), missing)
            if ids:
                for timed in calibration.untimed([training]):
                    untimed.setdefault(timed.key, (timed, spec))
                for look in calibration.untimed(look for look in looks if look.extractor not in missing):
                    unlooked.setdefault(look.key, (look, spec))
        found.append(CellEstimate(cell, len(cell.specs) - len(ids), len(ids), each))
        rest |= dict.fromkeys(ids, each)
    return Estimate(tuple(found), tuple(rest.values()), machine, tuple(untimed.values()), tuple(unlooked.values()))


@dataclass
class _Recorded:
    """What finished trials of a kind took together."""

    train_seconds: float = 0.0
    steps: int = 0
    evaluation_seconds: float = 0.0
    measurements: int = 0
    peak_memory_mib: float = 0.0

    def add(self, spec: TrialSpec, cost: Cost) -> None:
        self.train_seconds += cost.train_seconds
        self.steps += spec.steps
        self.evaluation_seconds += cost.evaluation_seconds
        self.measurements += measurements(spec)
        self.peak_memory_mib = max(self.peak_memory_mib, cost.peak_memory_mib)

    def of(self, spec: TrialSpec) -> TrialEstimate:
        training = spec.steps * self.train_seconds / self.steps
        measuring = measurements(spec) * self.evaluation_seconds / self.measurements
        return TrialEstimate(training + measuring, self.peak_memory_mib, "records")


def measurements(spec: TrialSpec) -> int:
    """How often a trial measures: at every evaluation, and the last one from other latents again."""
    return spec.protocol.evaluations + spec.protocol.draws - 1


def _recorded(cells: list[Cell], outcomes: Mapping[str, TrialSummary], machine: Hardware) -> dict[str, _Recorded]:
    """Kind -> what its finished trials took on this hardware."""
    found: dict[str, _Recorded] = {}
    for cell in cells:
        ended = [(spec, outcomes[spec.trial_id]) for spec in cell.specs if spec.trial_id in outcomes]
        of_here = [
            (spec, outcome.cost)
            for spec, outcome in ended
            if outcome.status == "finished" and outcome.cost and hardware_of(outcome.environment) == machine.hardware
        ]
        if of_here:
            kind = found.setdefault(cost_key(cell.specs[0]), _Recorded())
            for spec, cost in of_here:
                kind.add(spec, cost)
    return found


def _calibrated(
    spec: TrialSpec,
    training: TrainingCostKey,
    looks: Mapping[FeatureCostKey, int],
    calibration: Calibration,
    images_mib: float,
    missing: Mapping[str, str],
) -> TrialEstimate:
    timing = calibration.get(training)
    if timing is None or timing.error:
        return TrialEstimate(None, None, "", timing.error if timing else UNTIMED)
    batches = math.ceil(spec.protocol.n_fake / spec.protocol.sample_batch)
    measuring = batches * spec.protocol.sample_batch * timing.sample_seconds
    memory: dict[str, float] = {}
    problems = []
    for look, count in looks.items():
        looked = calibration.get(look)
        if looked is None or looked.error:
            why = "its weights are not here" if look.extractor in missing else looked.error if looked else UNTIMED
            problems.append(f"measuring through {look.extractor} is left out: {why}")
            continue
        measuring += count * looked.seconds
        memory[look.extractor] = max(memory.get(look.extractor, 0.0), looked.peak_memory_mib)
    seconds = spec.steps * timing.seconds + measurements(spec) * measuring
    peak = timing.peak_memory_mib + sum(memory.values()) + images_mib
    return TrialEstimate(seconds, peak, "calibration", "; ".join(dict.fromkeys(problems)))


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
