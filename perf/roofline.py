"""The work of a step, the limits of this machine, and the share of each group of operations.

Floating-point operations are those of convolutions and matrix products, counted with torch's formulas. Bytes are those
that all operations read and write, each operand once per operation, as if nothing stayed in a cache: if a step moves
more bytes per second than memory can, the rest comes from caches.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

from benchmark.core.precision import tf32_mode
from benchmark.core.spec import Precision
from benchmark.trials.process import synchronize

CPU = torch.device("cpu")
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}

Step = Callable[[], None]


class Work(NamedTuple):
    """The work of a step: floating-point operations (a multiply-add is two) and bytes read and written."""

    operations: float
    bytes: float


def count_work(step: Step) -> Work:
    """Run a step and count its work."""
    counter = _Counter()  # type: ignore[no-untyped-call]
    with counter:
        step()
    return Work(counter.operations, counter.bytes)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Like torch's FlopCounterMode, which also tracks modules and fails if a loss contains a gradient."""

    operations = 0
    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula:
            self.operations += int(formula(*args, **(kwargs or {}), out_val=out))
        if not func.is_view and not func._schema.name.startswith("aten::empty"):
            tensors = {id(t): t for t in tree_flatten((args, kwargs, out))[0] if isinstance(t, Tensor)}
            # An expanded tensor counts with the size of its storage.
            self.bytes += sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in tensors.values())
        return out


def measure_limits(
    precisions: Sequence[Precision], repeats: int, size: int, device: torch.device = CPU
) -> dict[str, dict[str, float]]:
    """The best GFLOP/s, by precision, of a matrix product of side `size` and a 3x3 convolution of size / 4 maps."""
    limits: dict[str, dict[str, float]] = {}
    for name in precisions:
        tensor_options: Any = {"dtype": DTYPES[name], "device": device}
        square = torch.randn(size, size, **tensor_options)
        maps = size // 4
        x = torch.randn(16, maps, 16, 16, **tensor_options).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(maps, maps, 3, 3, **tensor_options)
        with tf32_mode(name, device):
            product = _best_seconds(partial(torch.matmul, square, square), repeats, device)
            convolution = _best_seconds(partial(F.conv2d, x, weight, padding=1), repeats, device)
        limits[name] = {
            "matrix product": 2 * size**3 / product / 1e9,
            "convolution": 18 * 16 * 256 * maps**2 / convolution / 1e9,
        }
    return limits


def measure_bandwidth(repeats: int, mib: int, device: torch.device = CPU) -> float:
    """GB/s, read and written, of a copy of `mib` MiB; the best of repeats."""
    source = torch.zeros(mib << 20, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * source.nbytes / _best_seconds(partial(target.copy_, source), repeats, device) / 1e9


def _best_seconds(work: Callable[[], Tensor], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest repeat, after a warm-up."""
    seconds = []
    with torch.no_grad():
        for _ in range(1 + repeats):
            synchronize(device)
            start = time.perf_counter()
            work()
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


GROUPS = {
    "convolutions": ("aten::mkldnn_convolution", "aten::_convolution", "aten::convolution", "aten::thnn_conv2d"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::addmv", "aten::mv", "aten::dot"),
    "batch norm": ("aten::native_batch_norm", "aten::_native_batch_norm"),
    "pooling and interpolation": ("aten::avg_pool2d", "aten::upsample", "aten::replication_pad2d"),
    "copies, padding, rotations": (
        "aten::copy_",
        "aten::cat",
        "aten::flip",
        "aten::fill_",
        "aten::index",
        "aten::constant",
    ),
    "optimiser": ("aten::_fused_adam_", "aten::addcdiv", "aten::addcmul", "aten::lerp"),
}
OTHER = "other"


def group_of(operation: str) -> str:
    """The group of an operation of the profiler, or of its backward pass."""
    return next((group for group, names in GROUPS.items() if operation.startswith(names)), OTHER)


def profile_step(step: Step, device: torch.device = CPU) -> dict[str, float]:
    """Share of a step's time on the device, by group of operations."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        step()
        synchronize(device)
    times = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for event in profiler.key_averages():
        if event.device_type.name == "CPU":  # an operation, with the time of its kernels on a GPU
            times[group_of(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    total = sum(times.values())
    return {group: spent / total for group, spent in times.items()}
