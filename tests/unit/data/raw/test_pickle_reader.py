"""Pickles run nothing here: they are read, or refused with a message."""

import builtins
import codecs
import os
import pickle
import pickletools
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.data.raw import pickle_reader
from benchmark.data.raw.pickle_reader import read_pickle
from tests.support.examples import python2_pickle

WHERE = "/data/train_data_batch_1"
BATCH = {
    "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "labels": [3, 1, 0, 2],
    "filenames": ["a.png", "b.png", "c.png", "d.png"],
    "batch_label": "training batch 1 of 5",
}


def refused(content):
    with pytest.raises(UserError) as raised:
        read_pickle(content, WHERE)
    text = str(raised.value)
    assert text.startswith(f"{WHERE}: is no pickled batch of images: ")
    assert text.endswith("; get the original file")
    assert len(text) < 500
    return text


def same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, np.ndarray):
            assert found[key].dtype == value.dtype
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value


# --- what is read --------------------------------------------------------------------------------------


def test_a_batch_of_python_2_is_read_as_pickle_reads_it():
    content = python2_pickle(BATCH)
    same(read_pickle(content, WHERE), pickle.loads(content, encoding="latin1"))
    same(read_pickle(content, WHERE), BATCH)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_batch_of_python_3_is_read(protocol):
    same(read_pickle(pickle.dumps(BATCH, protocol), WHERE), BATCH)


@pytest.mark.parametrize("kind", ["u1", "i1", "<i2", ">i4", "<u8", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_numbers_of_every_kind_and_order_are_read(kind, order, protocol):
    value = np.arange(24).reshape(2, 3, 4).astype(kind, order=order)
    found = read_pickle(pickle.dumps({"mean": value}, protocol), WHERE)["mean"]
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


def test_the_older_name_of_numpys_module_is_understood():
    content = pickle.dumps(BATCH, 3)
    assert b"numpy._core" in content
    same(read_pickle(content.replace(b"numpy._core", b"numpy.core"), WHERE), BATCH)


def test_the_same_array_twice_is_read_twice():
    found = read_pickle(pickle.dumps({"a": BATCH["data"], "b": BATCH["data"]}, 4), WHERE)
    np.testing.assert_array_equal(found["a"], found["b"])


# --- what is refused, and not run ----------------------------------------------------------------------


class Calls:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that exists when something was run."""
    path = tmp_path / "it ran"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["whole", "value", "item", "array"])
def test_a_pickle_that_calls_something_runs_nothing(mark, protocol, place):
    for calls in (
        Calls(os.system, f"touch '{mark}'"),
        Calls(builtins.eval, f"open({str(mark)!r}, 'w')"),
        Calls(builtins.exec, f"open({str(mark)!r}, 'w')"),
        Calls(subprocess.Popen, ["touch", str(mark)]),
        Calls(open, str(mark), "w"),
        Calls(getattr, os, "system"),
        Calls(np.save, str(mark), 1),
        Calls(np.memmap, str(mark), "u1", "w+", 0, (4,)),
        Calls(np.float64, 1),
        Calls(codecs.lookup, "latin1"),
        Calls(__import__, "antigravity"),
    ):
        held = {"whole": calls, "value": {"data": calls}, "item": {"labels": [1, calls]}}
        held["array"] = {"data": np.array([calls, calls], object)}
        try:
            content = pickle.dumps(held[place], protocol)
        except TypeError:  # a module cannot be pickled: by name then
            content = b"cos\nsystem\n(S'true'\ntR."
        refused(content)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"cnumpy.f2py.crackfortran\nmyeval\n(S'1'\ntR.", "myeval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ctestmod.eval\x93.", "testmod.eval"),
        (b"\x80\x04K\x01K\x02\x93.", "without a name"),
        (b"(U\x04trueios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'true'\no.", "os.system"),
        (b"(K\x01o.", "OBJ"),
        (b"cnumpy\nndarray\n(K\x04\x85tR.", "something else"),
        (b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"cnumpy\nndarray\n)}\x92.", "NEWOBJ_EX"),
        (b"cnumpy\nndarray\nN}U\x01aK\x01s\x86b.", "expects a array"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"P7\n.", "PERSID"),
        (b"U\x017Q.", "BINPERSID"),
        (b"c_codecs\nencode\n(U\x01aU\x06base64tR.", "something else"),
        (b"cnumpy\ndtype\n(U\x01OK\x00K\x01tR.", "something else"),
        (b"cnumpy\ndtype\n(U\x02V8K\x00K\x01tR.", "something else"),
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.", "damaged"),
    ],
)
def test_other_instructions_are_refused_by_name(content, word):
    assert word in refused(content)


def state_of(array, **changes):
    """A pickled array with another state than it has."""
    _, _, (version, shape, kind, columns, numbers) = array.__reduce__()
    state = {"version": version, "shape": shape, "kind": kind, "columns": columns, "numbers": numbers} | changes

    class Hostile:
        def __reduce__(self):
            return (*array.__reduce__()[:2], tuple(state.values()))

    return pickle.dumps({"data": Hostile()}, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (5,)},
        {"shape": (-4,)},
        {"shape": (-2, -2)},
        {"shape": (2**62, 4)},
        {"shape": (0, 2**62)},
        {"shape": (True, 4)},
        {"shape": (4.0,)},
        {"shape": [4]},
        {"shape": (1,) * 70 + (4,)},
        {"shape": None},
        {"kind": np.dtype(object)},
        {"kind": np.dtype([("a", "u1")])},
        {"kind": np.dtype(("u1", (4,)))},
        {"kind": np.dtype("V1")},
        {"kind": np.dtype("S1")},
        {"kind": np.dtype("M8[s]")},
        {"kind": "u1"},
        {"numbers": [1, 2, 3, 4]},
        {"numbers": "abcd€"},
        {"numbers": "€bcd"},
        {"numbers": None},
        {"numbers": b"abc"},
    ],
    ids=str,
)
def test_a_hostile_array_is_refused(changes):
    refused(state_of(np.arange(4, dtype=np.uint8), **changes))


@pytest.mark.parametrize(
    "value",
    [
        {1: "key is a number"},
        {("a",): "key is a tuple"},
        {"nested": {"a": 1}},
        {"nested": [[1]]},
        {"nested": [np.arange(3)]},
        {"nested": (1, 2)},
        {"objects": np.array([None, 1])},
        {"words": np.array(["a"])},
        {"fields": np.zeros(2, [("a", "u1")])},
        [1, 2],
        "word",
        None,
        np.arange(3),
        {"set": {1, 2}},
        {"complex": 1j},
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_is_no_dictionary_of_arrays_and_lists_is_refused(value, protocol):
    refused(pickle.dumps(value, protocol))


def test_an_array_that_never_got_its_numbers_is_refused():
    refused(b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rs.")


@pytest.mark.parametrize(
    "content", [b"", b".", b"}", b"<html>Not found</html>", b"\x80\x02}.more", b"}}.", b"(.", b"h\x00."]
)
def test_what_is_no_whole_pickle_is_refused(content):
    refused(content)


def test_every_truncation_is_refused():
    content = python2_pickle(BATCH)
    for end in range(len(content)):
        refused(content[:end])


# --- bombs: small files that ask for much --------------------------------------------------------------

DEEP = b"K\x00" + b"\x85" * 50_000
BOMBS = {
    "a memo entry with a high number": b"\x80\x02}r\xff\xff\xff\xffr\xfe\xff\xff\xffK\x01.",
    "a deep tuple as a key": b"}" + DEEP + b"K\x01s.",
    "a deep tuple as a value": b"}U\x01a" + DEEP + b"s.",
    "a deep list": b"}U\x01a" + b"]" * 50_000 + b"a" * 49_999 + b"s.",
    "marks": b"(" * 200_000 + b".",
    "instructions": b"}" + b"Nq\x00" * 60_000 + b".",
    "lists": b"]" * 110_000 + b".",
    "a tuple of itself, doubled 60 times": b"}K\x00" + b"q\x01h\x01\x86" * 60 + b"K\x01s.",
    "a list in itself": b"}U\x01a]q\x00h\x00as.",
    "a long word that is not there": b"}U\x01aT\xff\xff\xff\x7fb.",
    "a frame that is not there": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f].",
    "a number of many digits": b"}U\x01aI" + b"9" * 100_000 + b"\ns.",
    "bytes of a word, again and again": b"}T\x40\x42\x0f\x00" + b"x" * 1_000_000 + b"q\x000"
    b"c_codecs\nencode\nq\x010" + b"h\x01h\x00U\x06latin1\x86R" * 2000 + b".",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_soon_and_in_little_memory(bomb, monkeypatch):
    monkeypatch.setattr(pickle_reader, "INSTRUCTIONS", 100_000)  # a test has less time
    start = time.process_time()
    tracemalloc.start()
    try:
        refused(BOMBS[bomb])
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 30


# --- any bytes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def calls():
    """The calls that Python audits: whatever opens, runs or looks up a name."""
    seen = []
    watching = [True]

    def watch(event, arguments):
        if watching[0] and event in ("os.system", "subprocess.Popen", "pickle.find_class", "exec", "open"):
            seen.append((event, arguments))

    sys.addaudithook(watch)
    yield seen
    watching[0] = False


def read_or_refused(content, calls):
    calls.clear()
    found = None
    with suppress(UserError):
        found = read_pickle(content, WHERE)
    if found is not None:
        assert type(found) is dict
        for value in found.values():
            assert isinstance(value, (np.ndarray, list, *pickle_reader.PLAIN))
            if isinstance(value, np.ndarray):
                assert value.dtype.kind in "iuf"
                value.sum()
    assert not calls, "nothing was opened, looked up or run"


VALID = [python2_pickle(BATCH), *(pickle.dumps(BATCH, protocol) for protocol in (2, 3, 4))]
CODES = [code.code.encode("latin-1") for code in pickletools.opcodes]
names = st.sampled_from([b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"cos\nsystem\n"])
words = st.sampled_from([b"U\x04data", b"U\x02u1", b"U\x06latin1", b"K\x01", b"J\xff\xff\xff\xff", b"h\x00", b"q\x00"])
reconstruct = st.just(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")


@given(content=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes(calls, content):
    read_or_refused(content, calls)


@given(parts=st.lists(st.one_of(st.sampled_from(CODES), names, words, reconstruct), max_size=40))
@settings(max_examples=400, deadline=None)
def test_arbitrary_instructions(calls, parts):
    read_or_refused(b"".join([*parts, b"."]), calls)


@given(
    valid=st.sampled_from(VALID),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.binary(max_size=6)), max_size=4
    ),
)
@settings(max_examples=400, deadline=None)
def test_changed_pickles(calls, valid, changes):
    content = bytearray(valid)
    for place, removed, added in changes:
        at = int(place * len(content))
        content[at : at + removed] = added
    read_or_refused(bytes(content), calls)


def test_changing_any_one_byte(calls):
    for valid in VALID[:2]:
        for at in range(len(valid)):
            for byte in (0, 1, 0x7F, 0xFF, valid[at] ^ 1, *b".R0b(t}"):
                read_or_refused(valid[:at] + bytes([byte]) + valid[at + 1 :], calls)
