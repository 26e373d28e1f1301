"""Preparing is all or nothing: under a lock, when killed, on a full disk, and with damaged files."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum
from benchmark.data import prepared as prepare
from benchmark.data.arrays import ArraySplit, StreamSplit
from benchmark.data.datasets.image_folder import Folder32
from benchmark.data.prepared import find_damage, is_prepared, open_prepared, write_prepared
from benchmark.data.raw import image_tree

SHAPE = (3, 4, 4)


def arrays(n, seed=0):
    rng = np.random.default_rng(seed)
    return ArraySplit(rng.integers(0, 256, (n, *SHAPE), dtype=np.uint8), rng.integers(0, 10, n))


def chunked(whole, size):
    for start in range(0, len(whole.labels), size):
        yield whole.images[start : start + size], whole.labels[start : start + size]


def prepared(target, train=None, test=None):
    train, test = train or arrays(10), test or arrays(4, seed=1)
    write_prepared(target, lambda: (train, test, {"file": "ab" * 16}), {"dataset": "some"})
    return target


def visible(folder):
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


# --- what is written -----------------------------------------------------------------------------------


def test_images_that_were_prepared_anew_in_the_meantime_are_refused(tmp_path):
    checksums = open_prepared(prepared(tmp_path / "some")).manifest["checksums"]
    assert open_prepared(tmp_path / "some", checksums).manifest["checksums"] == checksums
    write_prepared(
        tmp_path / "some", lambda: (arrays(12), arrays(4, seed=1), {}), {"dataset": "some"}, is_current=lambda: False
    )
    with pytest.raises(UserError, match="other images were prepared while the run was going on"):
        open_prepared(tmp_path / "some", checksums)


def test_arrays_survive_and_the_manifest_describes_them(tmp_path):
    prepared_data = open_prepared(prepared(tmp_path / "some"))
    assert np.array_equal(prepared_data.train.images, arrays(10).images)
    assert np.array_equal(prepared_data.train.labels, arrays(10).labels)
    assert np.array_equal(prepared_data.test.images, arrays(4, seed=1).images)
    assert prepared_data.manifest["train"] == [10, *SHAPE]
    assert prepared_data.manifest["dataset"] == "some"
    assert prepared_data.manifest["sources"] == {"file": "ab" * 16}
    files = {path.name for path in prepared_data.path.glob("*.npy")}
    assert set(prepared_data.manifest["checksums"]) == files
    for name, checksum in prepared_data.manifest["checksums"].items():
        assert file_checksum(prepared_data.path / name, "sha256") == checksum


@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_a_stream_is_written_as_arrays_are(tmp_path, size):
    whole = arrays(10)
    stream = StreamSplit(10, SHAPE, chunked(whole, size))
    one, other = prepared(tmp_path / "arrays"), prepared(tmp_path / "stream", stream)
    for name in ("train_images.npy", "train_labels.npy"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    np.testing.assert_array_equal(np.load(other / "train_images.npy"), whole.images)


def test_progress_is_reported(tmp_path):
    reports = []
    stream = StreamSplit(10, SHAPE, chunked(arrays(10), 4))
    write_prepared(
        tmp_path / "some", lambda: (stream, arrays(4), {}), {}, progress=lambda *report: reports.append(report)
    )
    assert reports == [("train", 4, 10), ("train", 8, 10), ("train", 10, 10), ("test", 4, 4)]


def test_pages_are_shared_and_a_write_to_them_reaches_no_file(tmp_path):
    path = prepared(tmp_path / "some")
    prepared_data = open_prepared(path)
    assert isinstance(prepared_data.train.images, np.memmap)
    prepared_data.train.images[:] = 0
    assert find_damage(path, thorough=True) is None


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (lambda: StreamSplit(11, SHAPE, chunked(arrays(10), 4)), "read 10 train images, expected 11"),
        (lambda: StreamSplit(9, SHAPE, chunked(arrays(10), 4)), "read 10 train images, expected 9"),
        (lambda: StreamSplit(10, (3, 5, 5), chunked(arrays(10), 4)), "expected (3, 5, 5)"),
        (lambda: StreamSplit(0, SHAPE, iter([])), "no train images"),
    ],
)
def test_a_stream_of_another_length_or_shape_is_refused_and_leaves_nothing(tmp_path, train, words):
    with pytest.raises(UserError) as raised:
        prepared(tmp_path / "some", train())
    assert words in str(raised.value)
    assert visible(tmp_path) == []


# --- full disks, several processes, kills ------------------------------------------------------------------


def test_too_little_space_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UserError, match=r"are needed and .* are free; make room, or choose another --workspace"):
        prepared(tmp_path / "some")
    assert visible(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def full(file):
        written.append(file.name)
        raise OSError(errno.ENOSPC, "No space left on device", file.name)

    monkeypatch.setattr(prepare, "_flush_to_disk", full)
    with pytest.raises(UserError, match="No space left on device; nothing was prepared"):
        prepared(tmp_path / "some")
    assert written
    assert visible(tmp_path) == []


def test_a_cache_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"cache: .*nothing was prepared"):
        prepared(tmp_path / "cache" / "some")


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from benchmark.data.prepared import write_prepared
from benchmark.core.files import file_checksum
from benchmark.data.arrays import ArraySplit, StreamSplit

target, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def chunks():
    for index in range(20):
        time.sleep(pause)
        yield np.full((5, 3, 4, 4), index, np.uint8), np.full(5, index)
        with log.open("a") as file:
            file.write(f"chunk {index}\\n")

def read():
    with log.open("a") as file:
        file.write("read\\n")
    some = ArraySplit(np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64))
    return StreamSplit(100, (3, 4, 4), chunks()), some, {}

write_prepared(target, read, {"dataset": "some"})
"""


def worker(target, log, pause):
    command = [sys.executable, "-c", WORKER, str(target), str(log), str(pause)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


def test_of_several_processes_one_reads_and_all_find_the_result(tmp_path):
    target, log = tmp_path / "some", tmp_path / "log"
    for process in [worker(target, log, 0.01) for _ in range(3)]:
        assert process.wait(60) == 0
    assert log.read_text().count("read") == 1
    assert find_damage(target, thorough=True) is None


def test_a_killed_process_leaves_only_scratch_that_the_next_one_removes(tmp_path):
    target, log = tmp_path / "some", tmp_path / "log"
    process = worker(target, log, 0.05)
    deadline = time.monotonic() + 60
    while not (log.exists() and "chunk 3" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert not is_prepared(target)
    leftovers = [path for path in visible(tmp_path) if path != log]
    assert leftovers, "a killed process cannot clear up"
    prepared(target)
    assert [path for path in visible(tmp_path) if path != log] == [target]
    assert find_damage(target, thorough=True) is None


# --- killed at any moment, preparing real files ---------------------------------------------------------


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """A folder of image files, read two at a time."""
    monkeypatch.setattr(image_tree, "CHUNK", 2)
    (tmp_path / "raw").mkdir()
    Folder32.write_example_files(tmp_path / "raw")
    return tmp_path / "raw"


def forked(work):
    """The id of a child process that only does the work. It is forked, because importing torch takes seconds."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return child


def ended(child):
    """0, or the number of the signal that killed the child."""
    status = os.waitpid(child, 0)[1]
    assert not (os.WIFEXITED(status) and os.WEXITSTATUS(status)), "the child raised"
    return os.WTERMSIG(status)


def assert_complete_or_absent(photographs, cache):
    """A killed preparation counts as prepared only if it is complete, and the next preparation clears up."""
    folder = Folder32.prepared_dir(cache)
    if Folder32.is_prepared(cache):
        assert find_damage(folder, thorough=True) is None
    Folder32.prepare(photographs, cache)
    assert find_damage(folder, thorough=True) is None
    assert visible(cache) == [folder]


def test_a_kill_before_any_step_on_the_disk_leaves_a_complete_folder_or_none(photographs, tmp_path):
    """A step is any opening, renaming, creation or deletion under the cache, and the end of a chunk."""

    def prepare_and_die_at(step, cache):
        remaining = [step]

        def count():
            if remaining[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            remaining[0] -= 1

        def audit(event, arguments):
            if event.split(".")[0] in ("open", "os", "shutil") and any(str(cache) in str(a) for a in arguments):
                count()

        sys.addaudithook(audit)  # it cannot be removed, so only the child adds it
        Folder32.prepare(photographs, cache, lambda *_: count())

    deaths = 0
    for step in range(200):
        cache = tmp_path / f"cache{step}"
        if ended(forked(partial(prepare_and_die_at, step, cache))) == 0:
            break
        deaths += 1
        assert_complete_or_absent(photographs, cache)
        shutil.rmtree(cache)
    assert Folder32.is_prepared(cache), "the last preparation was not killed"
    assert 12 < deaths < 200


def listing(folder):
    """Path -> size of all files and folders that exist at this moment."""
    sizes = {}
    with suppress(OSError):  # renamed or deleted meanwhile
        for path in folder.rglob("*"):
            sizes[path] = path.stat().st_size if path.is_file() else None
    return sizes


@pytest.mark.parametrize("moment", range(12))
def test_a_kill_from_outside_leaves_a_complete_folder_or_none(photographs, tmp_path, moment):
    """The kill comes at the n-th observed change in the cache, or at the end."""
    cache = tmp_path / "cache"
    child = forked(lambda: Folder32.prepare(photographs, cache, lambda *_: time.sleep(0.01)))
    seen, changes, deadline = {}, 0, time.monotonic() + 30
    while changes <= moment and not Folder32.is_prepared(cache):
        assert time.monotonic() < deadline
        now = listing(cache)
        changes, seen = changes + (now != seen), now
    os.kill(child, signal.SIGKILL)
    ended(child)
    assert_complete_or_absent(photographs, cache)


# --- damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "other shape"])
def test_damaged_files_are_named_when_opened(tmp_path, name, damage):
    path = prepared(tmp_path / "some")
    file = path / name
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "missing":
        file.unlink()
    else:
        np.save(file, np.zeros((3, 3)))
    with pytest.raises(UserError) as raised:
        open_prepared(path)
    assert str(file) in str(raised.value)
    assert "delete the folder" in str(raised.value)


def test_a_flipped_bit_is_found_by_its_checksum(tmp_path):
    path = prepared(tmp_path / "some")
    file = path / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)
    assert find_damage(path) is None, "sizes are right"
    assert str(file) in find_damage(path, thorough=True)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"train": 3, "test": [1]}', "\x00"])
def test_a_damaged_manifest_is_named(tmp_path, content):
    path = prepared(tmp_path / "some")
    (path / prepare.MANIFEST).write_text(content)
    assert str(path / prepare.MANIFEST) in find_damage(path)
    assert "\n" not in find_damage(path)


@pytest.mark.parametrize(
    "entry", [{"sources": False}, {"sources": {"a": 1}}, {"checksums": []}, {"classes": "ten"}, {"note": "\udfff"}]
)
def test_entries_of_a_manifest_with_wrong_types_are_refused(tmp_path, entry):
    path = prepared(tmp_path / "some")
    known = open_prepared(path).manifest
    (path / prepare.MANIFEST).write_text(json.dumps(known | entry))
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read"):
        open_prepared(path)


def test_the_manifest_is_a_text_file_of_json(tmp_path):
    text = (prepared(tmp_path / "some") / prepare.MANIFEST).read_text()
    assert json.loads(text)
    assert text.endswith("}\n")
