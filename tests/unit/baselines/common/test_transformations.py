"""Rotations, shifts, batch recipes, and the images that each self-supervised loss passes to the discriminator."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baselines.common import transformations
from baselines.common.method import EagerStepInputs
from baselines.common.transformations import ROTATIONS, SHIFTS, TransformationSet
from benchmark.core import registry
from tests.support.stub import build


def marked(n, first=0, size=2):
    """(n, 1, size, size) images whose pixels encode image, row and column, so that all rotations differ."""
    pixels = torch.arange(n * size * size, dtype=torch.float32) + first * size * size
    return pixels.view(n, 1, size, size)


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [(0, [[1, 2], [3, 4]]), (1, [[2, 4], [1, 3]]), (2, [[4, 3], [2, 1]]), (3, [[3, 1], [4, 2]])],
)
def test_rotations_of_two_by_two_pixels_by_hand(rotation, expected):
    """Rotations are counter-clockwise: the right column becomes the top row."""
    image = torch.tensor([[[[1, 2], [3, 4]]]])
    assert ROTATIONS.apply(image, rotation).tolist() == [[expected]]


@given(
    n=st.integers(1, 5),
    channels=st.integers(1, 3),
    size=st.integers(1, 6),
    rotation=st.integers(0, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_rotations_equal_numpys(n, channels, size, rotation, seed):
    images = np.random.default_rng(seed).random((n, channels, size, size))
    found = ROTATIONS.apply(torch.from_numpy(images), rotation).numpy()
    np.testing.assert_array_equal(found, np.rot90(images, rotation, axes=(2, 3)))


@given(rotation=st.lists(st.integers(0, 3), max_size=4))
@settings(max_examples=30, deadline=None)
def test_rotations_add_up_modulo_four(rotation):
    image = marked(2, size=3)
    found = image
    for r in rotation:
        found = ROTATIONS.apply(found, r)
    assert torch.equal(found, ROTATIONS.apply(image, sum(rotation) % 4))


def upright(batch):
    """Every image of a batch rotated back by its label."""
    return torch.stack([torch.rot90(i, -int(r), dims=(1, 2)) for i, r in zip(*batch, strict=True)])


def test_each_four_ways_contains_every_image_in_every_rotation_with_its_label():
    images = marked(3)
    batch = ROTATIONS.each_four_ways(images)
    assert batch.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert torch.equal(upright(batch), images.repeat(4, 1, 1, 1))
    assert len({str(image.tolist()) for image in batch.samples}) == 12


@pytest.mark.parametrize("n", [4, 8, 64])
def test_quarter_four_ways_is_the_last_quarter_in_all_four_rotations(n):
    images = marked(n)
    batch = ROTATIONS.quarter_four_ways(images)
    assert len(batch.samples) == len(batch.labels) == n
    assert batch.labels.tolist() == sorted([0, 1, 2, 3] * (n // 4))
    assert torch.equal(upright(batch), images[3 * n // 4 :].repeat(4, 1, 1, 1))


@pytest.mark.parametrize("n", [4, 8, 64])
def test_each_one_way_contains_image_i_once_in_rotation_floor_of_4i_over_n(n):
    images = marked(n)
    batch = ROTATIONS.each_one_way(images)
    assert batch.labels.tolist() == [4 * i // n for i in range(n)]
    assert torch.equal(upright(batch), images)


def test_every_recipe_name_has_its_function():
    for name in set(get_args(transformations.BatchRecipe)) - {"random"}:
        found, expected = ROTATIONS.batch(name, marked(8), torch.Generator()), getattr(ROTATIONS, name)(marked(8))
        assert torch.equal(found.samples, expected.samples)
        assert torch.equal(found.labels, expected.labels)


def test_a_random_batch_is_a_new_draw_of_n_of_the_4n_rotated_images():
    images, rng = marked(8), torch.Generator().manual_seed(0)
    batches = [ROTATIONS.batch("random", images, rng) for _ in range(20)]
    for batch in batches:
        sources = [source_of(image, images) for image in batch.samples]
        assert len(set(sources)) == len(batch.labels) == 8
        assert [rotation for _, rotation in sources] == batch.labels.tolist()
    assert len({str(batch.labels.tolist()) for batch in batches}) > 15


def test_only_random_batches_draw_from_the_stream():
    for name in get_args(transformations.BatchRecipe):
        rng = torch.Generator().manual_seed(0)
        before = rng.get_state()
        ROTATIONS.batch(name, marked(8), rng)
        assert torch.equal(rng.get_state(), before) == (name != "random")


@given(of=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_draw_is_without_replacement(of, share, seed):
    n = round(of * share)
    index = transformations.random_indices(torch.Generator().manual_seed(seed), of, n).tolist()
    assert len(index) == len(set(index)) == n
    assert set(index) <= set(range(of))


@given(seed=st.integers(0, 99), side=st.integers(1, 5), n=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_candidates_are_all_rotated_images_and_the_upright_images(seed, side, n):
    rng = torch.Generator().manual_seed(seed)
    real, fake = torch.rand(2, n, 3, side, side, generator=rng).requires_grad_()
    every = ROTATIONS.each_four_ways(real)
    images, labels = torch.cat([every.samples, fake]), torch.cat([every.labels, torch.full((n,), 4)])
    index = torch.randperm(5 * n, generator=rng)[: 3 * n]
    found = ROTATIONS.select_candidates(torch.cat([real, fake]), n, index)
    assert torch.equal(found.samples, images[index])
    assert torch.equal(found.labels, labels[index])
    weights = torch.rand(found.samples.shape, generator=rng)
    slopes = [torch.autograd.grad((weights * x.square()).sum(), (real, fake)) for x in (found.samples, images[index])]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)
    rotated = index[index < 4 * n]
    assert torch.equal(ROTATIONS.select_candidates(real, n, rotated).samples, every.samples[rotated])


@given(k=st.integers(0, 3), n=st.integers(1, 5), dimensions=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_shift_k_adds_2k_to_every_coordinate(k, n, dimensions, seed):
    points = np.random.default_rng(seed).standard_normal((n, dimensions))
    expected = points + np.array([0, 2, 4, 6])[k]
    np.testing.assert_array_equal(SHIFTS.apply(torch.from_numpy(points), k).numpy(), expected)


@given(seed=st.integers(0, 99), dimensions=st.integers(1, 3), n=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_candidates_of_points_are_all_shifted_points_and_the_unchanged_ones(seed, dimensions, n):
    rng = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, n, dimensions, generator=rng).requires_grad_()
    points = torch.cat([real, real + 2, real + 4, real + 6, fake])
    index = torch.randperm(5 * n, generator=rng)[: 3 * n]
    found = SHIFTS.select_candidates(torch.cat([real, fake]), n, index)
    assert torch.equal(found.samples, points[index])
    assert torch.equal(found.labels, index // n)
    weights = torch.rand(found.samples.shape, generator=rng)
    slopes = [torch.autograd.grad((weights * x.square()).sum(), (real, fake)) for x in (found.samples, points[index])]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


def test_batches_of_points_by_hand():
    points, rng = torch.arange(4.0).unsqueeze(1), torch.Generator()
    four_ways = SHIFTS.batch("each_four_ways", points, rng)
    assert four_ways.samples.flatten().tolist() == [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9]
    assert four_ways.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert SHIFTS.batch("quarter_four_ways", points, rng).samples.flatten().tolist() == [3, 5, 7, 9]
    assert SHIFTS.batch("each_one_way", points, rng).samples.flatten().tolist() == [0, 3, 6, 9]


ON_BATCHES = ["ssgan", "msgan", "dagan", "dagan_md", "ssgan_la", "ssgan_la_plus"]


@pytest.mark.parametrize("name", ON_BATCHES)
@pytest.mark.parametrize(("batch_size", "fits"), [(4, True), (64, True), (1, False), (6, False), (63, False)])
def test_standard_tasks_refuse_batches_that_four_does_not_divide(name, batch_size, fits):
    method = registry.methods[name]
    recipes = get_args(method.Options.model_fields["batches"].annotation)
    assert {"each_one_way", "each_four_ways"} <= set(recipes)
    for recipe in recipes:
        problem = method.check_config({"batches": recipe}, batch_size)
        if recipe in ("each_four_ways", "random"):
            assert problem is None, "they divide nothing"
        else:
            assert (problem is None) == fits
            assert fits or (str(batch_size) in problem and "4" in problem and recipe in problem)
    default = method.Options.model_fields["batches"].default
    assert method.check_config({}, batch_size) == method.check_config({"batches": default}, batch_size)


# --- which images the tasks show to the discriminator ----------------------------------------------------


class Always(nn.Module):
    """A generator that returns the same images for all latents."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def forward(self, latents):
        return self.images[: len(latents)]


def distinct_images(n, first):
    """n images in the stub's shape, all of whose rotations differ."""
    return torch.arange(n * 18, dtype=torch.float32).add(first).view(n, 2, 3, 3)


REAL, FAKE = distinct_images(8, 0), distinct_images(8, 1000)


def discriminator_inputs(name, options, player, rng=None):
    """All images that a loss passes to the discriminator."""
    method = build(name, options)
    method.generator = Always(FAKE)
    batches = []
    method.discriminator.register_forward_pre_hook(lambda _, args: batches.append(args[0]))
    method.loss(player, EagerStepInputs(REAL, 0.0, rng or torch.Generator().manual_seed(0)))
    return torch.cat(batches)


def without(images, *known):
    """The images that remain when the known ones are removed, in any order."""
    by_text = {str(image.tolist()): image for image in images}
    left = Counter(str(image.tolist()) for image in images)
    taken = Counter(str(image.tolist()) for image in torch.cat(known))
    assert taken <= left
    return [by_text[text] for text in (left - taken).elements()]


def same_images(images, expected):
    return Counter(str(i.tolist()) for i in images) == Counter(str(i.tolist()) for i in expected)


def source_of(image, originals):
    """(index, rotation) of a rotated image among the originals, or None if it is not one of them."""
    for index, original in enumerate(originals):
        for rotation in range(4):
            if torch.equal(torch.rot90(original, rotation, dims=(1, 2)), image):
                return index, rotation
    return None


@pytest.mark.parametrize("batches", ["quarter_four_ways", "each_one_way", "each_four_ways"])
def test_ssgan_rotates_real_images_in_the_discriminator_loss_and_fakes_in_the_generator_loss(batches):
    recipe, options = getattr(ROTATIONS, batches), {"batches": batches}
    in_d = discriminator_inputs("ssgan", options, "discriminator")
    assert same_images(in_d, torch.cat([REAL, FAKE, recipe(REAL).samples])), "no rotated fakes"
    in_g = discriminator_inputs("ssgan", options, "generator")
    assert same_images(in_g, torch.cat([FAKE, recipe(FAKE).samples]))


@pytest.mark.parametrize("batches", ["quarter_four_ways", "each_one_way", "each_four_ways"])
def test_msgan_rotates_fakes_in_the_discriminator_loss_too(batches):
    """MS-05: SSGAN-LA's form of the task rotates the fakes of the fifth class."""
    recipe, options = getattr(ROTATIONS, batches), {"batches": batches}
    in_d = discriminator_inputs("msgan", options, "discriminator")
    assert same_images(in_d, torch.cat([REAL, FAKE, recipe(REAL).samples, recipe(FAKE).samples]))
    in_g = discriminator_inputs("msgan", options, "generator")
    assert same_images(in_g, torch.cat([FAKE, recipe(FAKE).samples]))


@pytest.mark.parametrize("batches", ["each_one_way", "each_four_ways"])
@pytest.mark.parametrize("name", ["dagan", "dagan_md", "ssgan_la", "ssgan_la_plus"])
def test_label_augmentation_and_data_augmentation_rotate_real_and_fake_images_alike(name, batches):
    """Only SSGAN-LA+, which keeps the plain GAN, also uses upright images."""
    recipe, upright = getattr(ROTATIONS, batches), name == "ssgan_la_plus"
    in_d = discriminator_inputs(name, {"batches": batches}, "discriminator")
    rotated = torch.cat([recipe(REAL).samples, recipe(FAKE).samples])
    assert same_images(in_d, torch.cat([REAL, FAKE, rotated]) if upright else rotated)
    in_g = discriminator_inputs(name, {"batches": batches}, "generator")
    assert same_images(in_g, torch.cat([FAKE, recipe(FAKE).samples]) if upright else recipe(FAKE).samples)
    if batches == "each_four_ways" and not upright:
        counts = Counter(source_of(image, REAL)[0] for image in in_d if source_of(image, REAL))
        assert counts == dict.fromkeys(range(8), 4), "each image four times"


def test_the_default_batches_of_each_method_are_those_of_its_source():
    """compare_gan rotates the last quarter four ways (2.2); SSGAN-LA's CIFAR-10 scripts as in their table (2.4)."""
    defaults = {name: build(name, {}).options.batches for name in ON_BATCHES}
    assert defaults == {
        "ssgan": "quarter_four_ways",
        "msgan": "each_one_way",
        "dagan": "each_four_ways",
        "dagan_md": "each_four_ways",
        "ssgan_la": "each_four_ways",
        "ssgan_la_plus": "each_one_way",
    }


TASK = {"weight_d": 1.0, "weight_g": 1.0, "penalty": "off"}


def test_the_ss_discriminator_sees_n_of_the_4n_rotated_real_images_and_no_rotated_fakes():
    batch = without(discriminator_inputs("dist_gan_ss", TASK, "discriminator"), REAL, FAKE, FAKE)  # x, G(z), G(E(x))
    sources = [source_of(image, REAL) for image in batch]
    assert len(batch) == 8
    assert None not in sources
    assert len(set(sources)) == 8, "drawn without replacement"


RELEASED = {
    "weight_d": 1.0,
    "weight_g": 1.0,
    "fake_class": "upright",
    "generator_loss": "released",
    "batches": "random",
}


@pytest.mark.parametrize(
    ("name", "options", "upright"),
    [("dist_gan_ss", TASK, [REAL, FAKE]), ("dist_gan_ms", TASK, [REAL, FAKE]), ("msgan", RELEASED, [FAKE])],
)
def test_the_generator_compares_the_same_n_of_4n_rotated_real_and_fake_images(name, options, upright):
    images = discriminator_inputs(name, options, "generator")
    images = without(images, *upright)
    of_real = {source_of(image, REAL) for image in images} - {None}
    of_fake = {source_of(image, FAKE) for image in images} - {None}
    assert len(images) == 16
    assert len(of_real) == 8
    assert of_real == of_fake


@pytest.mark.parametrize(("name", "options"), [("dist_gan_ms", TASK), ("msgan", RELEASED)])
def test_ms_candidates_are_four_rotations_of_every_real_image_and_upright_fakes(name, options, monkeypatch):
    found, random_indices = [], transformations.random_indices

    def all_of_them(rng, of, n):
        found.append((of, n))
        return random_indices(rng, of, of)

    monkeypatch.setattr(transformations, "random_indices", all_of_them)
    names_all = {"msgan": [REAL, FAKE], "dist_gan_ms": [REAL, FAKE, FAKE]}[name]
    drawn = without(discriminator_inputs(name, options, "discriminator"), *names_all)
    assert found == [(40, 8)]
    assert len(drawn) == 40
    sources = Counter(source_of(image, REAL) for image in drawn)
    assert sources == {None: 8} | {(index, rotation): 1 for index in range(8) for rotation in range(4)}
    assert same_images([image for image in drawn if source_of(image, REAL) is None], FAKE), "the fakes are upright"


def test_ms_batches_of_64_contain_51_rotated_real_and_13_fake_images_on_average(monkeypatch):
    """The means are 51.2 and 12.8 (2.1), and 12.8 per rotation; over 200 draws their standard error is 0.2."""
    labels, candidates = [], TransformationSet.select_candidates

    def record(self, samples, n, index):
        drawn = candidates(self, samples, n, index)
        labels.append(drawn.labels)
        return drawn

    monkeypatch.setattr(TransformationSet, "select_candidates", record)
    method, rng = build("dist_gan_ms", TASK), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(200):
            method.loss("discriminator", EagerStepInputs(torch.zeros(64, 2, 3, 3), 0.0, rng))
    counts = torch.stack([torch.bincount(batch, minlength=5) for batch in labels]).double()
    assert len(counts) == 200
    assert (counts.sum(1) == 64).all()
    torch.testing.assert_close(counts.mean(0), torch.full((5,), 12.8).double(), atol=0.5, rtol=0)
    assert counts[:, 4].std() > 2, "the shares are left to chance in every batch"


def test_class_heads_have_four_classes_or_five_with_a_class_of_fakes():
    classes = {name: registry.methods[name].task_classes for name in registry.methods}
    assert classes == classes | {"gan": 0, "ssgan": 4, "msgan": 5}
    assert classes == classes | {"dagan": 0, "dagan_md": 4, "ssgan_la": 8, "ssgan_la_plus": 8}
    assert classes == classes | {"dist_gan": 0, "dist_gan_ss": 4, "dist_gan_ms": 5}
