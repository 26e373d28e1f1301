"""Short timings of the work that a plan cannot estimate yet, each in a process of its own.

A separate process has its own peak of memory, and if it dies, for example out of memory, only that timing is lost. The
processes are forked from a server that has imported torch and computed nothing, so that each starts quickly.
"""

import gc
import logging
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
from benchmark.data.arrays import stored_dtype
from benchmark.planning.cost_keys import CostKey, FeatureCostKey, training_cost_key
from benchmark.planning.plan import Plan
from benchmark.planning.timings import Timing
from benchmark.trials.build import build_trainer
from benchmark.trials.process import forget_peak_memory, peak_memory, thread_settings

NUM_IMAGES = 256  # random ones that are trained on
NUM_CLASSES = 10  # of datasets whose files define their classes
MAX_SECONDS, MAX_CALLS = 2.0, 20  # a timing ends with whichever comes first
SLOW_SECONDS = 10.0  # a first call that takes longer counts, rather than only warming up
FEATURE_BATCH = {"cpu": 32, "cuda": 64}  # images, a multiple of the batch of published networks on each device
ENDLESS = 2**40  # training steps, more than any trial takes

logger = logging.getLogger(__name__)
TimingTask = Callable[..., Timing]


def calibrate(plan: Plan, data_dir: Path) -> None:
    """Time everything that the trials to do need and that no finished trial and no earlier calibration tells.

    A failure is logged and saved, does not end the others, and is tried again by the next call. Timings are saved as
    they finish, so an interrupt loses none of them.
    """
    estimate = plan.estimate
    device, threads = plan.hardware.device, plan.suite.resources.cpus
    tasks: list[tuple[CostKey, str, TimingTask, tuple[Any, ...]]] = [
        (key, f"{spec.method} on {spec.network}, {spec.dataset}, batch {spec.batch_size}", time_training, (spec,))
        for key, spec in estimate.untimed_training
    ]
    tasks += [
        (key, f"features of {key.extractor}, {spec.dataset}", time_features, (data_dir, key, spec.dataset))
        for key, spec in estimate.untimed_features
    ]
    for number, (key, name, task, arguments) in enumerate(tasks, 1):
        timing = in_subprocess(task, *arguments, device, threads)
        plan.calibration.save(key, timing.model_copy(update={"kind": key.model_dump(mode="json")}))
        logger.info("[%d/%d] %s: %s", number, len(tasks), name, timing.error or format_timing(timing))


def format_timing(timing: Timing) -> str:
    """A timing for people."""
    if "extractor" in timing.kind:
        return f"{1e3 * timing.seconds:.3g} ms per sample"
    return f"{1e3 * timing.seconds:.3g} ms per step, {timing.peak_memory_mib:,.0f} MiB"


def time_training(spec: TrialSpec, device_name: str, threads: int) -> Timing:
    """Time a trial's training step and sampling on random images, and measure its peak memory."""
    import torch

    device = torch.device(device_name)
    with thread_settings(threads):
        forget_peak_memory(device)
        endless = spec.model_copy(update={"steps": ENDLESS})
        trainer = build_trainer(endless, random_images(spec.dataset), device)
        steps = trainer.train_until(ENDLESS)
        seconds = seconds_per_call(lambda: next(steps), _synchronise(device))
        batch, sampling = spec.protocol.sample_batch, 0.0
        if trainer.method.has_generator:
            sampling = seconds_per_call(lambda: list(trainer.samples(batch)), _synchronise(device))
        peak = peak_memory(device)
    kind = training_cost_key(spec).model_dump(mode="json")
    return Timing(kind=kind, seconds=seconds, sample_seconds=sampling / batch, peak_memory_mib=round(peak, 1))


def time_features(data_dir: Path, key: FeatureCostKey, dataset: str, device_name: str, threads: int) -> Timing:
    """Time the codec and the extractor on one generated image, and measure the memory that they add."""
    import torch

    from benchmark.core import registry
    from benchmark.evaluation.codecs import apply_codec

    device, size = torch.device(device_name), FEATURE_BATCH[device_name]
    with thread_settings(threads), tempfile.TemporaryDirectory() as scratch:
        extractor_class = registry.extractors[key.extractor]
        path = extractor_class.prepare(random_images(dataset), Path(scratch), data_dir)
        gc.collect()
        forget_peak_memory(device)
        before = peak_memory(device)
        extractor = extractor_class(path, device)
        images = torch.from_numpy(random_samples((size, *key.shape))).to(device)
        seconds = seconds_per_call(lambda: extractor(apply_codec(images, key.codec)), _synchronise(device))
        peak = peak_memory(device) - before
    kind = key.model_dump(mode="json")
    return Timing(kind=kind, seconds=seconds / size, peak_memory_mib=round(max(peak, 0.0), 1))


def random_images(name: str) -> Any:
    """Random images or points, and labels, as if a dataset of this shape had been prepared."""
    from benchmark.core import registry
    from benchmark.data.arrays import ArraySplit, PreparedData

    dataset = registry.datasets[name]
    images = random_samples((NUM_IMAGES, dataset.shape[0] // dataset.stacked, *dataset.shape[1:]))
    labels = np.arange(NUM_IMAGES) % (dataset.num_labels if dataset.num_labels > 0 else NUM_CLASSES)
    split = ArraySplit(images, labels)
    return PreparedData(Path(), split, split, {"dataset": "random", "classes": NUM_CLASSES})


def random_samples(shape: tuple[int, ...]) -> np.ndarray:
    """uint8 images of random pixels (N, C, H, W), or normal points (N, D), as they are stored."""
    rng, dtype = np.random.default_rng(0), stored_dtype(shape[1:])
    return rng.integers(0, 256, shape, dtype) if dtype == np.uint8 else rng.standard_normal(shape, dtype)


def seconds_per_call(call: Callable[[], Any], synchronise: Callable[[], Any]) -> float:
    """Mean seconds of a call after two that warm up, or those of the first if it is slow.

    `synchronise` returns when the device has finished its work.
    """

    def seconds() -> float:
        synchronise()
        start = time.perf_counter()
        call()
        synchronise()
        return time.perf_counter() - start

    first = seconds()
    if first > SLOW_SECONDS:
        return first
    seconds()
    calls, total = 0, 0.0
    while calls < MAX_CALLS and total < MAX_SECONDS:
        total += seconds()
        calls += 1
    return total / calls


def _synchronise(device: Any) -> Callable[[], Any]:
    import torch

    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def in_subprocess(task: TimingTask, *arguments: Any) -> Timing:
    """The timing that the task returns in a process of its own, or one whose `error` says why there is none."""
    context = multiprocessing.get_context("forkserver")
    # torch's optimisers import torch._dynamo when the first is built, which takes seconds.
    context.set_forkserver_preload(["benchmark.planning.calibrate", "benchmark.trials.runner", "torch._dynamo"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_task, args=(sender, task, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        timing: Timing = receiver.recv()
    except EOFError:
        process.join()
        timing = Timing(kind={}, error=_death_message(process.exitcode))
    finally:
        process.kill()
        process.join()
        receiver.close()
    return timing


def _run_task(sender: Connection, task: TimingTask, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the plan, which ends this process
    try:
        timing = task(*arguments)
    except Exception as error:
        timing = Timing(kind={}, error=_error_message(error))
    with suppress(OSError):
        sender.send(timing)


def _death_message(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "did not fit into memory (the system killed it)"
    died_of = signal.Signals(-exit_code).name if exit_code and exit_code < 0 else f"exit code {exit_code}"
    return f"the process died ({died_of})"


def _error_message(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return f"did not fit into memory ({text[:200]})"
    return text[:300]
