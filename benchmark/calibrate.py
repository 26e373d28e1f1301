"""`plan --calibrate`: times what is not known yet, one kind after the other, and keeps each result at once."""

from collections.abc import Callable
from pathlib import Path

from benchmark.calibration import Timing
from benchmark.estimate import Estimate
from benchmark.kinds import Kind
from benchmark.plan import Plan
from benchmark.timing import in_child, time_looking, time_training

Say = Callable[[str], None]


def calibrate(plan: Plan, data_dir: Path, say: Say) -> None:
    """Time every kind of the trials to do that no finished trial and no earlier calibration tells of.

    What fails is told and remembered, and does not end the rest; the next call tries it again. A Ctrl-C keeps what
    was timed before.
    """
    found: Estimate = plan.estimate
    device, threads = plan.machine.device, plan.suite.resources.cpus
    total = len(found.untimed) + len(found.unlooked)
    done = 0

    def keep(kind: Kind, what: str, timing: Timing) -> None:
        nonlocal done
        done += 1
        plan.calibration.keep(kind, timing.model_copy(update={"kind": kind.model_dump(mode="json")}))
        say(f"[{done}/{total}] {what}: {timing.error or outcome(timing)}")

    for training, spec in found.untimed:
        what = f"{spec.method} on {spec.network}, {spec.dataset}, batch {spec.batch_size}"
        keep(training, what, in_child(time_training, spec, device, threads))
    for look, spec in found.unlooked:
        what = f"looking through {look.extractor}, {spec.dataset}"
        keep(look, what, in_child(time_looking, look, spec.dataset, device, threads, data_dir))


def outcome(timing: Timing) -> str:
    """A timing for people."""
    if not timing.sample_seconds:
        return f"{1e3 * timing.seconds:.3g} ms an image"
    return f"{1e3 * timing.seconds:.3g} ms a step, {timing.peak_memory_mib:,.0f} MiB"
