"""Updates of players recorded as graphs on a CPU, which replays them without Python, autograd and allocations.

The step of a small network costs mostly calls: every operation passes Python, autograd, the dispatcher and the
allocator, and views are operations too. A recording keeps the operations of an update that compute something, together
with the tensors that they read and write. A replay calls them again, on the same memory. It runs the same kernels in
the same order as the eager update and draws the same random numbers, so that every number is bit-identical.

A Python number keeps the value that it had in the capture. Operations whose result Python must know, such as `item()`
or selecting by a mask, are therefore refused, as a GPU refuses them; `GraphedUpdates` then runs the update eagerly. A
graph holds all intermediate results of its update at once, so it needs more memory than the eager update.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from benchmark.training.player import Terms

REFUSED = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
FROM_THE_HOST = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::_local_scalar_dense", "aten::item")
UNINITIALISED = ("aten::empty", "aten::new_empty")  # without values: nothing to replay
OF_THE_OUTPUT = ("dtype", "layout", "device", "pin_memory")  # which a given output has


class RefusedError(RuntimeError):
    """The operation cannot be captured: the host must know its result, or it draws from another random stream."""


class RecordedGraphs:
    """A `GraphBackend` on a CPU. Its graphs draw from the given generators and share no memory."""

    def __init__(self, *generators: torch.Generator) -> None:
        self.generators = generators

    @contextmanager
    def warmup_stream(self) -> Iterator[None]:
        """Does nothing: a CPU has no streams."""
        yield

    def capture(self, work: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
        """Record work. It is executed, and what it changed is restored."""
        states, recording = [rng.get_state() for rng in self.generators], Recording(self.generators)
        try:
            with recording:
                terms = work()
        finally:
            for rng, state in zip(self.generators, states, strict=True):
                rng.set_state(state)
            recording.restore()
        return terms, compile_replay(recording.operations)


class Operation(NamedTuple):
    """A recorded operation. `outputs` are its results in new memory, None in place of all others."""

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    outputs: list[Tensor | None]


class Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations below autograd that are executed in its context."""

    def __init__(self, generators: tuple[torch.Generator, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generators = generators
        self.operations: list[Operation] = []
        self.allocated: set[int] = set()  # memory that the recorded work allocated
        self.kept: list[Tensor] = []  # so that no memory is allocated twice
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # earlier memory: a view of it, and its values

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Execute one operation, and record it if it computes something."""
        arguments, keywords = tree_map_only(Tensor, torch.Tensor.detach, (args, kwargs or {}))
        inputs = _tensors((arguments, keywords))
        self._refuse(function, inputs, keywords)
        for tensor in inputs:
            self._remember(tensor)
        result = function(*args, **(kwargs or {}))
        results, known = tree_flatten(result)[0], {_memory(tensor) for tensor in inputs}
        outputs = [r.detach() if isinstance(r, Tensor) and _memory(r) not in known else None for r in results]
        self.allocated |= {_memory(tensor) for tensor in outputs if tensor is not None}
        uninitialised = function._schema.name.startswith(UNINITIALISED)
        # A view needs no replay. Batch norm writes to its arguments, which its schema does not say.
        if not uninitialised and (function._schema.is_mutable or any(output is not None for output in outputs)):
            self.operations.append(Operation(function, arguments, keywords, outputs))
        self.kept += [*inputs, *_tensors(result)]
        return result

    def _refuse(self, function: Any, inputs: list[Tensor], keywords: Any) -> None:
        """Raise RefusedError if a replay of the operation would not do what the eager operation does."""
        name, tags = function._schema.name, set(function.tags)
        by_index = name == "aten::index" and all(t.dtype is torch.int64 for t in inputs[1:])  # not by a mask
        if name in FROM_THE_HOST or (tags & REFUSED and not by_index):
            raise RefusedError(f"{name} needs the host")
        if torch.Tag.nondeterministic_seeded in tags and not self._is_ours(keywords.get("generator")):
            raise RefusedError(f"{name} draws from another stream than the training's")

    def _is_ours(self, generator: torch.Generator | None) -> bool:
        """torch passes another object for the same generator."""
        return generator is not None and any(_identity(generator) == _identity(rng) for rng in self.generators)

    def _remember(self, tensor: Tensor) -> None:
        address = _memory(tensor)
        if address not in self.allocated and address not in self.before and tensor.numel():
            content = _all_bytes(tensor)
            self.before[address] = content, content.clone()

    def restore(self) -> None:
        """Give all memory that existed before the recording the values that it had."""
        for content, values in self.before.values():
            content.copy_(values)
        self.before.clear()


def compile_replay(operations: list[Operation]) -> Callable[[], None]:
    """A function that executes the operations again, writing their outputs to the memory of the first time.

    It is compiled from one line of Python for each operation, whose constants are its default arguments: a loop over
    operations would cost more than most of them.
    """
    constants: dict[str, Any] = {}

    def name_of(value: Any) -> str:
        name = f"x{len(constants)}"
        constants[name] = value
        return name

    def call(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
        values = [name_of(value) for value in arguments]
        values += [f"{key}={name_of(value)}" for key, value in keywords.items()]
        return f"{name_of(function)}({', '.join(values)})"

    lines = []
    for operation in operations:
        function, arguments, keywords, outputs = operation
        if not any(output is not None for output in outputs):
            lines.append(call(function, arguments, keywords))
        elif in_place := _writing_to_outputs(operation):
            lines.append(call(in_place[0], arguments, in_place[1]))
        else:
            lines.append(f"{name_of(_copy)}({name_of(outputs)}, {call(function, arguments, keywords)})")
    parameters = ", ".join(f"{name}={name}" for name in constants)
    source = "\n    ".join([f"def replay({parameters}):", *lines, "return None"])
    namespace = dict(constants)
    exec(compile(source, "<recorded update>", "exec"), namespace)  # only names that are made here
    replay: Callable[[], None] = torch.no_grad()(namespace["replay"])
    return replay


def _writing_to_outputs(operation: Operation) -> tuple[Any, dict[str, Any]] | None:
    """The overload of an operation that writes to given outputs, and its keywords; None if there is none."""
    function, _, keywords, outputs = operation
    wanted = [(a.name, str(a.type)) for a in function._schema.arguments]
    without_options = [(name, kind) for name, kind in wanted if name not in OF_THE_OUTPUT]
    for variant in function._overloadpacket.overloads():
        overload = getattr(function._overloadpacket, variant)
        out = [a.name for a in overload._schema.arguments if a.is_out]
        inputs = [(a.name, str(a.type)) for a in overload._schema.arguments if not a.is_out]
        if len(out) == len(outputs) and None not in outputs and inputs in (wanted, without_options):
            names = {name for name, _ in inputs}
            given = {key: value for key, value in keywords.items() if key in names}
            return overload, given | dict(zip(out, outputs, strict=True))
    return None


def _copy(outputs: list[Tensor | None], result: Any) -> None:
    for output, value in zip(outputs, tree_flatten(result)[0], strict=True):
        if output is not None:
            output.copy_(value)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, Tensor)]


def _identity(generator: torch.Generator) -> int:
    address: int = generator._cdata  # type: ignore[attr-defined]
    return address


def _memory(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _all_bytes(tensor: Tensor) -> Tensor:
    """The whole memory that a tensor is a view of, as bytes."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
