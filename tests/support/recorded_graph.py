"""A graph backend on a CPU that does what CUDA graphs do, and refuses what they refuse.

During a capture, every operation that reaches a device is recorded together with the tensors that it works on. It is
also executed, so that the next operation has inputs; afterwards all tensors that existed before get their values back.
A replay executes the recorded operations again, on the same memory. A Python number therefore keeps the value that it
had at the capture, as in a CUDA graph. An operation whose result the host must know is refused: an update that can be
recorded here never waits for a device.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from benchmark.training.trainer import Trainer

REFUSED = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
FROM_THE_HOST = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::_local_scalar_dense", "aten::item")
UNINITIALISED = ("aten::empty", "aten::new_empty")  # without values: nothing to replay


class RefusedError(RuntimeError):
    """A GPU cannot capture this operation."""


class RecordedGraphs:
    """A `GraphBackend` on a CPU."""

    def __init__(self, *generators: torch.Generator) -> None:
        self.generators = generators
        self.captures = self.replays = 0
        self.last: dict[str, Tensor] = {}  # what the last replay returned

    @contextmanager
    def warmup_stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        states, recording = [rng.get_state() for rng in self.generators], _Recording(self.generators)
        try:
            with recording:
                terms = work()
        finally:
            for rng, state in zip(self.generators, states, strict=True):
                rng.set_state(state)
            recording.restore()
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            for value in self.last.values():
                value.fill_(torch.nan)  # graphs share memory: the next one may overwrite it
            recording.replay()
            self.last = terms

        return terms, replay


class _Operation(NamedTuple):
    """A recorded operation. `outputs` are the results in new memory, None for all others."""

    function: Any
    arguments: Any
    keywords: Any
    outputs: list[Tensor | None]


class _Recording(TorchDispatchMode):
    def __init__(self, generators: tuple[torch.Generator, ...]) -> None:
        super().__init__()
        self.generators = generators
        self.operations: list[_Operation] = []
        self.allocated: set[int] = set()  # memory that the captured work allocated
        self.kept: list[Tensor] = []  # so that no memory is allocated twice
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # earlier memory: a view of it, and its values

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
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
        if not uninitialised and (function._schema.is_mutable or any(m is not None for m in outputs)):
            self.operations.append(_Operation(function, arguments, keywords, outputs))
        self.kept += [*inputs, *_tensors(result)]
        return result

    def _refuse(self, function: Any, inputs: list[Tensor], keywords: Any) -> None:
        name, tags = function._schema.name, set(function.tags)
        by_index = name == "aten::index" and all(t.dtype is torch.int64 for t in inputs[1:])  # not by a mask
        if name in FROM_THE_HOST or (tags & REFUSED and not by_index):
            raise RefusedError(f"{name} needs the host")
        if torch.Tag.nondeterministic_seeded in tags and not self._is_ours(keywords.get("generator")):
            raise RefusedError(f"{name} draws from another stream than the training's")

    def _is_ours(self, generator: torch.Generator | None) -> bool:
        """torch passes another object for the same generator."""
        return generator is not None and any(generator._cdata == rng._cdata for rng in self.generators)

    def _remember(self, tensor: Tensor) -> None:
        address = _memory(tensor)
        if address not in self.allocated and address not in self.before and tensor.numel():
            content = _all_bytes(tensor)
            self.before[address] = content, content.clone()

    def restore(self) -> None:
        for content, values in self.before.values():
            content.copy_(values)

    @torch.no_grad()
    def replay(self) -> None:
        for function, arguments, keywords, outputs in self.operations:
            results = tree_flatten(function(*arguments, **keywords))[0]
            for output, result in zip(outputs, results, strict=True):
                if output is not None:
                    output.copy_(result)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _all_bytes(tensor: Tensor) -> Tensor:
    """The whole memory that a tensor is a view of, as bytes."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())


def with_graphs(eager: Trainer, graph_backend: Any = RecordedGraphs) -> Trainer:
    """The same untrained trainer, but with captured updates."""
    return Trainer(
        eager.spec,
        eager.method,
        images=eager.images,
        image_range=eager.image_range,
        device=eager.device,
        graph_backend=graph_backend,
    )
