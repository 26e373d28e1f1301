"""Pickled batches of images, read without executing what else a pickle may contain.

`pickle.load` imports and calls any function that the file names. Here `find_class` knows the few names that arrays of
numbers need and maps each to a harmless stand-in of this module; it refuses every other name. This prevents code
execution, not a file that exhausts the memory: obtain batches from their owners. CIFAR batches are compared with their
published MD5 first. For ImageNet 32x32, whose pickles have no published checksum, the .npz release has one.
"""

import io
import pickle
from typing import Any

import numpy as np

from benchmark.core.errors import UserError

NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f4", "f8"}


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in NUMBERS:
            raise pickle.UnpicklingError(f"has an array of {str(code)[:20]!r}, expected plain numbers")
        self.code, self.byte_order = code, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = state[1]


class _Array:
    """Stands in for numpy.ndarray; `value` is the array once its state has been read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, str):  # Python 2 wrote arrays as strings
            content = content.encode("latin-1")
        array = np.frombuffer(content, np.dtype(dtype.byte_order + dtype.code))
        self.value = array.reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin-1")


ALLOWED = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "_codecs.encode": _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in ALLOWED:
            raise pickle.UnpicklingError(f"asks for {full_name[:80]!r}, which no array needs (it was not executed)")
        return ALLOWED[full_name]


def read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickled batch, with its arrays as NumPy arrays. Python 2 strings are read as Latin-1.

    Raises UserError, naming the file `where`, if the file is damaged, holds anything else or asks for other names.
    """
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(batch, dict) or not all(isinstance(key, str) for key in batch):
            raise pickle.UnpicklingError("holds no dictionary of strings")
    except Exception as error:  # damaged bytes make the unpickler raise nearly any type
        problem = str(error)[:200] or type(error).__name__
        raise UserError(f"{where}: is not a pickled batch of images: {problem}; get the original file") from None
    return {key: value.value if isinstance(value, _Array) else value for key, value in batch.items()}
