"""Pickled batches of images, read without running them.

A pickle is a program: `pickle.load` imports and calls what the file names, and also where that is restricted by
`find_class` a few bytes can ask for 64 GiB (a memo entry with a high number) or overflow the stack (the hash of a deep
tuple). Here the instructions are decoded by the standard library's `pickletools` and obeyed by a small machine that
knows numbers, words, lists, tuples, one dictionary and arrays of numbers. It imports nothing and calls nothing: four
names are understood as signs, every other one is refused. Words of Python 2 are read as Latin-1.
"""

import math
import pickletools
import warnings
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

from benchmark.core.errors import UserError

INSTRUCTIONS = 2_000_000  # 50,000 images with a name and two labels each take 200,000


class _Sign(Enum):
    MARK = "mark"
    ARRAY = "numpy.ndarray"
    DTYPE = "numpy.dtype"
    RECONSTRUCT = "_reconstruct"
    ENCODE = "_codecs.encode"


NAMES = {
    "numpy ndarray": _Sign.ARRAY,
    "numpy dtype": _Sign.DTYPE,
    "numpy.core.multiarray _reconstruct": _Sign.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _Sign.RECONSTRUCT,
    "_codecs encode": _Sign.ENCODE,
}
NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f4", "f8"}
PLAIN = (int, float, bool, str, bytes, type(None))


class _RefusedError(Exception):
    """What the file does that no batch of images does."""


class _Dtype:
    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "|"

    def build(self, state: Any) -> None:
        """Takes the byte order from (3, order, None, None, None, -1, -1, 0), as plain numbers have it."""
        if not (type(state) is tuple and len(state) == 8 and state[2:5] == (None, None, None)):
            raise _RefusedError("has an array of something else than plain numbers")
        if type(state[1]) is not str or state[1] not in ("<", ">", "|", "="):
            raise _RefusedError("has an array with an unknown byte order")
        self.order = state[1]


class _Array:
    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def build(self, state: Any, encoded: Callable[[Any], bytes]) -> None:
        """Takes shape, numbers and order from (1, shape, dtype, by columns, bytes)."""
        if not (type(state) is tuple and len(state) == 5 and type(state[2]) is _Dtype and type(state[1]) is tuple):
            raise _RefusedError("has an array of something else than plain numbers")
        shape, kind = state[1], np.dtype(state[2].order + state[2].code)
        if len(shape) > 8 or not all(type(n) is int and 0 < n < 2**40 for n in shape):
            raise _RefusedError("has an array with an impossible shape")
        content = encoded(state[4])
        if math.prod(shape) * kind.itemsize != len(content):
            raise _RefusedError(f"has an array of {len(content)} bytes where its shape says {shape}")
        self.value = np.frombuffer(content, kind).reshape(shape, order="F" if state[3] else "C")


class _Machine:
    """Obeys one instruction after the other. The memo is a dictionary, so a high number costs nothing."""

    def __init__(self, budget: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget  # how many bytes may come from words: not more than the file has

    def pop(self) -> Any:
        """The top of the stack, which is no mark."""
        if not self.stack or self.stack[-1] is _Sign.MARK:
            raise _RefusedError("takes more values than it made")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The top of the stack, left there, of this very type."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise _RefusedError(f"expects a {kind.__name__.lstrip('_').lower()} where there is none")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        """All above the last mark, which is taken away too."""
        found = []
        while self.stack and self.stack[-1] is not _Sign.MARK:
            found.append(self.stack.pop())
        if not self.stack:
            raise _RefusedError("takes more values than it made")
        self.stack.pop()
        return found[::-1]

    def remember(self, key: int | None) -> None:
        """Keep the top of the stack under this number, or the next one."""
        value = self.pop()
        self.stack.append(value)
        self.memo[len(self.memo) if key is None else key] = value

    def recall(self, key: int) -> None:
        """Put on the stack what was kept."""
        if key not in self.memo:
            raise _RefusedError("recalls a value that it did not keep")
        self.stack.append(self.memo[key])

    def tuple_of(self, n: int) -> None:
        """The n topmost values become one tuple."""
        self.stack.append(tuple([self.pop() for _ in range(n)][::-1]))

    def extend(self, items: list[Any]) -> None:
        """Append to the list on the stack."""
        self.top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        """Set items of the dictionary on the stack; only words are keys."""
        found = self.top(dict)
        if len(items) % 2 or any(type(key) is not str for key in items[::2]):
            raise _RefusedError("has a dictionary whose keys are not words")
        found.update(zip(items[::2], items[1::2], strict=True))

    def name(self, words: str) -> None:
        """The sign for 'module name'; anything else is refused and never looked up."""
        if words not in NAMES:
            raise _RefusedError(f"asks for {'.'.join(words.split(' '))[:80]!r}, which no array needs (it was not run)")
        self.stack.append(NAMES[words])

    def name_from_stack(self) -> None:
        """The same with module and name from the stack."""
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise _RefusedError("asks for something without a name")
        self.name(f"{module} {name}")

    def reduce(self) -> None:
        """What would be a call: an array or a dtype begins, or a word turns into bytes."""
        arguments, sign = self.pop(), self.pop()
        given = arguments if type(arguments) is tuple else ()
        if sign is _Sign.RECONSTRUCT and len(given) == 3 and given[0] is _Sign.ARRAY:
            self.stack.append(_Array())
        elif sign is _Sign.ENCODE and len(given) == 2 and type(given[1]) is str and given[1] in ("latin1", "latin-1"):
            self.stack.append(self.encoded(given[0]))
        elif sign is _Sign.DTYPE and given and type(given[0]) is str and given[0] in NUMBERS:
            self.stack.append(_Dtype(given[0]))
        else:
            raise _RefusedError("makes something else than an array of plain numbers")

    def build(self) -> None:
        """The array or the dtype on the stack takes its state."""
        state = self.pop()
        if self.stack and type(self.stack[-1]) is _Dtype:
            self.stack[-1].build(state)
        else:
            self.top(_Array).build(state, self.encoded)

    def encoded(self, value: Any) -> bytes:
        """Bytes, or a word as bytes: Python 2 kept arrays in words."""
        if type(value) is bytes:
            return value
        if type(value) is not str or len(value) > self.budget:
            raise _RefusedError("has an array that is not made of bytes")
        self.budget -= len(value)
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise _RefusedError("has an array that is not made of bytes") from None

    def push(self, value: Any) -> None:
        """One value more."""
        self.stack.append(value)


_PUSHED = """BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINSTRING BINSTRING SHORT_BINUNICODE BINUNICODE BINUNICODE8
SHORT_BINBYTES BINBYTES BINBYTES8"""
WITH_ARGUMENT: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHED.split(), _Machine.push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": _Machine.name,
}
ALONE: dict[str, Callable[[_Machine], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
    "NONE": lambda machine: machine.push(None),
    "NEWTRUE": lambda machine: machine.push(True),
    "NEWFALSE": lambda machine: machine.push(False),
    "MARK": lambda machine: machine.push(_Sign.MARK),
    "EMPTY_DICT": lambda machine: machine.push({}),
    "EMPTY_LIST": lambda machine: machine.push([]),
    "EMPTY_TUPLE": lambda machine: machine.push(()),
    "TUPLE": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "APPEND": lambda machine: machine.extend([machine.pop()]),
    "APPENDS": lambda machine: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine: machine.update([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine: machine.update(machine.pop_to_mark()),
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickled batch: arrays, lists of plain values, plain values.

    Raises UserError that begins with `where`, the name of the file, when it is anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # odd words, which Python is to refuse one day
            return _dictionary(content)
    except _RefusedError as error:
        problem = str(error)
    except (
        ValueError,
        MemoryError,
        DeprecationWarning,
    ) as error:  # what pickletools raises where the bytes are no instructions
        problem = f"is damaged: {str(error)[:200]}"
    raise UserError(f"{where}: is no pickled batch of images: {problem}; get the original file")


def _dictionary(content: bytes) -> dict[str, Any]:
    machine, end = _Machine(len(content)), 0
    for number, (code, argument, position) in enumerate(pickletools.genops(content)):
        if number >= INSTRUCTIONS:
            raise _RefusedError(f"has more than {INSTRUCTIONS:,} instructions")
        if code.name in WITH_ARGUMENT:
            WITH_ARGUMENT[code.name](machine, argument)
        elif code.name in ALONE:
            ALONE[code.name](machine)
        else:
            raise _RefusedError(f"has the instruction {code.name}, which no array needs (it was not run)")
        end = (position or 0) + 1
    if end != len(content):
        raise _RefusedError(f"ends after {end} of {len(content)} bytes")
    found = machine.top(dict)
    if len(machine.stack) != 1:
        raise _RefusedError("leaves values behind")
    return {key: _plain(key, value) for key, value in found.items()}


def _plain(key: str, value: Any) -> Any:
    """An array, a list of plain values or a plain value. Nothing nested, so nothing that contains itself."""
    if type(value) is _Array and value.value is not None:
        return value.value
    items = value if type(value) is list else [value]
    if not all(type(item) in PLAIN for item in items):
        raise _RefusedError(f"has neither an array nor plain values under {key[:40]!r}")
    return value
