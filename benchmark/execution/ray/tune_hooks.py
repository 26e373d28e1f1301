"""The objects that Ray Tune calls in the driver: they feed it trials one by one and pass its events on.

This module is imported only when Ray is used. Tune pickles the objects for a restore that never happens, so they
pickle as empty objects of their base classes.
"""

from typing import TYPE_CHECKING, Any

from ray.tune import Callback
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from benchmark.execution.ray.failures import NO_RECORD, failure_reason

if TYPE_CHECKING:
    from benchmark.execution.ray.driver import RunState


class TrialSource(Searcher):
    """Gives Tune the next trial (or group of seeds) whenever there is room for one, at most `limit` times."""

    def __init__(self, run_state: "RunState", limit: int) -> None:
        super().__init__()
        self._run_state, self._remaining = run_state, limit

    def __reduce__(self) -> tuple[Any, ...]:
        return Searcher, ()

    def suggest(self, trial_id: str) -> Any:
        """The worker's config for the next trial; None while a running trial may have to be retried; else FINISHED."""
        del trial_id
        queue = self._run_state.queue
        if self._remaining > 0 and not self._run_state.stop.requested:
            if jobs := queue.pop_group():
                self._remaining -= 1
                return self._run_state.worker_config(jobs)
            if queue.running:
                return None
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """No-op: `TuneCallback` handles the end of a trial."""

    def save(self, checkpoint_path: str) -> None:
        """No-op: there is no state to save."""

    def restore(self, checkpoint_path: str) -> None:
        """No-op: a run of Tune is never restored."""


class TuneCallback(Callback):
    """Passes Tune's events on to the run state."""

    def __init__(self, run_state: "RunState") -> None:
        self._run_state = run_state

    def __reduce__(self) -> tuple[Any, ...]:
        return Callback, ()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Poll the message board; Tune calls this several times a second."""
        del iteration, trials, info
        self._run_state.poll()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has started its trials."""
        del iteration, trials, info
        self._run_state.worker_started(trial.config["trial_ids"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has ended regularly."""
        del iteration, trials, info
        self._run_state.worker_ended(trial.config["trial_ids"], NO_RECORD)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died."""
        del iteration, trials, info
        self._run_state.worker_ended(trial.config["trial_ids"], failure_reason(trial.error_file))


class StopWhenIdle(Stopper):
    """Ends a stopped run of Tune once no trial runs: a trial may still wait for resources that never become free."""

    def __init__(self, run_state: "RunState") -> None:
        self._run_state = run_state

    def __reduce__(self) -> tuple[Any, ...]:
        return Stopper, ()

    def __call__(self, trial_id: str, result: Any) -> bool:
        """False: trials stop on their own."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Whether a stop was requested and no trial runs; Tune calls this several times a second."""
        return self._run_state.stop.requested and not self._run_state.placed
