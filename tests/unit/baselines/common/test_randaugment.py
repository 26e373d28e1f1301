"""RandAugment for batches, compared with torchvision's, which applies one choice to a whole batch."""

import pytest
import torch
from torchvision.transforms import v2

from baselines.common.randaugment import OPERATIONS, RandAugment
from baselines.common.random_streams import SeedStreams

SPELLING = {"Color": "colour"}  # of torchvision
THEIR_NAMES = {
    SPELLING.get(name, "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]): name
    for name in v2.RandAugment._AUGMENTATION_SPACE
}
THEIR_NAMES["autocontrast"] = THEIR_NAMES.pop("auto_contrast")


def images(n=12, channels=3, height=17, width=20):
    """Noise; the second image is dark and flat, the third has one value only."""
    noise = torch.randint(256, (n, channels, height, width), generator=torch.Generator().manual_seed(5)).float()
    noise[1] = (noise[1] / 16).floor() + 30
    noise[2] = 77
    return noise


def theirs(batch, name, sign, magnitude):
    transform = v2.RandAugment(magnitude=magnitude)
    magnitudes, signed = transform._AUGMENTATION_SPACE[name]
    strengths = magnitudes(31, *batch.shape[2:])
    strength = 0.0 if strengths is None else float(strengths[magnitude]) * (sign if signed else 1)
    changed = transform._apply_image_or_video_transform(
        batch.to(torch.uint8), name, strength, interpolation=transform.interpolation, fill=transform._fill
    )
    return changed.float()


def test_the_operations_are_those_of_torchvision():
    assert set(THEIR_NAMES) == set(OPERATIONS)
    ours, default = RandAugment(8, 8), v2.RandAugment()
    assert (ours.count, round(30 * ours.share)) == (default.num_ops, default.magnitude)


@pytest.mark.parametrize("magnitude", [1, 9, 30])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_equals_torchvisions(name, sign, magnitude, channels):
    """Values that one of the two computes just below a whole number may differ by one level, as in the flat image."""
    batch = images(channels=channels)
    operation = torch.full((len(batch),), OPERATIONS.index(name))
    signs = torch.full((len(batch),), (sign + 1) // 2)
    ours = RandAugment(*batch.shape[2:], magnitude=magnitude).apply_each(batch, operation, signs)
    difference = (ours - theirs(batch, THEIR_NAMES[name], sign, magnitude)).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.1


def test_each_image_gets_its_own_operation():
    batch, augment = images(len(OPERATIONS)), RandAugment(17, 20)
    operations, signs = torch.arange(len(OPERATIONS)), torch.arange(len(OPERATIONS)) % 2
    together = augment.apply_each(batch, operations, signs)
    for i in range(len(batch)):
        alone = augment.apply_each(batch[i : i + 1], operations[i : i + 1], signs[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


def test_operations_and_signs_are_drawn_uniformly(monkeypatch):
    drawn = []
    monkeypatch.setattr(RandAugment, "apply_each", lambda self, x, *draws: drawn.append(draws) or x)
    RandAugment(2, 2)(torch.zeros(7000, 1, 2, 2), torch.Generator().manual_seed(1))
    for operations, signs in drawn:
        counts = torch.bincount(operations, minlength=len(OPERATIONS))
        assert ((counts - 500).square() / 500).sum() < 35  # chi-square with 13 degrees of freedom, p = 0.001
        assert abs(signs.float().mean() - 0.5) < 0.02
    assert len(drawn) == 2
    assert not torch.equal(drawn[0][0], drawn[1][0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_reproducible_and_keeps_whole_numbers_of_bytes(dtype):
    batch, augment = images(64).to(dtype), RandAugment(17, 20)
    before = torch.get_rng_state()
    one, again = (augment(batch, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.dtype is dtype
    assert torch.equal(one, one.round().clamp(0, 255))
    assert (one != batch).any((1, 2, 3)).float().mean() > 0.7
    assert not torch.equal(one, augment(batch, torch.Generator().manual_seed(4)))


def test_trials_trained_as_one_model_augment_as_alone():
    batches = torch.stack([images(9), images(9).flip(0)])
    augment = RandAugment(17, 20)
    streams = tuple(torch.Generator().manual_seed(seed) for seed in (3, 4))
    together = torch.func.vmap(lambda x, lane: augment(x, SeedStreams(streams, lane)))(batches, torch.arange(2))
    for seed, batch, result in zip((3, 4), batches, together, strict=True):
        assert torch.equal(result, augment(batch, torch.Generator().manual_seed(seed)))
