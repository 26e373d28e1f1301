"""One trial from its job to its record, in a worker of any scheduler or in this process."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.core import registry
from benchmark.core.files import remove_partial_writes
from benchmark.data.prepared import open_prepared
from benchmark.store.records import Cost, Measurement, Status, TrialRecord, encode_points
from benchmark.store.workspace import sample_grid_path
from benchmark.training import checkpoint
from benchmark.training.checkpoint import Checkpoints
from benchmark.training.trainer import Trainer, TrainingDiverged
from benchmark.trials import stopwatch
from benchmark.trials.build import build_trainer
from benchmark.trials.evaluator import TrialEvaluator
from benchmark.trials.job import Job, Progress, ProgressCallback, TimeLimitReached, TrialStopped
from benchmark.trials.process import failure_message, forget_peak_memory, peak_memory, synchronize, thread_settings
from benchmark.trials.samples import sample_grid, write_thumbnails
from benchmark.trials.state import TrialState, data_fingerprint, env_fingerprint, environment_of, now
from benchmark.trials.stopwatch import CheckpointPolicy, Stopwatch

PROGRESS_SECONDS = 1.0  # between two reports, at least
CHECKS = 1000  # of losses and weights in a training, evenly spaced,
MIN_STEPS_BETWEEN_CHECKS = 50  # but no closer than this
RESUMED = "resumed from a checkpoint"
RESUMED_ELSEWHERE = f"{RESUMED} of other hardware, versions or source: its numbers may differ in the last bits"


def run_trial(job: Job, report: ProgressCallback) -> TrialRecord:
    """Train and evaluate one trial. A trial that raises has a `failed` record; the exception does not propagate.

    The last checkpoint stays when the trial has ended: the caller removes it after storing the record.

    Args:
        job: the trial, its files and its resources.
        report: receives the progress about once a second, also during evaluations, and before and after each of them.
            It may raise TrialStopped.

    Raises:
        TrialStopped: if `report` did. The trial has saved a checkpoint if the disk allows it. The next call with the
            same job resumes from it, and ends with bit-identical numbers.
    """
    with thread_settings(job.cpus):
        forget_peak_memory(job.device)
        return TrialRunner(job, report).run()


class TrialRunner:
    """Runs a trial: `start`, then `train_step` and `after_step` until `is_trained`, then `finish`.

    `run` calls these phases in order. A seed group calls them itself, each inside `recorded_failures`.

    Args:
        job: the trial, its files and its resources.
        report: receives the progress.
        max_step: checkpoints of later steps are not resumed.

    Attributes:
        record: the trial's record, as soon as the trial has ended.
        is_started: whether `start` has built and resumed the trainer.
        is_stopped: whether the trial was stopped, after saving a checkpoint.
    """

    trainer: Trainer  # set by `start`, as are the evaluator and the fingerprints

    def __init__(self, job: Job, report: ProgressCallback, max_step: int | None = None) -> None:
        self.job, self.report, self.max_step = job, report, max_step
        self.record: TrialRecord | None = None
        self.is_started = self.is_stopped = False
        self.dataset = registry.datasets[job.spec.dataset]
        self.start_time = self.last_report = stopwatch.clock()
        self.state = TrialState(policy=CheckpointPolicy(Stopwatch(), job.checkpoint_seconds))
        self.note = ""  # events that the next report mentions

    def run(self) -> TrialRecord:
        """Run the trial to its end. Raises TrialStopped if the progress callback did."""
        with self.recorded_failures():
            self.start()
            while not self.is_trained:
                self.train_step()
                self.after_step()
            self.finish()
        assert self.record is not None  # either finished or failed
        return self.record

    @contextmanager
    def recorded_failures(self) -> Iterator[None]:
        """Turns an exception of a phase into the trial's record. TrialStopped alone propagates."""
        try:
            yield
        except TrialStopped:
            self.save()
            self.is_stopped = True
            raise
        except TimeLimitReached as problem:
            self.save()
            self.record = self._make_record("failed", str(problem))
        except TrainingDiverged as problem:
            self.record = self._make_record("diverged", str(problem))
        except Exception as problem:
            step = self.step if self.is_started else 0
            self.record = self._make_record("failed", failure_message(problem, self.job.device, step))

    # --- phases --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the data, build the trainer, and resume from the newest checkpoint that fits."""
        job, spec = self.job, self.job.spec
        self.checkpoints = Checkpoints(job.checkpoints, spec.trial_id)
        remove_partial_writes(self.final_weights_path.parent, self.final_weights_path.name)
        remove_partial_writes(sample_grid_path(job.samples, spec.trial_id, 0).parent, "*.png")
        self.data = open_prepared(job.data, job.checksums)
        self.evaluation_steps = spec.evaluation_steps
        self.evaluator = TrialEvaluator(job, self.data, on_batch=self.report_progress)
        self.trainer = self._build_trainer()
        # A checkpoint is resumed only with the same data and networks: otherwise its numbers would be a mixture.
        self.data_fingerprint = data_fingerprint(self.data, self.evaluator.sample_evaluator.identities, job.device)
        self.env_fingerprint = env_fingerprint(job)
        self._resume()
        self.is_started = True
        self._evaluate_if_due()

    def train_step(self) -> None:
        """One step of training."""
        self.trainer.train_step()

    def after_step(self) -> None:
        """Check for divergence, report, and save and evaluate if due."""
        if self.step % max(self.job.spec.steps // CHECKS, MIN_STEPS_BETWEEN_CHECKS) == 0:
            self.trainer.raise_if_diverged()
        self._record_graph_failures()
        self.report_progress()
        if self.state.policy.is_due():
            self.save()
        self._evaluate_if_due()

    def finish(self) -> None:
        """Evaluate other draws of samples, save, and make the record."""
        for draw in range(1 + len(self.state.redraws), self.evaluator.num_draws):
            with self.state.watch.phase("measuring"):
                redraw = self.evaluator.redraw(self.trainer, draw)
                self.state.redraws.append(self.evaluator.averaged([*self.state.evaluations[:-1], redraw]))
            self._report_and_save()
        self.save()
        final = partial(checkpoint.save_weights, self.final_weights_path, final_weights(self.trainer))
        self._try_to_write("the final weights", final)
        self.record = self._make_record("finished")

    # --- progress ------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The number of training steps done."""
        return self.trainer.step

    @property
    def at_evaluation(self) -> bool:
        """Whether the protocol has an evaluation at the current step."""
        return self.step in self.evaluation_steps

    @property
    def is_trained(self) -> bool:
        """Whether the last step has been trained and evaluated."""
        return self.state.measured_step == self.job.spec.steps

    @property
    def is_complete(self) -> bool:
        """Whether all that is left is to write files."""
        return self.is_trained and len(self.state.redraws) >= self.evaluator.num_draws - 1

    def report_progress(self, force: bool = False) -> None:
        """Report progress, at most once per second unless forced. Raises TrialStopped or TimeLimitReached."""
        limit, moment = self.job.time_limit, stopwatch.clock()
        if limit is not None and moment - self.start_time >= limit and not self.is_complete:
            raise TimeLimitReached(f"time limit of {limit:g} s reached at step {self.step}; run again to continue")
        if force or moment - self.last_report >= PROGRESS_SECONDS:
            self.last_report = moment
            seconds = self.state.watch.totals()["training"] * self.job.vmap_seeds  # they share the time of a step
            speed = self.step / max(seconds, 1e-9)
            note, self.note = self.note, ""
            self.report(Progress(self.job.spec.trial_id, self.step, speed, self.state.metrics, note))

    def record_event(self, what: str) -> None:
        """Count an event for the record. The next report mentions it if it occurs for the first time."""
        if self.state.events.add(what, self.step):
            self.note = f"{self.note}; {what}" if self.note else what

    def _record_graph_failures(self) -> None:
        for player, reason in self.trainer.graph_failures.items():
            what = f"updates of the {player} are not captured as a graph: {reason}"
            if what not in self.state.events.by_what:
                self.record_event(what)

    # --- evaluation ----------------------------------------------------------------------------------------

    def _evaluate_if_due(self) -> None:
        if self.at_evaluation and self.step > self.state.measured_step:
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluate the current step. The mean losses are kept first, so that a kill meanwhile loses no training."""
        state, step = self.state, self.step
        if state.losses is None:
            state.losses = self.trainer.mean_losses()  # waits for the device, so it counts as training
        self._report_and_save()
        with state.watch.phase("measuring"):
            result, state.samples = self.evaluator.evaluate(self.trainer)
            state.evaluations = [*state.evaluations, result.values][-self.evaluator.longest_window :]
            metrics = self.evaluator.averaged(state.evaluations)
            state.history.append(Measurement(step=step, metrics=metrics, losses=state.losses))
            state.histograms, state.losses = result.histograms, None
            if state.samples is not None and not self.dataset.is_points:
                names = (self.job.samples, self.job.spec.trial_id, step)
                grid = partial(write_thumbnails, state.samples, self.dataset.stacked, *names)
                self._try_to_write("a sample grid", grid)
        self._report_and_save()

    def _report_and_save(self) -> None:
        """Before and after something that takes long."""
        self.report_progress(force=True)
        if self.state.policy.is_due() and not self.is_complete:
            self.save()

    # --- files ---------------------------------------------------------------------------------------------

    @property
    def final_weights_path(self) -> Path:
        """The file of the weights of a finished trial."""
        return self.job.checkpoints / f"{self.job.spec.trial_id}.final.pt"

    def save(self) -> None:
        """Write a checkpoint of a started trial. A disk that refuses is an event; the next save may succeed."""
        if not self.is_started:
            return
        synchronize(self.job.device)  # what it still computes counts as training
        with self.state.policy.timed_save():
            self._try_to_write("a checkpoint", lambda: self.checkpoints.save(self._checkpoint()))

    def _checkpoint(self) -> dict[str, Any]:
        self._update_peak_memory()
        fingerprints = {"surroundings": self.data_fingerprint, "maker": self.env_fingerprint}
        return fingerprints | self.state.to_checkpoint(self.trainer)

    def _try_to_write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, MemoryError) as problem:
            reason = (problem.strerror if isinstance(problem, OSError) else None) or type(problem).__name__
            self.record_event(f"{what} could not be written: {reason}")

    def _build_trainer(self) -> Trainer:
        return build_trainer(self.job.spec, self.data, self.job.device, self.job.graphs)

    def _resume(self) -> None:
        for saved in self.checkpoints.states(self.job.device):
            if self.max_step is not None and saved["trainer"]["step"] > self.max_step:
                continue
            if saved.get("surroundings") != self.data_fingerprint:
                self.record_event(
                    "a checkpoint of other data, evaluation networks or another kind of device was not used"
                )
                continue
            try:
                self.state.restore(saved, self.trainer)
            except Exception:  # another version wrote it, and the trainer may be half restored
                self.trainer = self._build_trainer()
                self.record_event("a checkpoint that this version cannot read was not used")
                continue
            same_environment = saved.get("maker") == self.env_fingerprint
            self.record_event(RESUMED if same_environment else RESUMED_ELSEWHERE)
            break
        if self.checkpoints.damaged:
            self.record_event("a damaged checkpoint was skipped")

    # --- record --------------------------------------------------------------------------------------------

    def _make_record(self, status: Status, error: str = "") -> TrialRecord:
        return TrialRecord(
            trial_id=self.job.spec.trial_id,
            spec=self.job.spec,
            status=status,
            error=error,
            started=self.state.started,
            finished=now(),
            environment=environment_of(self.job),
            **(self._results() if self.is_started else {}),
        )

    def _results(self) -> dict[str, Any]:
        state = self.state
        return {
            "history": state.history,
            "redraws": state.redraws,
            "histograms": state.histograms,
            "facts": self.evaluator.sample_evaluator.metadata,
            "instruments": self.evaluator.sample_evaluator.identities,
            "data": self.data.manifest,
            "events": list(state.events.by_what.values()),
            "cost": self._cost(),
            **self._kept_samples(),
        }

    def _kept_samples(self) -> dict[str, str]:
        """The samples of the last measurement, as the record holds them."""
        samples = self.state.samples
        if samples is None:
            return {}
        if self.dataset.is_points:
            return {"points_npy": encode_points(samples.numpy())}
        return {"samples_png": base64.b64encode(sample_grid(samples, self.dataset.stacked)).decode()}

    def _cost(self) -> Cost:
        seconds = self.state.watch.totals()
        images = self.step * self.job.spec.batch_size
        return Cost(
            train_seconds=round(seconds["training"], 3),
            evaluation_seconds=round(seconds["measuring"], 3),
            checkpoint_seconds=round(seconds["saving"], 3),
            images_per_second=round(images / max(seconds["training"], 1e-9), 1),
            peak_memory_mib=round(self._update_peak_memory(), 1),
            cpus=self.job.cpus,
            gpus=self.job.gpus,
        )

    def _update_peak_memory(self) -> float:
        self.state.peak_memory = max(self.state.peak_memory, peak_memory(self.job.device))
        return self.state.peak_memory


def final_weights(trainer: Trainer) -> dict[str, Any]:
    """The weights that are kept of a finished trial: of the method, and of the moving average if there is one."""
    average = trainer.ema.module.state_dict() if trainer.ema else None
    return {"method": trainer.method.state_dict(), "average": average}
