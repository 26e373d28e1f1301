"""The driver's side of Ray Tune: it is fed trials one by one, and what it says about them is handed on.

Imported only where Ray is. Tune pickles these objects for a restore that is never asked for: nothing of them is kept.
"""

from typing import TYPE_CHECKING, Any

from ray.tune import Callback
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from benchmark.execution.ray.failures import NO_REASON, failure_reason

if TYPE_CHECKING:
    from benchmark.execution.ray.driver import RunState

    pass


class TrialSource(Searcher):
    """Gives Tune the next trial whenever it has room for one, `limit` of them at most."""

    def __init__(self, course: "RunState", limit: int) -> None:
        super().__init__()
        self.course, self.left = course, limit

    def __reduce__(self) -> tuple[Any, ...]:
        return Searcher, ()

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None when a running one may yet have to be tried again; FINISHED."""
        del trial_id
        attempts = self.course.attempts
        if self.left > 0 and not self.course.asked.asked:
            if jobs := attempts.next_together():
                self.left -= 1
                return self.course.config_of(jobs)
            if attempts.running:
                return None
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The relay hears of it too, and knows more."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing is."""

    def restore(self, checkpoint_path: str) -> None:
        """Never is."""


class TuneCallback(Callback):
    """Hands on what Tune says."""

    def __init__(self, course: "RunState") -> None:
        self.course = course

    def __reduce__(self) -> tuple[Any, ...]:
        return Callback, ()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Several times a second."""
        del iteration, trials, info
        self.course.look()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken up a trial."""
        del iteration, trials, info
        for trial_id in _ids_of(trial):
            self.course.started(trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker is done with a trial."""
        del iteration, trials, info
        self.course.ended(_ids_of(trial), NO_REASON)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died."""
        del iteration, trials, info
        self.course.ended(_ids_of(trial), failure_reason(trial.error_file))


class StopWhenIdle(Stopper):
    """Ends a run of Tune that was asked to stop, once no trial runs: one may wait for a place that never comes."""

    def __init__(self, course: "RunState") -> None:
        self.course = course

    def __reduce__(self) -> tuple[Any, ...]:
        return Stopper, ()

    def __call__(self, trial_id: str, result: Any) -> bool:
        """Trials stop by themselves."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Asked several times a second."""
        return self.course.asked.asked and not self.course.placed


def _ids_of(tune_trial: Any) -> list[str]:
    """Of the trials that a trial of Tune trains."""
    ids: list[str] = tune_trial.config["trial_ids"]
    return ids
