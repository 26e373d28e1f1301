"""Stands in for CUDA graphs on a CPU: what they would do, and what they would refuse.

While a turn is captured, every operation that reaches a device is noted with the very tensors that it worked on. It is
carried out, too, so that the next one has something to work on; afterwards everything that was there before has its
numbers back. A replay does the noted operations again, on the same memory. So a number that Python knew at the time of
the capture stays as it was, as in a graph, and what a device would have to tell the host is refused: a step that can be
recorded here waits for no device.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

REFUSED = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
FROM_THE_HOST = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::_local_scalar_dense", "aten::item")
UNTIL_WRITTEN = ("aten::empty", "aten::new_empty")  # memory without numbers: nothing to do again


class RefusedError(RuntimeError):
    """A GPU could not capture this."""


class RecordedGraphs:
    """A `GraphBackend` on a CPU."""

    def __init__(self, *streams: torch.Generator) -> None:
        self.streams = streams
        self.captures = self.replays = 0
        self.last: dict[str, Tensor] = {}  # what the last replay returned

    @contextmanager
    def warmup_stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        states, recording = [rng.get_state() for rng in self.streams], _Recording(self.streams)
        try:
            with recording:
                terms = work()
        finally:
            for rng, state in zip(self.streams, states, strict=True):
                rng.set_state(state)
            recording.put_back()
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            for value in self.last.values():
                value.fill_(torch.nan)  # graphs share memory: the next one may work there
            recording.replay()
            self.last = terms

        return terms, replay


class _Operation(NamedTuple):
    """`made`: the results with memory of their own, or None for what is none."""

    function: Any
    arguments: Any
    keywords: Any
    made: list[Tensor | None]


class _Recording(TorchDispatchMode):
    def __init__(self, streams: tuple[torch.Generator, ...]) -> None:
        super().__init__()
        self.streams = streams
        self.operations: list[_Operation] = []
        self.made: set[int] = set()  # memory that the captured work allocated
        self.kept: list[Tensor] = []  # so that no memory is given out twice
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # memory from before: a view of it, and its numbers

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments, keywords = tree_map_only(Tensor, torch.Tensor.detach, (args, kwargs or {}))
        given = _tensors((arguments, keywords))
        self._refuse(function, given, keywords)
        for tensor in given:
            self._remember(tensor)
        found = function(*args, **(kwargs or {}))
        results, there = tree_flatten(found)[0], {_memory(tensor) for tensor in given}
        made = [r.detach() if isinstance(r, Tensor) and _memory(r) not in there else None for r in results]
        self.made |= {_memory(tensor) for tensor in made if tensor is not None}
        uninitialised = function._schema.name.startswith(UNTIL_WRITTEN)
        # What only looks at memory in another way needs no replay; batch norm writes to its arguments in secret.
        if not uninitialised and (function._schema.is_mutable or any(m is not None for m in made)):
            self.operations.append(_Operation(function, arguments, keywords, made))
        self.kept += [*given, *_tensors(found)]
        return found

    def _refuse(self, function: Any, given: list[Tensor], keywords: Any) -> None:
        name, tags = function._schema.name, set(function.tags)
        by_place = name == "aten::index" and all(t.dtype is torch.int64 for t in given[1:])  # and not by a mask
        if name in FROM_THE_HOST or (tags & REFUSED and not by_place):
            raise RefusedError(f"{name} needs the host")
        if torch.Tag.nondeterministic_seeded in tags and not self._is_ours(keywords.get("generator")):
            raise RefusedError(f"{name} draws from another stream than the training's")

    def _is_ours(self, generator: torch.Generator | None) -> bool:
        """torch hands over another object that stands for the same generator."""
        return generator is not None and any(generator._cdata == rng._cdata for rng in self.streams)

    def _remember(self, tensor: Tensor) -> None:
        place = _memory(tensor)
        if place not in self.made and place not in self.before and tensor.numel():
            whole = _whole(tensor)
            self.before[place] = whole, whole.clone()

    def put_back(self) -> None:
        for whole, numbers in self.before.values():
            whole.copy_(numbers)

    @torch.no_grad()
    def replay(self) -> None:
        for function, arguments, keywords, made in self.operations:
            results = tree_flatten(function(*arguments, **keywords))[0]
            for place, result in zip(made, results, strict=True):
                if place is not None:
                    place.copy_(result)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _whole(tensor: Tensor) -> Tensor:
    """All bytes of the memory that a tensor is a view of."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
