"""Times one kind of trial for a few seconds, in a process of its own.

A process of its own has a peak of memory of its own, and when it dies, out of memory say, only that timing is lost.
All of them are forked from a server that has torch imported and nothing computed, so that each starts in no time.
"""

import gc
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.spec import TrialSpec
from benchmark.planning.cost_keys import CostKey, FeatureCostKey, training_cost_key
from benchmark.planning.estimate import Estimate
from benchmark.planning.plan import Plan
from benchmark.planning.timings import Timing
from benchmark.trials.build import build_trainer
from benchmark.trials.process import forget_peak_memory, peak_memory, thread_settings

IMAGES = 256  # made-up ones that are trained on
CLASSES = 10  # where only the files of a dataset would tell
SECONDS, STEPS = 2.0, 20  # a timing ends with whichever comes first
SLOW = 10.0  # seconds after which a first step, which should only warm up, counts
LOOK_BATCH = {"cpu": 32, "cuda": 64}  # images at once, a multiple of what published networks take at once there
LONG = 2**40  # steps: nobody trains so many

Task = Callable[..., Timing]


def time_training(spec: TrialSpec, device_name: str, threads: int) -> Timing:
    """Seconds of a training step and of a sample, and the peak of memory, of a trial on made-up images."""
    import torch

    device = torch.device(device_name)
    wait = torch.cuda.synchronize if device.type == "cuda" else _nothing
    with thread_settings(threads):
        forget_peak_memory(device)
        endless = spec.model_copy(update={"steps": LONG})
        trainer = build_trainer(endless, random_images(spec.dataset), device)
        steps = trainer.train_until(LONG)
        seconds = seconds_per_call(lambda: next(steps), wait)
        batch = spec.protocol.sample_batch
        sampling = seconds_per_call(lambda: list(trainer.samples(batch)), wait)
        peak = peak_memory(device)
    kind = training_cost_key(spec).model_dump(mode="json")
    return Timing(kind=kind, seconds=seconds, sample_seconds=sampling / batch, peak_memory_mib=round(peak, 1))


def time_features(look: FeatureCostKey, dataset: str, device_name: str, threads: int, data_dir: Path) -> Timing:
    """Seconds of one generated image's way through codec and extractor, and the memory that this takes."""
    import torch

    from benchmark.core import registry
    from benchmark.evaluation.codecs import apply_codec

    device, size = torch.device(device_name), LOOK_BATCH[device_name]
    wait = torch.cuda.synchronize if device.type == "cuda" else _nothing
    with thread_settings(threads), tempfile.TemporaryDirectory() as scratch:
        prepared = random_images(dataset)
        extractor_class = registry.extractors[look.extractor]
        path = extractor_class.prepare(prepared, Path(scratch), data_dir)
        gc.collect()
        forget_peak_memory(device)
        before = peak_memory(device)
        extractor = extractor_class(path, device)
        rng = np.random.default_rng(0)
        images = torch.from_numpy(rng.integers(0, 256, (size, *look.shape), dtype=np.uint8)).to(device)
        seconds = seconds_per_call(lambda: extractor(apply_codec(images, look.codec)), wait)
        peak = peak_memory(device) - before
    kind = look.model_dump(mode="json")
    return Timing(kind=kind, seconds=seconds / size, peak_memory_mib=round(max(peak, 0.0), 1))


def random_images(name: str) -> Any:
    """Random uint8 images with labels, as if a dataset of this shape had been prepared."""
    from benchmark.core import registry
    from benchmark.data.arrays import ArraySplit, PreparedData

    dataset = registry.datasets[name]
    channels, height, width = dataset.shape
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, channels // dataset.stacked, height, width), dtype=np.uint8)
    arrays = ArraySplit(images, np.arange(IMAGES) % (dataset.num_labels if dataset.num_labels > 0 else CLASSES))
    return PreparedData(Path(), arrays, arrays, {"dataset": "made up", "classes": CLASSES})


def seconds_per_call(play: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """Mean seconds of a call, after one or two that only warm up. `wait` returns when the device has done its work."""
    first = _timed(play, wait)
    if first > SLOW:
        return first
    _timed(play, wait)
    done, spent = 0, 0.0
    while done < STEPS and spent < SECONDS:
        spent += _timed(play, wait)
        done += 1
    return spent / done


def _timed(play: Callable[[], Any], wait: Callable[[], Any]) -> float:
    wait()
    start = time.perf_counter()
    play()
    wait()
    return time.perf_counter() - start


def _nothing() -> None:
    pass


def in_subprocess(task: Task, *arguments: Any) -> Timing:
    """What the task returns in a process of its own, or a timing that tells why it returned nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.planning.calibrate", "benchmark.trials.runner"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, task, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        found: Timing = receiver.recv()
    except EOFError:
        process.join()
        found = Timing(kind={}, error=_died(process.exitcode))
    finally:
        process.kill()
        process.join()
        receiver.close()
    return found


def _died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "did not fit into memory (the system killed it)"
    return f"the process died ({signal.Signals(-code).name if code and code < 0 else f'exit code {code}'})"


def _child(sender: Connection, task: Task, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the plan's, which ends this process
    try:
        found = task(*arguments)
    except Exception as problem:
        found = Timing(kind={}, error=_told(problem))
    with suppress(OSError):
        sender.send(found)


def _told(problem: Exception) -> str:
    text = " ".join(f"{type(problem).__name__}: {problem}".split())
    if isinstance(problem, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return f"did not fit into memory ({text[:200]})"
    return text[:300]


Say = Callable[[str], None]


def calibrate(plan: Plan, data_dir: Path, say: Say) -> None:
    """Time every kind of the trials to do that no finished trial and no earlier calibration tells of.

    What fails is told and remembered, and does not end the rest; the next call tries it again. A Ctrl-C keeps what
    was timed before.
    """
    found: Estimate = plan.estimate
    device, threads = plan.hardware.device, plan.suite.resources.cpus
    total = len(found.untimed_training) + len(found.untimed_features)
    done = 0

    def keep(kind: CostKey, what: str, timing: Timing) -> None:
        nonlocal done
        done += 1
        plan.calibration.save(kind, timing.model_copy(update={"kind": kind.model_dump(mode="json")}))
        say(f"[{done}/{total}] {what}: {timing.error or outcome(timing)}")

    for training, spec in found.untimed_training:
        what = f"{spec.method} on {spec.network}, {spec.dataset}, batch {spec.batch_size}"
        keep(training, what, in_subprocess(time_training, spec, device, threads))
    for look, spec in found.untimed_features:
        what = f"looking through {look.extractor}, {spec.dataset}"
        keep(look, what, in_subprocess(time_features, look, spec.dataset, device, threads, data_dir))


def outcome(timing: Timing) -> str:
    """A timing for people."""
    if not timing.sample_seconds:
        return f"{1e3 * timing.seconds:.3g} ms an image"
    return f"{1e3 * timing.seconds:.3g} ms a step, {timing.peak_memory_mib:,.0f} MiB"
