"""Where the training images are kept changes speed and memory, and no number."""

import gc
import json
import re
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from benchmark.data import sampler as images_module
from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import DeviceImages, ImageSampler, IndexSampler, PrefetchingImages, fits_on_device, to_range
from tests.support.examples import advance, assert_equal, spec_of, trainer_of

CPU = torch.device("cpu")
LARGE = 500 * 10**6


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def random_pixels(n=50, channels=1):
    return np.random.default_rng(0).integers(0, 256, (n, channels, 4, 4), dtype=np.uint8)


@pytest.fixture
def gathered(monkeypatch):
    """No image may stay on the device."""
    monkeypatch.setattr(images_module, "fits_on_device", lambda size, device: False)


# --- the mapped file is the tensor ---------------------------------------------------------------------


class Large(Dataset):
    """Half a gigabyte, written as a hole in a file: it takes no room on the disk."""

    name, about, licence, source, shape = "large", "for tests", "none", "none", (1, 1000, 1000)

    @classmethod
    def missing_files(cls, data_dir):
        return None

    @classmethod
    def read(cls, data_dir):
        one = ArraySplit(np.zeros((1, *cls.shape), np.uint8), np.zeros(1, np.int64))
        return one, one, {}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = Large.prepare(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data"))
    n = LARGE // 10**6
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"train": [n, *Large.shape]}))
    np.save(folder / "train_labels.npy", np.zeros(n, np.int64))
    array = np.lib.format.open_memmap(folder / "train_images.npy", "w+", np.uint8, (n, *Large.shape))
    array[:, 0, 0, 0] = np.arange(n) % 251
    array.flush()
    return folder


def resident_bytes():
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def opened(folder):
    """Seconds and resident bytes that opening costs, and the images."""
    before, start = resident_bytes(), time.perf_counter()
    images = ImageSampler(open_prepared(folder).train.images, 1, CPU)
    return time.perf_counter() - start, resident_bytes() - before, images


def test_opening_half_a_gigabyte_takes_milliseconds_and_no_memory(large):
    trials = [opened(large) for _ in range(5)]
    assert all(images.source.images.nbytes == LARGE for *_, images in trials)
    assert min(seconds for seconds, *_ in trials) < 0.05
    assert all(grown < LARGE / 50 for _, grown, _ in trials)


def test_a_draw_reads_its_own_images_and_no_others(large):
    _, _, images = opened(large)
    before = resident_bytes()
    drawn = images.draw(8, rng()).images
    assert resident_bytes() - before < LARGE / 10
    index = torch.randint(LARGE // 10**6, (8,), generator=rng())
    assert torch.equal(drawn[:, 0, 0, 0], (index % 251).to(torch.uint8))


def test_two_openings_draw_the_same_and_neither_can_change_the_file(large):
    first, second = opened(large)[2], opened(large)[2]
    before = first.draw(4, rng()).images
    second.source.images[:, 0, 0, 0] = 7
    assert torch.equal(first.draw(4, rng()).images, before)
    assert torch.equal(opened(large)[2].draw(4, rng()).images, before)


def test_an_array_that_cannot_be_written_or_is_not_contiguous_is_drawn_from_all_the_same():
    pixels = random_pixels()
    locked = pixels.copy()
    locked.flags.writeable = False
    turned = np.ascontiguousarray(pixels.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    expected = ImageSampler(pixels, 1, CPU).draw(9, rng()).images
    for same in (locked, turned):
        assert torch.equal(ImageSampler(same, 1, CPU).draw(9, rng()).images, expected)


# --- resident or gathered ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [(0, True), (500, True), (501, False), (2000, False)])
def test_images_stay_on_a_gpu_when_half_of_its_free_memory_is_enough(monkeypatch, size, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10_000))
    assert fits_on_device(size, torch.device("cuda")) is expected
    assert fits_on_device(size, CPU)


def both(pixels, stacked=1, fixed=0):
    """The same images, resident and gathered."""
    stored, choice = torch.from_numpy(pixels), IndexSampler(len(pixels), stacked, fixed)
    return DeviceImages(stored, choice, CPU), PrefetchingImages(stored, choice, CPU)


def assert_same_draw(resident, gather, n, ours, theirs):
    assert_equal(list(gather.draw(n, theirs)), list(resident.draw(n, ours)))
    assert torch.equal(ours.get_state(), theirs.get_state()), "nobody sees that it is ahead"


@pytest.mark.parametrize(("stacked", "fixed"), [(1, 0), (3, 0), (3, 9)])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_gathered_images_are_the_resident_ones_over_many_draws(size, stacked, fixed):
    resident, gather = both(random_pixels(), stacked, fixed)
    ours, theirs = rng(), rng()
    for _ in range(40):
        assert_same_draw(resident, gather, size, ours, theirs)


# what may happen between draws: another size, another use of the generator, a state that was saved before
ACTIONS = st.one_of(st.integers(1, 5), st.sampled_from(["used", "saved", "restored"]))


@given(actions=st.lists(ACTIONS, max_size=30))
@settings(max_examples=40, deadline=None)
def test_whatever_is_done_to_the_generator_the_draw_is_what_it_says(actions):
    resident, gather = both(random_pixels())
    ours, theirs = rng(), rng()
    saved = ours.get_state()
    for action in actions:
        if action == "used":
            assert torch.equal(torch.rand(3, generator=ours), torch.rand(3, generator=theirs))
        elif action == "saved":
            saved = theirs.get_state()
        elif action == "restored":
            ours.set_state(saved), theirs.set_state(saved)
        else:
            assert_same_draw(resident, gather, action, ours, theirs)


def test_the_next_batch_is_fetched_by_another_thread_before_it_is_asked_for(monkeypatch):
    _, gather = both(random_pixels())
    generator = rng()
    gather.draw(4, generator)
    ready = gather.ahead.batch.result(timeout=10)
    fetches = []
    fetch = gather.fetcher.fetch
    monkeypatch.setattr(
        gather.fetcher, "fetch", lambda n, state: fetches.append(threading.get_ident()) or fetch(n, state)
    )
    drawn, _ = gather.draw(4, generator)
    assert drawn is ready.images
    gather.ahead.batch.result(timeout=10)
    assert len(fetches) == 1, "the one after"
    assert fetches[0] != threading.get_ident()


def test_an_error_in_the_thread_reaches_the_draw_and_the_next_one_is_right(monkeypatch):
    resident, gather = both(random_pixels())
    ours, theirs = rng(), rng()
    assert_same_draw(resident, gather, 4, ours, theirs)
    assert_same_draw(resident, gather, 4, ours, theirs)
    gather.ahead.batch.result(timeout=10)

    def broken(*_, **__):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "index_select", broken)
        assert_same_draw(resident, gather, 4, ours, theirs)  # lay ready
        with pytest.raises(OSError, match="the disk is gone"):
            gather.draw(4, theirs)
    assert torch.equal(ours.get_state(), theirs.get_state())
    assert_same_draw(resident, gather, 4, ours, theirs)


@pytest.mark.usefixtures("gathered")
def test_the_thread_ends_with_the_images():
    before = set(threading.enumerate())
    images = ImageSampler(random_pixels(), 1, CPU)
    images.draw(4, rng())
    started = set(threading.enumerate()) - before
    assert len(started) == 1, "one thread"
    gone = weakref.ref(images.source)
    del images
    gc.collect()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()
    assert gone() is None


def test_a_buffer_is_not_filled_before_its_copy_is_done():
    """Stands in for a GPU: copies of which it is known when they were waited for."""

    class Copy:
        def __init__(self):
            self.waited = False

        def synchronize(self):
            self.waited = True

    _, gather = both(random_pixels())
    fetcher = gather.fetcher
    first, second = (fetcher._gathered(torch.arange(4) + k) for k in (0, 4))
    assert first.memory.data_ptr() != second.memory.data_ptr()
    first.copied, second.copied = Copy(), Copy()
    third = fetcher._gathered(torch.arange(4))
    assert third is first
    assert first.copied.waited
    assert not second.copied.waited


@pytest.mark.parametrize("kind", [DeviceImages, PrefetchingImages])
def test_a_batch_is_its_own_memory(kind):
    """Neither the next batch nor whoever writes into one may change another."""
    pixels = torch.from_numpy(random_pixels())
    source, before = kind(pixels, IndexSampler(len(pixels), 1), CPU), pixels.clone()
    generator = rng()
    kept = [source.draw(6, generator)[0] for _ in range(5)]
    copies = [batch.clone() for batch in kept]
    later, _ = source.draw(6, generator)
    assert_equal(kept, copies)
    assert not any(torch.equal(later, batch) for batch in kept)
    for batch in kept:
        batch.zero_()
    expected = pixels[IndexSampler(len(pixels), 1).places(6, rng())]
    assert torch.equal(source.draw(6, rng())[0], expected)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("stacked", [1, 3])
@pytest.mark.parametrize("labels", [None, np.arange(50) % 10], ids=["plain", "labelled"])
def test_labels_and_stacks_are_the_same_from_both(monkeypatch, stacked, labels):
    resident = ImageSampler(random_pixels(), stacked, CPU, labels, 10)
    monkeypatch.setattr(images_module, "fits_on_device", lambda size, device: False)
    gathered = ImageSampler(random_pixels(), stacked, CPU, labels, 10)
    assert isinstance(gathered.source, PrefetchingImages)
    assert_equal(list(resident.draw(20, rng())), list(gathered.draw(20, rng())))


SPEC = spec_of("ssgan", "mlp", "stacked_digits")


def test_a_training_on_gathered_images_is_the_same_to_the_bit(monkeypatch):
    resident = advance(trainer_of(SPEC), 4)
    monkeypatch.setattr(images_module, "fits_on_device", lambda size, device: False)
    gathered = advance(trainer_of(SPEC), 4)
    assert isinstance(gathered.images.source, PrefetchingImages)
    assert_equal(gathered.state(), resident.state())


@pytest.mark.usefixtures("gathered")
def test_a_training_on_gathered_images_resumes_exactly():
    whole = advance(trainer_of(SPEC), 4)
    half, resumed = advance(trainer_of(SPEC), 2), trainer_of(SPEC)
    resumed.restore(half.state())
    assert_equal(advance(resumed, 2).state(), whole.state())


@pytest.mark.usefixtures("gathered")
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_checkpoint_holds_what_was_drawn_and_not_what_was_fetched(kept):
    """Saved while the next batch lies ready, and restored into a trainer that has fetched another."""
    whole = advance(trainer_of(SPEC), 6)
    first = advance(trainer_of(SPEC), kept)
    if kept:
        first.images.source.ahead.batch.result(timeout=10)
    saved = first.state()
    other = advance(trainer_of(SPEC), 5)
    other.restore(saved)
    assert_equal(advance(other, 6 - kept).state(), whole.state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_both_draw_what_the_cpu_draws_though_the_host_runs_ahead():
    gpu, pixels = torch.device("cuda"), torch.from_numpy(np.tile(random_pixels(500, 3), (1, 1, 16, 16)))
    choice = IndexSampler(len(pixels), 1)
    sources = [DeviceImages(pixels, choice, gpu), PrefetchingImages(pixels, choice, gpu)]
    plain = DeviceImages(pixels, choice, CPU)
    work = torch.rand(3000, 3000, device=gpu)
    generators, wrong, expected = [rng() for _ in range(3)], [], []
    for _ in range(50):
        (one, places), (other, same_places) = (s.draw(64, g) for s, g in zip(sources, generators, strict=False))
        expected.append(plain.draw(64, generators[2])[1])
        work = work @ work
        work /= work.max()
        wrong.append((to_range(one, (-1, 1)) != to_range(other, (-1, 1))).sum() + (places != same_places).sum())
        wrong.append((places != expected[-1].to(gpu)).sum())
    assert torch.stack(wrong).sum().item() == 0
    assert all(torch.equal(g.get_state(), generators[0].get_state()) for g in generators)


# --- fixed stacks --------------------------------------------------------------------------------------


def test_fixed_stacks_are_few_and_the_same_for_every_trial():
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    one, other = (ImageSampler(pixels, 3, CPU, np.arange(200) % 10, 10, num_fixed_stacks=7) for _ in range(2))
    drawn = one.draw(500, rng())
    stacks = {tuple(image[:, 0, 0].tolist()) for image in drawn.images}
    assert len(stacks) == 7, "all of them come, and no others"
    assert stacks == {tuple(image[:, 0, 0].tolist()) for image in other.draw(500, rng(1)).images}
    digits = drawn.images[:, :, 0, 0].long() % 10
    assert torch.equal(drawn.labels, digits @ torch.tensor([100, 10, 1]))


def test_fixed_stacks_are_drawn_uniformly():
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    drawn = ImageSampler(pixels, 2, CPU, num_fixed_stacks=5).draw(5000, rng()).images[:, :, 0, 0].long()
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert chisquare(counts.numpy()).pvalue > 0.01
