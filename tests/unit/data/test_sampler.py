"""Sampling of batches. The place of the images changes speed and memory, and no number."""

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
from benchmark.data.base import BundledDataset
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import (
    DeviceImages,
    ImageSampler,
    IndexSampler,
    PrefetchingImages,
    fits_on_device,
    mask_labels,
    to_range,
    to_stored,
)
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


class Large(BundledDataset):
    """Half a gigabyte in a sparse file, which uses no disk space."""

    name, about, licence, source, shape = "large", "for tests", "none", "none", (1, 1000, 1000)

    @classmethod
    def read(cls, data_dir):
        split = ArraySplit(np.zeros((1, *cls.shape), np.uint8), np.zeros(1, np.int64))
        return split, split, {}


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
    """Seconds and resident bytes that opening the folder needs, and the images."""
    before, start = resident_bytes(), time.perf_counter()
    images = ImageSampler(open_prepared(folder).train.images, 1, CPU)
    return time.perf_counter() - start, resident_bytes() - before, images


def test_opening_half_a_gigabyte_takes_milliseconds_and_no_memory(large):
    trials = [opened(large) for _ in range(5)]
    assert all(images.source.images.nbytes == LARGE for *_, images in trials)
    assert min(seconds for seconds, *_ in trials) < 0.05
    assert all(grown < LARGE / 50 for _, grown, _ in trials)


def test_a_draw_reads_only_the_drawn_images(large):
    _, _, images = opened(large)
    before = resident_bytes()
    drawn = images.draw(8, rng()).images
    assert resident_bytes() - before < LARGE / 10
    index = torch.randint(LARGE // 10**6, (8,), generator=rng())
    assert torch.equal(drawn[:, 0, 0, 0], (index % 251).to(torch.uint8))


def test_two_samplers_of_a_file_draw_the_same_and_cannot_change_it(large):
    first, second = opened(large)[2], opened(large)[2]
    before = first.draw(4, rng()).images
    second.source.images[:, 0, 0, 0] = 7
    assert torch.equal(first.draw(4, rng()).images, before)
    assert torch.equal(opened(large)[2].draw(4, rng()).images, before)


def test_read_only_and_non_contiguous_arrays_give_the_same_batches():
    pixels = random_pixels()
    locked = pixels.copy()
    locked.flags.writeable = False
    transposed = np.ascontiguousarray(pixels.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    expected = ImageSampler(pixels, 1, CPU).draw(9, rng()).images
    for same in (locked, transposed):
        assert torch.equal(ImageSampler(same, 1, CPU).draw(9, rng()).images, expected)


# --- resident or prefetched ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [(0, True), (500, True), (501, False), (2000, False)])
def test_images_stay_on_a_gpu_if_half_of_its_free_memory_is_enough(monkeypatch, size, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10_000))
    assert fits_on_device(size, torch.device("cuda")) is expected
    assert fits_on_device(size, CPU)


def both(pixels, stacked=1, fixed=0):
    """The same images, resident and prefetched."""
    stored, indices = torch.from_numpy(pixels), IndexSampler(len(pixels), stacked, fixed)
    return DeviceImages(stored, indices, CPU), PrefetchingImages(stored, indices, CPU)


def assert_same_draw(resident, gather, n, ours, theirs):
    assert_equal(list(gather.draw(n, theirs)), list(resident.draw(n, ours)))
    assert torch.equal(ours.get_state(), theirs.get_state()), "prefetching is invisible"


@pytest.mark.parametrize(("stacked", "fixed"), [(1, 0), (3, 0), (3, 9)])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_prefetched_images_equal_resident_ones_over_many_draws(size, stacked, fixed):
    resident, gather = both(random_pixels(), stacked, fixed)
    ours, theirs = rng(), rng()
    for _ in range(40):
        assert_same_draw(resident, gather, size, ours, theirs)


@pytest.mark.parametrize("size", [1, 64])
def test_prefetched_points_equal_resident_ones_and_are_the_stored_numbers(size):
    points = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    resident, gather = both(points)
    ours, theirs = rng(), rng()
    for _ in range(10):
        assert_same_draw(resident, gather, size, ours, theirs)
    batch, indices = resident.draw(size, ours)
    assert batch.numpy().tobytes() == points[indices].tobytes()


def test_points_are_not_scaled():
    points = torch.tensor([[-1e30, 1e-30, 300.5]])
    assert torch.equal(to_range(points, None), points)
    assert torch.equal(to_stored(points, None), points)
    assert to_stored(points.double(), None).dtype is torch.float32


# what may happen between draws: another size, another use of the generator, a state that was saved before
ACTIONS = st.one_of(st.integers(1, 5), st.sampled_from(["used", "saved", "restored"]))


@given(actions=st.lists(ACTIONS, max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_draw_follows_the_state_of_the_generator_whatever_changes_it(actions):
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


def test_the_next_batch_is_fetched_by_another_thread_in_advance(monkeypatch):
    _, gather = both(random_pixels())
    generator = rng()
    gather.draw(4, generator)
    ready = gather.pending.future.result(timeout=10)
    fetches = []
    fetch = gather.fetcher.fetch
    monkeypatch.setattr(
        gather.fetcher, "fetch", lambda n, state: fetches.append(threading.get_ident()) or fetch(n, state)
    )
    drawn, _ = gather.draw(4, generator)
    assert drawn is ready.images
    gather.pending.future.result(timeout=10)
    assert len(fetches) == 1, "the one after"
    assert fetches[0] != threading.get_ident()


def test_an_error_in_the_thread_reaches_the_draw_and_the_next_one_is_right(monkeypatch):
    resident, gather = both(random_pixels())
    ours, theirs = rng(), rng()
    assert_same_draw(resident, gather, 4, ours, theirs)
    assert_same_draw(resident, gather, 4, ours, theirs)
    gather.pending.future.result(timeout=10)

    def broken(*_, **__):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "index_select", broken)
        assert_same_draw(resident, gather, 4, ours, theirs)  # already fetched
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
    """A stand-in for a GPU records whether the sampler waits for its copies."""

    class Copy:
        def __init__(self):
            self.waited = False

        def synchronize(self):
            self.waited = True

    _, gather = both(random_pixels())
    fetcher = gather.fetcher
    first, second = (fetcher.gather(torch.arange(4) + k) for k in (0, 4))
    assert first.memory.data_ptr() != second.memory.data_ptr()
    first.copied, second.copied = Copy(), Copy()
    third = fetcher.gather(torch.arange(4))
    assert third is first
    assert first.copied.waited
    assert not second.copied.waited


@pytest.mark.parametrize("kind", [DeviceImages, PrefetchingImages])
def test_a_batch_is_its_own_memory(kind):
    """Neither the next batch nor a write into a batch changes another one."""
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
    expected = pixels[IndexSampler(len(pixels), 1).sample(6, rng())]
    assert torch.equal(source.draw(6, rng())[0], expected)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("stacked", [1, 3])
@pytest.mark.parametrize("labels", [None, np.arange(50) % 10], ids=["plain", "labelled"])
def test_labels_and_stacks_are_the_same_resident_and_prefetched(monkeypatch, stacked, labels):
    resident = ImageSampler(random_pixels(), stacked, CPU, labels=labels, num_labels=10)
    monkeypatch.setattr(images_module, "fits_on_device", lambda size, device: False)
    gathered = ImageSampler(random_pixels(), stacked, CPU, labels=labels, num_labels=10)
    assert isinstance(gathered.source, PrefetchingImages)
    assert_equal(list(resident.draw(20, rng())), list(gathered.draw(20, rng())))


SPEC = spec_of("ssgan", "mlp", "stacked_digits")


def test_training_on_prefetched_images_is_bit_identical(monkeypatch):
    resident = advance(trainer_of(SPEC), 4)
    monkeypatch.setattr(images_module, "fits_on_device", lambda size, device: False)
    gathered = advance(trainer_of(SPEC), 4)
    assert isinstance(gathered.images.source, PrefetchingImages)
    assert_equal(gathered.state(), resident.state())


@pytest.mark.usefixtures("gathered")
def test_training_on_prefetched_images_resumes_bit_identically():
    whole = advance(trainer_of(SPEC), 4)
    half, resumed = advance(trainer_of(SPEC), 2), trainer_of(SPEC)
    resumed.restore(half.state())
    assert_equal(advance(resumed, 2).state(), whole.state())


@pytest.mark.usefixtures("gathered")
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_checkpoint_has_the_state_after_the_last_draw_not_the_last_fetch(kept):
    """The state is saved while the next batch is ready, and restored into a trainer that has fetched another one."""
    whole = advance(trainer_of(SPEC), 6)
    first = advance(trainer_of(SPEC), kept)
    if kept:
        first.images.source.pending.future.result(timeout=10)
    saved = first.state()
    other = advance(trainer_of(SPEC), 5)
    other.restore(saved)
    assert_equal(advance(other, 6 - kept).state(), whole.state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_what_the_cpu_draws_while_the_host_runs_ahead():
    gpu, pixels = torch.device("cuda"), torch.from_numpy(np.tile(random_pixels(500, 3), (1, 1, 16, 16)))
    indices = IndexSampler(len(pixels), 1)
    sources = [DeviceImages(pixels, indices, gpu), PrefetchingImages(pixels, indices, gpu)]
    plain = DeviceImages(pixels, indices, CPU)
    work = torch.rand(3000, 3000, device=gpu)
    generators, wrong, expected = [rng() for _ in range(3)], [], []
    for _ in range(50):
        (resident, places), (prefetched, same_places) = (
            s.draw(64, g) for s, g in zip(sources, generators, strict=False)
        )
        expected.append(plain.draw(64, generators[2])[1])
        work = work @ work
        work /= work.max()
        wrong.append(
            (to_range(resident, (-1, 1)) != to_range(prefetched, (-1, 1))).sum() + (places != same_places).sum()
        )
        wrong.append((places != expected[-1].to(gpu)).sum())
    assert torch.stack(wrong).sum().item() == 0
    assert all(torch.equal(g.get_state(), generators[0].get_state()) for g in generators)


# --- fixed stacks --------------------------------------------------------------------------------------


def test_fixed_stacks_are_the_same_for_every_trial():
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    one, other = (
        ImageSampler(pixels, 3, CPU, labels=np.arange(200) % 10, num_labels=10, num_fixed_stacks=7) for _ in range(2)
    )
    drawn = one.draw(500, rng())
    stacks = {tuple(image[:, 0, 0].tolist()) for image in drawn.images}
    assert len(stacks) == 7, "all of them are drawn, and no others"
    assert stacks == {tuple(image[:, 0, 0].tolist()) for image in other.draw(500, rng(1)).images}
    digits = drawn.images[:, :, 0, 0].long() % 10
    assert torch.equal(drawn.labels, digits @ torch.tensor([100, 10, 1]))


def test_fixed_stacks_are_drawn_uniformly():
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    drawn = ImageSampler(pixels, 2, CPU, num_fixed_stacks=5).draw(5000, rng()).images[:, :, 0, 0].long()
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert chisquare(counts.numpy()).pvalue > 0.01


# --- drawing -------------------------------------------------------------------------------------------


def numbered(n, channels=1):
    """(n, channels, 2, 2) images; every pixel of an image is its index."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, channels, 2, 2)).copy()


def test_draws_are_uniform_with_replacement():
    images = ImageSampler(numbered(10), 1, CPU)
    drawn = images.draw(5000, rng()).images
    assert drawn.shape == (5000, 1, 2, 2)
    counts = np.bincount(drawn[:, 0, 0, 0].numpy(), minlength=10)
    assert chisquare(counts).pvalue > 0.01


def test_stacked_channels_are_independent_uniform_draws():
    """All 6 x 6 x 6 combinations are equally likely."""
    images = ImageSampler(numbered(6), 3, CPU)
    drawn = images.draw(20_000, rng()).images
    assert drawn.shape == (20_000, 3, 2, 2)
    assert (drawn == drawn[:, :, :1, :1]).all(), "a channel is one image"
    a, b, c = drawn[:, :, 0, 0].T.long()
    counts = np.bincount((36 * a + 6 * b + c).numpy(), minlength=216)
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(("channels", "stacked"), [(3, 1), (1, 3), (2, 2)])
def test_stacking_multiplies_channels(channels, stacked):
    images = ImageSampler(numbered(5, channels), stacked, CPU)
    assert images.draw(4, rng()).images.shape == (4, channels * stacked, 2, 2)


def test_a_draw_is_a_copy():
    pixels = numbered(5)
    ImageSampler(pixels, 1, CPU).draw(50, rng()).images.zero_()
    assert pixels[4].max() == 4


# --- labels --------------------------------------------------------------------------------------------


def test_the_label_of_a_stacked_image_has_the_labels_of_its_parts_as_digits():
    images = ImageSampler(numbered(10), 3, CPU, labels=np.arange(10), num_labels=10)
    drawn = images.draw(500, rng())
    r, g, b = drawn.images[:, :, 0, 0].T.long()
    assert torch.equal(drawn.labels, 100 * r + 10 * g + b)


def test_a_stacked_image_has_a_label_only_if_all_its_parts_do():
    labels = np.where(np.arange(10) < 7, np.arange(10), -1)
    images = ImageSampler(numbered(10), 2, CPU, labels=labels, num_labels=10)
    drawn = images.draw(500, rng())
    parts = drawn.images[:, :, 0, 0].long()
    known = (parts < 7).all(1)
    assert known.any()
    assert not known.all()
    assert torch.equal(drawn.labels[known], 10 * parts[known, 0] + parts[known, 1])
    assert (drawn.labels[~known] == -1).all()


def test_labels_do_not_change_the_drawn_images():
    plain, labelled = (
        ImageSampler(numbered(10), 3, CPU),
        ImageSampler(numbered(10), 3, CPU, labels=np.arange(10), num_labels=10),
    )
    without, with_labels = (images.draw(20, rng()) for images in (plain, labelled))
    assert torch.equal(without.images, with_labels.images)
    assert without.labels is None


@pytest.mark.parametrize(("share", "stacked", "known"), [(1.0, 3, 1000), (0.1, 1, 100), (0.008, 3, 200), (0.0, 1, 0)])
def test_a_fixed_share_of_images_keeps_its_label(share, stacked, known):
    labels = np.arange(1000)
    masked = mask_labels(labels, share, stacked)
    assert (masked >= 0).sum() == known
    assert (masked[masked >= 0] == labels[masked >= 0]).all()
    np.testing.assert_array_equal(masked, mask_labels(labels, share, stacked))


def test_a_larger_share_keeps_the_labels_of_a_smaller_one():
    few, many = (mask_labels(np.arange(1000), share, 1) >= 0 for share in (0.1, 0.4))
    assert (many | ~few).all()
