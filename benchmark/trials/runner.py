"""One trial from start to stored result. Runs in a worker of any scheduler, or in this process."""

import base64
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.core import environment, registry
from benchmark.core.files import remove_partial_writes, write_atomically
from benchmark.core.protocol import metric_outputs
from benchmark.core.spec import content_hash
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.discriminator_evaluator import DiscriminatorEvaluator, FrozenDiscriminator
from benchmark.evaluation.sample_evaluator import EvaluationResult, SampleEvaluator
from benchmark.store.records import Cost, Measurement, TrialRecord
from benchmark.store.workspace import sample_grid_path
from benchmark.training import checkpoint
from benchmark.training.checkpoint import Checkpoints
from benchmark.training.trainer import Trainer, TrainingDiverged
from benchmark.trials import stopwatch
from benchmark.trials.build import build_trainer, evaluation_steps
from benchmark.trials.events import Events
from benchmark.trials.job import Job, Progress, ProgressCallback, TimeLimitReached, TrialStopped
from benchmark.trials.process import failure_message, forget_peak_memory, peak_memory, synchronize, thread_settings
from benchmark.trials.samples import sample_grid
from benchmark.trials.stopwatch import CheckpointPolicy, Stopwatch

PROGRESS_SECONDS = 1.0
SHEET = 64  # images on a contact sheet
GLANCE = 16  # of them, on the small sheet of a measurement
ELSEWHERE = "went on from a checkpoint of other hardware, versions or source: its numbers may differ in the last bits"
CHECKS = 1000  # of a training, whether its losses and weights are still finite,
STEPS_APART = 50  # but not more often than this


def run_trial(job: Job, report: ProgressCallback) -> TrialRecord:
    """Train and measure one trial. A trial that raises becomes a `failed` record, never an exception.

    `report` is called about once a second, before and after every measurement, and in between while one goes on. It may
    raise Stop: then the trial saves a checkpoint, where there is room for one, and Stop is raised to the caller. The
    next `run` of the same job goes on from there, and ends with the same numbers to the bit.

    The last checkpoint stays when the trial has ended: whoever has stored the record removes it.
    """
    with thread_settings(job.cpus):
        forget_peak_memory(job.device)
        course = course_of(job, report)
        try:
            trial = next(course)
            while True:
                trial = after(course, trial.advance)
        except StopIteration as ended:
            record: TrialRecord = ended.value
            return record


Course = Generator["TrialRunner", None, TrialRecord]


def course_of(job: Job, report: ProgressCallback, until: int | None = None) -> Course:
    """What becomes of one trial: yields it whenever it needs one more step of training, and returns its record.

    Stop, raised by `report` or thrown in, ends it as `run` says. `until`: go on from no checkpoint of a later step.
    """
    started = _now()
    trial = None
    try:
        trial = TrialRunner(job, started, until)
        yield from trial.run(report)
        status, error = "finished", ""
    except TrialStopped:
        if trial:
            trial.save()
        raise
    except TrainingDiverged as problem:
        status, error = "diverged", str(problem)
    except TimeLimitReached as problem:
        if trial:
            trial.save()
        status, error = "failed", str(problem)
    except Exception as problem:
        status, error = "failed", failure_message(problem, job.device, trial.trainer.step if trial else 0)
    return TrialRecord(
        trial_id=job.spec.trial_id,
        spec=job.spec,
        status=status,
        error=error,
        finished=_now(),
        environment=environment_of(job),
        **(trial.results() if trial else {"started": started}),
    )


def after(course: Course, step: Callable[[], None]) -> "TrialRunner":
    """Do the step that a trial needs, and go on with it. What the step raises is the trial's."""
    try:
        step()
    except Exception as problem:
        return course.throw(problem)
    return next(course)


@dataclass
class TrialRunner:
    """A running trial and all that its record will hold. Between two steps all of it is in `state`.

    `until`: it goes on from no checkpoint of a later step.
    """

    job: Job
    started: str
    until: int | None = None
    history: list[Measurement] = field(default_factory=list)
    redraws: list[dict[str, float]] = field(default_factory=list)
    histograms: dict[str, list[int]] = field(default_factory=dict)  # of the last measurement
    losses: dict[str, float] | None = None  # of a measurement that is still to be taken
    sheet: Tensor | None = None
    peak_memory: float = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        spec, device = self.job.spec, self.job.device
        self.began = self.said = stopwatch.clock()
        self.watch = Stopwatch()
        self.pace = CheckpointPolicy(self.watch, self.job.checkpoint_seconds)
        self.events = Events()
        self.checkpoints = Checkpoints(self.job.checkpoints, spec.trial_id)
        remove_partial_writes(self._final.parent, self._final.name)
        remove_partial_writes(sample_grid_path(self.job.samples, spec.trial_id, 0).parent, "*.png")
        self.prepared = open_prepared(self.job.data)
        self.goals = evaluation_steps(spec.steps, spec.protocol.evaluations)
        self.gauge = SampleEvaluator(spec.protocol, self.job.assets, device)
        self.examination = DiscriminatorEvaluator(spec.protocol, registry.datasets[spec.dataset], self.prepared)
        self.trainer = self._built()
        # A state is only gone on from where it was made: elsewhere its numbers would be of two kinds.
        made_of = [self.prepared.manifest.get("checksums", {}), self.gauge.identities, device.type]
        self.surroundings = content_hash(made_of)
        self.maker = content_hash(_makes_numbers(environment_of(self.job)))
        self._resume()

    @property
    def step(self) -> int:
        """How many are done."""
        return self.trainer.step

    @property
    def at_goal(self) -> bool:
        """Whether it will measure now."""
        return self.step in self.goals

    def advance(self) -> None:
        """One step of training, by itself."""
        self.trainer.train_step()

    def _built(self) -> Trainer:
        return build_trainer(self.job.spec, self.prepared, self.job.device, self.job.cuda_graphs)

    def run(self, report: ProgressCallback) -> Iterator["TrialRunner"]:
        """Yields itself before every step."""
        spec, trainer = self.job.spec, self.trainer
        apart = max(spec.steps // CHECKS, STEPS_APART)
        for goal in self.goals:
            if goal <= self._measured:
                continue
            while trainer.step < goal:
                yield self
                if trainer.step % apart == 0:
                    trainer.raise_if_diverged()
                self._note_uncaptured()
                self._heed(report)
                if self.pace.due():
                    self.save()
            self._measure(report)
        self._redraw(report)
        self.save()
        self._try("the final weights", lambda: checkpoint.save(self._final, final_weights(trainer)))

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last measurement."""
        return self.history[-1].metrics if self.history else {}

    @property
    def _measured(self) -> int:
        return self.history[-1].step if self.history else 0

    @property
    def _complete(self) -> bool:
        protocol = self.job.spec.protocol
        wanted = protocol.draws if protocol.n_fake else 1
        return self._measured == self.job.spec.steps and len(self.redraws) >= wanted - 1

    @property
    def _final(self) -> Path:
        return self.job.checkpoints / f"{self.job.spec.trial_id}.final.pt"

    def _heed(self, report: ProgressCallback, now: bool = False) -> None:
        """Tell how it is going, and end where that is wished. Only where nothing is half done."""
        limit, moment = self.job.time_limit, stopwatch.clock()
        if limit is not None and moment - self.began >= limit and not self._complete:
            raise TimeLimitReached(
                f"time limit of {limit:g} s reached at step {self.trainer.step}; run again to continue"
            )
        if now or moment - self.said >= PROGRESS_SECONDS:
            self.said = moment
            speed = self.trainer.step / max(self.watch.so_far()["training"] * self.job.vmap_seeds, 1e-9)
            note, self.note = self.note, ""
            report(Progress(self.job.spec.trial_id, self.trainer.step, speed, self.metrics, note))

    def _pause(self, report: ProgressCallback) -> None:
        """Before and after what takes long."""
        self._heed(report, now=True)
        if self.pace.due() and not self._complete:
            self.save()

    def _measure(self, report: ProgressCallback) -> None:
        protocol, trainer = self.job.spec.protocol, self.trainer
        if self.losses is None:
            self.losses = trainer.mean_losses()  # waits for the device, so it belongs to the training time
        self._pause(report)
        with self.watch.on("measuring"):
            first: list[Tensor] = []
            look = self._look(max(protocol.n_fake, SHEET), 0, report, first)
            found = look.numbers | self.examination.measure(
                FrozenDiscriminator(trainer.method, trainer.image_range, trainer.device)
            )
            metrics = self._finite({key: found[key] for key in metric_outputs(protocol)})
            self.sheet = torch.cat(first)[:SHEET].cpu()
            self.history.append(Measurement(step=trainer.step, metrics=metrics, losses=self.losses))
            self.histograms, self.losses = look.histograms, None
            glance = sample_grid(self.sheet[:GLANCE], columns=4)
            path = sample_grid_path(self.job.samples, self.job.spec.trial_id, trainer.step)
            self._try("a contact sheet", lambda: write_atomically(path, glance))
        self._pause(report)

    def _look(self, n: int, draw: int, report: ProgressCallback, first: list[Tensor]) -> EvaluationResult:
        """What the gauge says of n samples, of which enough for a contact sheet stay in `first`."""

        def heeding(batches: Iterable[Tensor]) -> Iterator[Tensor]:
            for batch in batches:
                if sum(map(len, first)) < SHEET:
                    first.append(batch)
                yield batch
                self._heed(report)

        with closing(self.trainer.samples(n, draw)) as samples:  # at whatever end the training goes on undisturbed
            return self.gauge.measure(heeding(samples))

    def _finite(self, metrics: dict[str, float]) -> dict[str, float]:
        if not all(map(math.isfinite, metrics.values())):
            raise TrainingDiverged(f"a metric was not finite at step {self.trainer.step}: {metrics}")
        return metrics

    def _redraw(self, report: ProgressCallback) -> None:
        """The last measurement again, each time from other latents: of what looks at samples."""
        protocol = self.job.spec.protocol
        for draw in range(1 + len(self.redraws), protocol.draws if protocol.n_fake else 1):
            with self.watch.on("measuring"):
                self.redraws.append(self._finite(self._look(protocol.n_fake, draw, report, []).numbers))
            self._pause(report)

    def save(self) -> None:
        """Write a checkpoint. A disk that refuses ends no trial: the next one may succeed."""
        synchronize(self.job.device)  # what it still computes is training
        with self.pace.saving():
            self._try("a checkpoint", lambda: self.checkpoints.save(self._state()))

    def _try(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, MemoryError) as problem:
            reason = (problem.strerror if isinstance(problem, OSError) else None) or type(problem).__name__
            self.happened(f"{what} could not be written: {reason}")

    def happened(self, what: str) -> None:
        """Remember it for the record, and tell of it when it is news."""
        if self.events.add(what, self.trainer.step):
            self.note = f"{self.note}; {what}" if self.note else what

    def _note_uncaptured(self) -> None:
        for player, reason in self.trainer.graph_failures.items():
            what = f"turns of the {player} are not captured as a graph: {reason}"
            if what not in self.events.by_what:
                self.happened(what)

    def _state(self) -> dict[str, Any]:
        return {
            "surroundings": self.surroundings,
            "maker": self.maker,
            "trainer": self.trainer.state(),
            "started": self.started,
            "history": [entry.model_dump() for entry in self.history],
            "redraws": self.redraws,
            "histograms": self.histograms,
            "losses": self.losses,
            "sheet": self.sheet,
            "events": self.events.plain(),
            "seconds": self.watch.so_far(),
            "took": self.pace.took,
            "peak_memory": self._peak_memory(),
        }

    def _resume(self) -> None:
        for state in self.checkpoints.states(self.job.device):
            if self.until is not None and state["trainer"]["step"] > self.until:
                continue
            if state.get("surroundings") != self.surroundings:
                self.happened("a checkpoint of other data, instruments or another kind of device was not used")
                continue
            try:
                self._restore(state)
            except Exception:  # of another version of this program: nothing of it may stay
                self.trainer = self._built()
                self.happened("a checkpoint that this version cannot read was not used")
                continue
            same = state.get("maker") == self.maker
            self.happened("went on from a checkpoint" if same else ELSEWHERE)
            break
        if self.checkpoints.damaged:
            self.happened("a damaged checkpoint was passed over")

    def _restore(self, state: dict[str, Any]) -> None:
        """All or nothing but the trainer."""
        history = [Measurement.model_validate(entry) for entry in state["history"]]
        events = self.events.after(Events.of(state["events"]))
        seconds = {key: float(state["seconds"].get(key, 0.0)) for key in self.watch.seconds}
        sheet = None if state["sheet"] is None else state["sheet"].cpu()
        rest = {key: state[key] for key in ("started", "redraws", "histograms", "losses", "peak_memory")}
        self.trainer.restore(state["trainer"])
        self.history, self.events, self.sheet = history, events, sheet
        self.watch.seconds, self.pace.took = seconds, float(state["took"])
        for key, value in rest.items():
            setattr(self, key, value)

    def _peak_memory(self) -> float:
        return max(self.peak_memory, peak_memory(self.job.device))

    def results(self) -> dict[str, Any]:
        """What the record holds of it."""
        done = self.trainer.step * self.job.spec.batch_size
        seconds = self.watch.so_far()
        return {
            "started": self.started,
            "history": self.history,
            "redraws": self.redraws,
            "histograms": self.histograms,
            "facts": self.gauge.facts,
            "instruments": self.gauge.identities,
            "data": self.prepared.manifest,
            "events": list(self.events.by_what.values()),
            "samples_png": base64.b64encode(sample_grid(self.sheet)).decode() if self.sheet is not None else "",
            "cost": Cost(
                train_seconds=round(seconds["training"], 3),
                evaluation_seconds=round(seconds["measuring"], 3),
                checkpoint_seconds=round(seconds["saving"], 3),
                images_per_second=round(done / max(seconds["training"], 1e-9), 1),
                peak_memory_mib=round(self._peak_memory(), 1),
                cpus=self.job.cpus,
                gpus=self.job.gpus,
            ),
        }


def environment_of(job: Job) -> dict[str, Any]:
    """The environment as a record tells it. `together`: of how many trials that were trained as one it is."""
    found = environment.describe(job.device.type, job.cpus)
    return found | {"together": job.vmap_seeds} if job.vmap_seeds > 1 else found


MAKERS = ("python", "cpu", "threads", "gpu", "packages", "source", "together")


def _makes_numbers(surroundings: dict[str, Any]) -> dict[str, Any]:
    """What of an environment may change the bits of a training."""
    return {key: surroundings[key] for key in MAKERS if key in surroundings}


def final_weights(trainer: Trainer) -> dict[str, Any]:
    """What is kept of a finished trial: the method, and the average where the recipe has one."""
    average = trainer.ema.module.state_dict() if trainer.ema else None
    return {"method": trainer.method.state_dict(), "average": average}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
