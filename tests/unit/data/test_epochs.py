"""Sampling in epochs without replacement: what is drawn, and that it resumes in the middle of an epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from benchmark.data import sampler
from benchmark.data.epochs import Epochs
from benchmark.data.sampler import DeviceImages, ImageSampler, IndexSampler, PrefetchingImages
from benchmark.training import checkpoint
from tests.support.examples import CPU, advance, assert_equal, spec_of, trainer_of


@given(size=st.integers(1, 30), batches=st.lists(st.integers(1, 70), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_every_epoch_has_every_index_once_whatever_the_batches(size, batches):
    epochs = Epochs(size, seed=1)
    drawn = torch.cat([epochs.next(n) for n in batches])
    assert len(drawn) == sum(batches)
    for epoch in drawn.split(size):
        assert len(epoch.unique()) == len(epoch)
    assert torch.equal(drawn, Epochs(size, seed=1).next(sum(batches))), "batches do not change the order"


def test_the_remainder_of_an_epoch_begins_the_batch_that_the_next_completes():
    """mimicry trains on a last batch of 16 (50,000 mod 64); here no batch is smaller, and no image is left out."""
    epochs = Epochs(10, seed=0)
    first, second, third = (epochs.next(4) for _ in range(3))
    assert set(first.tolist()) | set(second.tolist()) | set(third[:2].tolist()) == set(range(10))


def test_orders_differ_between_epochs_and_seeds():
    one, other = Epochs(50, seed=0), Epochs(50, seed=1)
    orders = [one.next(50), one.next(50), other.next(50)]
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_all_orders_are_equally_likely():
    epochs = Epochs(4, seed=2)
    orders = torch.stack([epochs.next(4) for _ in range(6000)]) @ torch.tensor([64, 16, 4, 1])
    counts = orders.unique(return_counts=True)[1].numpy()
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 0.01


@given(before=st.integers(1, 40), ahead=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_state_restores_the_position_within_the_epoch(before, ahead):
    epochs = Epochs(12, seed=3)
    epochs.next(before)
    state = epochs.get_state()
    expected = epochs.next(30)
    other = Epochs(12, seed=9)
    other.next(ahead)
    other.set_state(state)
    assert torch.equal(other.next(30), expected)
    epochs.set_state(state)
    assert torch.equal(epochs.next(30), expected)
    assert torch.equal(epochs.get_state(), other.get_state())


@pytest.mark.parametrize(("stacked", "fixed"), [(1, 0), (3, 0), (3, 9)])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_prefetched_images_equal_resident_ones(size, stacked, fixed):
    pixels = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1)
    indices = IndexSampler(50, stacked, fixed, "epochs")
    resident, prefetched = DeviceImages(pixels, indices, CPU), PrefetchingImages(pixels, indices, CPU)
    ours, theirs = indices.generator(5), indices.generator(5)
    for _ in range(30):
        assert_equal(list(prefetched.draw(size, theirs)), list(resident.draw(size, ours)))
        assert torch.equal(ours.get_state(), theirs.get_state()), "prefetching is invisible"


def test_fixed_stacks_are_all_drawn_once_per_epoch():
    pixels = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    images = ImageSampler(pixels, 2, CPU, num_fixed_stacks=15, sampling="epochs")
    drawn = images.draw(15, images.generator(0)).images.flatten(1)
    expected = images.indices.fixed_stacks
    assert sorted(drawn.tolist()) == sorted(expected.tolist())


# --- in a training -------------------------------------------------------------------------------------

SPEC = spec_of("ssgan", "mlp", "stacked_digits", sampling="epochs", batch_size=12)  # 40 images: an epoch ends in step 1


def test_a_trial_sees_every_image_once_per_epoch(monkeypatch):
    trainer, seen = trainer_of(SPEC), []
    draw = trainer.images.source.draw

    def recorded(n, *rngs):
        images, indices = draw(n, *rngs)
        seen.append(indices)
        return images, indices

    monkeypatch.setattr(trainer.images.source, "draw", recorded)
    advance(trainer, 5)
    epochs = torch.cat(seen).split(40)
    assert all(len(epoch.unique()) == 40 for epoch in epochs[:-1])


@pytest.mark.parametrize("prefetched", [False, True])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_training_resumes_bit_identically_in_the_middle_of_an_epoch(first, prefetched, monkeypatch, tmp_path):
    whole = advance(trainer_of(SPEC), 5)
    if prefetched:
        monkeypatch.setattr(sampler, "fits_on_device", lambda size, device: False)
    checkpoint.save(tmp_path / "state.pt", advance(trainer_of(SPEC), first).state())
    resumed = trainer_of(SPEC)
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_equal(advance(resumed, 5 - first).state(), whole.state())
