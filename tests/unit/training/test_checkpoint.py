"""State to disk and back, bit-identical; a damaged file is rejected, and no file is executed."""

import errno
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.store import record_store
from benchmark.training import checkpoint
from benchmark.training.checkpoint import Checkpoints

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def same(one, other):
    """Whether two states are bit-identical, including the sign of zero and the bits of NaN."""
    if isinstance(one, torch.Tensor):
        return (
            one.dtype is other.dtype
            and one.shape == other.shape
            and torch.equal(
                one.contiguous().flatten().view(torch.uint8), other.contiguous().flatten().view(torch.uint8)
            )
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one)


tensors = st.builds(
    lambda raw, dtype: (
        torch.frombuffer(bytearray(raw * 8), dtype=torch.uint8).view(dtype)
        if dtype is not torch.bool
        else torch.frombuffer(bytearray(raw), dtype=torch.uint8) > 127
    ),
    st.binary(min_size=1, max_size=12),
    st.sampled_from(DTYPES),
)
states = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        tensors | st.integers() | st.floats() | st.text(max_size=8) | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(state=states)
@settings(max_examples=40, deadline=None)
def test_states_survive_bit_identical(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("checkpoint") / "deep" / "state.pt"
    checkpoint.save(path, state)
    assert same(checkpoint.load(path, CPU), state)


def test_optimizers_and_random_streams_survive(tmp_path):
    layer = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.ones(1, 3)).sum().backward()
    adam.step()
    stream = torch.Generator().manual_seed(5)
    torch.rand(7, generator=stream)
    checkpoint.save(tmp_path / "s.pt", {"adam": adam.state_dict(), "rng": stream.get_state()})
    loaded = checkpoint.load(tmp_path / "s.pt", CPU)
    restored = torch.Generator()
    restored.set_state(loaded["rng"])
    assert torch.equal(torch.rand(9, generator=restored), torch.rand(9, generator=stream))
    fresh = torch.optim.Adam(torch.nn.Linear(3, 2).parameters(), fused=True)
    fresh.load_state_dict(loaded["adam"])
    for key, state in adam.state_dict()["state"].items():
        assert same(fresh.state_dict()["state"][key], state)


def test_a_missing_file_is_rejected(tmp_path):
    assert checkpoint.load(tmp_path / "none.pt", CPU) is None


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "s.pt"
    checkpoint.save(path, {"step": 3, "weights": torch.arange(50.0)})
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_rejected(tmp_path, content, share):
    path = tmp_path / "s.pt"
    path.write_bytes(content[: int(share * len(content))])
    assert checkpoint.load(path, CPU) is None


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=40)
def test_a_file_with_one_wrong_bit_is_rejected(tmp_path_factory, content, place, bit):
    path = tmp_path_factory.mktemp("bit") / "s.pt"
    changed = bytearray(content)
    changed[int(place * len(content))] ^= 1 << bit
    path.write_bytes(changed)
    assert checkpoint.load(path, CPU) is None


@given(garbage=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_garbage_is_rejected(tmp_path_factory, garbage):
    path = tmp_path_factory.mktemp("garbage") / "s.pt"
    path.write_bytes(garbage)
    assert checkpoint.load(path, CPU) is None


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["torch", "pickle", "with a checksum"])
def test_nothing_in_a_file_is_executed(tmp_path, how):
    path, sprung = tmp_path / "s.pt", tmp_path / "sprung"
    if how == "torch":
        torch.save({"step": Trap(sprung)}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"step": Trap(sprung)}, protocol=2))
    else:
        checkpoint.save(path, {"step": Trap(sprung)})
    assert checkpoint.load(path, CPU) is None
    assert not sprung.exists()


def test_a_save_that_fails_leaves_the_old_state_and_no_partial_file(tmp_path, monkeypatch):
    path = tmp_path / "s.pt"
    checkpoint.save(path, {"step": 1})

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(record_store.os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path, CPU) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_that_cannot_be_saved_leaves_the_old_one(tmp_path):
    path = tmp_path / "s.pt"
    checkpoint.save(path, {"step": 1})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        checkpoint.save(path, {"step": lambda: 2})
    assert checkpoint.load(path, CPU) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_views_are_saved_with_their_values(tmp_path):
    whole = torch.from_numpy(np.arange(12.0).reshape(3, 4))
    checkpoint.save(tmp_path / "s.pt", {"part": whole.T[1:]})
    assert torch.equal(checkpoint.load(tmp_path / "s.pt", CPU)["part"], whole.T[1:])


# --- the checkpoints of a trial ------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    """Checkpoints with states of steps 1, 2 and 3."""
    made = Checkpoints(tmp_path, "0123456789abcdef")
    for step in (1, 2, 3):
        made.save({"step": step, "weights": torch.full((9,), float(step))})
    return made


def files(made):
    return sorted(made.folder.iterdir())


def test_the_last_two_are_kept(three):
    assert [path.name for path in files(three)] == ["00000002.ckpt", "00000003.ckpt"]
    assert [state["step"] for state in three.states(CPU)] == [3, 2]


def spoil(path, how):
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "a bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["truncated", "a bit", "empty", "a folder"])
def test_loading_skips_a_damaged_checkpoint(three, how):
    spoil(files(three)[1], how)
    assert three.load(CPU)["step"] == 2
    assert three.damaged == 1
    three.save({"step": 5})  # its number is above that of the damaged one
    assert three.load(CPU)["step"] == 5


def test_nothing_is_loaded_if_all_checkpoints_are_damaged(three):
    for path in files(three):
        spoil(path, "a bit")
    assert three.load(CPU) is None


def test_the_newest_checkpoint_does_not_depend_on_file_times(three):
    os.utime(files(three)[0], (2e9, 2e9))
    os.utime(files(three)[1], (0, 0))
    assert three.load(CPU)["step"] == 3


def test_a_state_of_another_trial_is_rejected(three, tmp_path):
    other = Checkpoints(tmp_path, "another")
    shutil.copytree(three.folder, other.folder)
    assert other.load(CPU) is None


def test_forgetting_removes_everything(three, tmp_path):
    (three.folder / ".00000004.ckpt-0a1b").write_bytes(b"half")  # of a process that was killed
    three.forget()
    assert not list(tmp_path.iterdir())
    assert three.load(CPU) is None
    three.forget()


def test_partial_writes_are_removed(three):
    (three.folder / ".00000004.ckpt-0a1b").write_bytes(b"half")
    assert three.load(CPU)["step"] == 3
    assert len(files(three)) == 2


def test_a_failed_save_keeps_both_earlier_checkpoints(three, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record_store.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        three.save({"step": 4})
    assert [state["step"] for state in three.states(CPU)] == [3, 2]
    assert len(files(three)) == 2


@given(trial_id=st.text(max_size=12) | st.sampled_from(["..", "a/b", "../a", "/etc", "", ".", "a\n", "-a", "a\0"]))
def test_no_trial_id_leads_out_of_the_folder(tmp_path_factory, trial_id):
    folder = tmp_path_factory.getbasetemp() / "ids"
    try:
        made = Checkpoints(folder, trial_id)
    except UserError:
        return
    assert made.folder.resolve().parent == folder.resolve()


def test_final_weights_are_plain_tensors_that_pytorch_reads(tmp_path):
    path, state = tmp_path / "t.final.pt", {"method": {"generator.weight": torch.randn(3, 2)}, "average": None}
    checkpoint.save_weights(path, state)
    assert same(torch.load(path, weights_only=True), state)
    assert same(checkpoint.load_weights(path, CPU), state)


def test_final_weights_with_the_header_of_earlier_versions_stay_readable(tmp_path):
    path, state = tmp_path / "t.final.pt", {"method": {"generator.weight": torch.randn(3, 2)}, "average": None}
    checkpoint.save(path, state)
    assert same(checkpoint.load_weights(path, CPU), state)


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_damaged_final_weights_are_rejected(tmp_path, keep):
    path = tmp_path / "t.final.pt"
    checkpoint.save_weights(path, {"method": {"weight": torch.randn(300)}})
    path.write_bytes(path.read_bytes()[:keep])
    assert checkpoint.load_weights(path, CPU) is None
    assert checkpoint.load_weights(tmp_path / "none.pt", CPU) is None
