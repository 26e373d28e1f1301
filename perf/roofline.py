"""What a step has to do, how fast this machine can at the most, and where the time goes.

Operations are those that torch counts of convolutions and matrix products. Bytes are those that all operations of a
step read and write, each operand once, as if none stayed in a cache: a step whose bytes come faster than memory can
give them has them from there.
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
    """Of a step: floating-point operations, a product and its sum being two, and bytes read and written."""

    operations: float
    bytes: float


def counted(step: Step) -> Work:
    """What a step does."""
    counter = _Counter()  # type: ignore[no-untyped-call]
    with counter:
        step()
    return Work(counter.operations, counter.bytes)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """By torch's own formulas. torch's FlopCounterMode follows modules too, and fails where a loss holds a gradient."""

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
            # of what was expanded only what there is
            self.bytes += sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in tensors.values())
        return out


def limits(
    precisions: Sequence[Precision], repeats: int, size: int, device: torch.device = CPU
) -> dict[str, dict[str, float]]:
    """GFLOP/s that a large matrix product and a 3x3 convolution of 4 `size` / 32 maps reach; the best of repeats."""
    found: dict[str, dict[str, float]] = {}
    for name in precisions:
        like: Any = {"dtype": DTYPES[name], "device": device}
        square = torch.randn(size, size, **like)
        maps = size // 4
        x = torch.randn(16, maps, 16, 16, **like).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(maps, maps, 3, 3, **like)
        with tf32_mode(name, device):
            product = _best(partial(torch.matmul, square, square), repeats, device)
            convolution = _best(partial(F.conv2d, x, weight, padding=1), repeats, device)
        found[name] = {
            "matrix product": 2 * size**3 / product / 1e9,
            "convolution": 18 * 16 * 256 * maps**2 / convolution / 1e9,
        }
    return found


def bandwidth(repeats: int, mib: int, device: torch.device = CPU) -> float:
    """GB/s, read and written, of a copy of so many MiB; the best of repeats."""
    one = torch.zeros(mib << 20, dtype=torch.uint8, device=device)
    other = torch.ones_like(one)
    return 2 * one.nbytes / _best(partial(other.copy_, one), repeats, device) / 1e9


def _best(work: Callable[[], Tensor], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest repeat, after one that warms up."""
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
    "copies, padding, turns": (
        "aten::copy_",
        "aten::cat",
        "aten::flip",
        "aten::fill_",
        "aten::index",
        "aten::constant",
    ),
    "optimiser": ("aten::_fused_adam_", "aten::addcdiv", "aten::addcmul", "aten::lerp"),
}
OTHER = "everything else"


def group_of(operation: str) -> str:
    """The group that an operation of the profiler belongs to, its backward included."""
    return next((group for group, names in GROUPS.items() if operation.startswith(names)), OTHER)


def profiled(step: Step, device: torch.device = CPU) -> dict[str, float]:
    """Share of a step's time by group of operations: of the device's time, which on a GPU is not the host's."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        step()
        synchronize(device)
    times = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for event in found.key_averages():
        if event.device_type.name == "CPU":  # an operation, with what it took on a GPU; and no kernel of its own
            times[group_of(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    total = sum(times.values())
    return {group: spent / total for group, spent in times.items()}
