"""Batches are unpickled without executing code: anything else than arrays and plain values is refused."""

import builtins
import os
import pickle
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.data.raw.pickle_reader import read_pickle

WHERE = "/data/train_data_batch_1"
BATCH = {
    "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "labels": [3, 1, 0, 2],
    "filenames": ["a.png", "b.png", "c.png", "d.png"],
    "batch_label": "training batch 1 of 5",
}


def python2_pickle(batch):
    """A pickle as Python 2 writes it with protocol 2: strings have no encoding, and arrays are such strings."""
    items = b"".join(_python2(key) + _python2(value) for key, value in batch.items())
    return b"\x80\x02}q\x00(" + items + b"u."


def _python2(value):
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin-1")
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, list):
        return b"](" + b"".join(_python2(item) for item in value) + b"e"
    begin = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    shape = b"".join(_python2(n) for n in value.shape)
    dtype = b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = value.tobytes()
    return begin + b"(K\x01(" + shape + b"t" + dtype + b"\x89T" + len(content).to_bytes(4, "little") + content + b"tb"


def refused(content):
    with pytest.raises(UserError) as raised:
        read_pickle(content, WHERE)
    message = str(raised.value)
    assert message.startswith(f"{WHERE}: is not a pickled batch of images: ")
    assert message.endswith("; get the original file")
    assert len(message) < 500
    return message


def assert_same(batch, expected):
    assert batch.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, np.ndarray):
            assert batch[key].dtype == value.dtype
            np.testing.assert_array_equal(batch[key], value)
        else:
            assert batch[key] == value


def test_a_batch_of_python_2_is_read_as_pickle_reads_it():
    content = python2_pickle(BATCH)
    assert_same(read_pickle(content, WHERE), pickle.loads(content, encoding="latin1"))
    assert_same(read_pickle(content, WHERE), BATCH)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_batch_of_python_3_is_read(protocol):
    assert_same(read_pickle(pickle.dumps(BATCH, protocol), WHERE), BATCH)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i4", "<u8", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_every_dtype_and_order_are_read(dtype, order, protocol):
    value = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    assert_same(read_pickle(pickle.dumps({"mean": value}, protocol), WHERE), {"mean": value})


def test_the_older_name_of_numpys_module_is_accepted():
    content = pickle.dumps(BATCH, 3)
    assert b"numpy._core" in content
    assert_same(read_pickle(content.replace(b"numpy._core", b"numpy.core"), WHERE), BATCH)


# --- code execution ------------------------------------------------------------------------------------


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["whole", "value", "item", "array"])
def test_a_pickle_that_calls_a_function_executes_nothing(tmp_path, protocol, place):
    mark = tmp_path / "executed"
    for calls in (
        Calls(os.system, f"touch '{mark}'"),
        Calls(builtins.eval, f"open({str(mark)!r}, 'w')"),
        Calls(builtins.exec, f"open({str(mark)!r}, 'w')"),
        Calls(subprocess.Popen, ["touch", str(mark)]),
        Calls(open, str(mark), "w"),
        Calls(np.save, str(mark), 1),
        Calls(np.memmap, str(mark), "u1", "w+", 0, (4,)),
        Calls(__import__, "antigravity"),
    ):
        batch = {"whole": calls, "value": {"data": calls}, "item": {"labels": [1, calls]}}
        batch["array"] = {"data": np.array([calls, calls], object)}
        assert "it was not executed" in refused(pickle.dumps(batch[place], protocol)) or place == "array"
        assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'true'\no.", "os.system"),
        (b"cnumpy.f2py.crackfortran\nmyeval\n(S'1'\ntR.", "numpy.f2py.crackfortran.myeval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ctestmod.eval\x93.", "numpy.testmod.eval"),
    ],
)
def test_a_name_that_no_array_needs_is_refused_by_each_instruction(content, name):
    assert f"asks for '{name}', which no array needs (it was not executed)" in refused(content)


@pytest.mark.parametrize("content", [b"\x80\x02\x82\x01.", b"P7\n.", b"U\x017Q.", b"c_codecs\nencode\n(tR."])
def test_extensions_and_persistent_ids_are_refused(content):
    refused(content)


# --- wrong contents ------------------------------------------------------------------------------------


def array_with_state(array, **changes):
    """A pickle of the array with parts of its state replaced."""
    _, _, (version, shape, dtype, is_fortran, content) = array.__reduce__()
    state = {"version": version, "shape": shape, "dtype": dtype, "order": is_fortran, "content": content} | changes

    class Crafted:
        def __reduce__(self):
            return (*array.__reduce__()[:2], tuple(state.values()))

    return pickle.dumps({"data": Crafted()}, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (5,)},
        {"shape": (2**62, 4)},
        {"shape": (4.0,)},
        {"shape": (1,) * 70 + (4,)},
        {"dtype": np.dtype(object)},
        {"dtype": np.dtype([("a", "u1")])},
        {"dtype": np.dtype("V1")},
        {"dtype": np.dtype("M8[s]")},
        {"dtype": "u1"},
        {"content": [1, 2, 3, 4]},
        {"content": "abcd€"},
        {"content": None},
        {"content": b"abc"},
    ],
    ids=str,
)
def test_an_array_with_a_crafted_state_is_refused(changes):
    refused(array_with_state(np.arange(4, dtype=np.uint8), **changes))


@pytest.mark.parametrize("value", [{1: 2}, [1, 2], "text", None, np.arange(3), {"a": {1, 2}}, {"a": 1j}], ids=str)
@pytest.mark.parametrize("protocol", [0, 2])
def test_anything_but_a_dictionary_of_arrays_and_plain_values_is_refused(value, protocol):
    refused(pickle.dumps(value, protocol))


@pytest.mark.parametrize("content", [b"", b".", b"}", b"<html>Not found</html>", b"}}", b"(.", b"h\x00."])
def test_an_incomplete_pickle_is_refused(content):
    refused(content)


def test_every_truncation_is_refused():
    content = python2_pickle(BATCH)
    for end in range(len(content)):
        refused(content[:end])


# --- any bytes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited_calls():
    """Events of Python's audit hook that show that something was opened or executed."""
    events = []
    active = [True]

    def audit(event, arguments):
        if active[0] and event in ("os.system", "subprocess.Popen", "exec", "open", "import"):
            events.append((event, arguments))

    sys.addaudithook(audit)
    yield events
    active[0] = False


@given(
    content=st.sampled_from([python2_pickle(BATCH), *(pickle.dumps(BATCH, protocol) for protocol in (2, 3, 4))]),
    # Instructions without arguments, as a shifted one could ask for a table with billions of entries.
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(b"Rb0.s)}N")), max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_a_changed_pickle_is_read_or_refused_and_executes_nothing(audited_calls, content, changes):
    changed = bytearray(content)
    for place, instruction in changes:
        changed[int(place * len(changed))] = instruction
    audited_calls.clear()
    with suppress(UserError):
        assert isinstance(read_pickle(bytes(changed), WHERE), dict)
    assert not audited_calls
