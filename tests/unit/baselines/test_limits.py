"""Cases with a known answer: tasks switched off, penalties off, weights before and after their schedule."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from baselines.common import losses, transformations
from baselines.common.method import EagerStepInputs
from baselines.common.transformations import TransformedBatch
from baselines.methods import msgan, ssgan_la
from baselines.networks.base import DiscriminatorOutput, NetworkOptions
from benchmark.core import registry
from tests.support.cases import BATCHES, DIST_LOSSES, FORMS, GAMES, JOINT_BATCHES, VARIANTS, WEIGHTS
from tests.support.stub import (
    BATCH,
    DRAWS,
    FEATURES,
    LATENT,
    MANUAL,
    PIXELS,
    SHAPE,
    Bench,
    Stub,
    build,
    manual_labels,
    real_images,
)

pytestmark = pytest.mark.usefixtures("double_precision")

RANDOM_TASKS = [
    ("ssgan", {"batches": "random"}),
    ("msgan", {"batches": "random"}),
    ("msgan", {"fake_class": "upright"}),
]
OFF = {"weight_d": 0.0, "weight_g": 0.0}


def variant_id(variant):
    return "-".join(variant.values())


def total_and_gradients(bench):
    total = sum(bench.terms().values())
    parameters = dict(bench.method.named_parameters())
    shared = [p for name, p in parameters.items() if not re.search("classes|conditions|generator.1", name)]
    return total.item(), torch.autograd.grad(total, shared, allow_unused=True)


def assert_same_game(with_task, base):
    """Assert the same value and the same gradient of every shared parameter, up to rounding.

    They are not bit-identical: images of the task may share a pass with those of the game, which may round differently.
    """
    base.method.load_state_dict(with_task.method.state_dict(), strict=False)
    value, gradients = total_and_gradients(with_task)
    expected, expected_gradients = total_and_gradients(base)
    assert value == pytest.approx(expected, rel=1e-13)
    assert len(gradients) == len(expected_gradients)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("name", ["ssgan", "msgan"])
def test_without_task_weights_ssgan_and_msgan_are_gan(name, game, batches, player):
    task = Bench(name, {"game": game, "batches": batches} | OFF, player)
    assert_same_game(task, Bench("gan", {"game": game}, player))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("variant", VARIANTS, ids=variant_id)
def test_without_task_weights_every_variant_of_msgan_is_gan(variant, player):
    assert_same_game(Bench("msgan", variant | OFF, player), Bench("gan", {}, player))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("variant", VARIANTS, ids=variant_id)
def test_msgan_and_dist_gan_ms_have_the_same_task(variant, player):
    """The networks and draws are the same, as the penalty is off and draws nothing; so the task terms are the same."""
    plain = Bench("msgan", variant | {"batches": "random"} | WEIGHTS, player)
    dist = Bench("dist_gan_ms", variant | {"penalty": "off"} | WEIGHTS, player)
    plain.method.load_state_dict(dist.method.state_dict(), strict=False)
    task, same_task = plain.terms(), dist.terms()
    shared = task.keys() & same_task.keys() - {"game"}
    assert shared
    for term in shared:
        assert task[term].item() == pytest.approx(same_task[term].item(), rel=1e-13)


def test_msgan_follows_the_paper_and_dist_gan_ms_the_released_code_by_default():
    variants = {name: build(name, WEIGHTS).options for name in ("msgan", "dist_gan_ms")}
    found = {name: (options.fake_class, options.generator_loss) for name, options in variants.items()}
    assert found == {"msgan": ("rotated", "eq9"), "dist_gan_ms": ("upright", "released")}


def class_logits(n=7, classes=5, seed=2):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed)).mul(2).requires_grad_()


ROTATIONS = torch.tensor([0, 1, 2, 3, 0, 2, 1])


def test_equation_9_is_linear_in_the_class_scores():
    """The softmax cancels: the mean of s_fake - s_r. So its gradient is 1/N at the class of fakes, -1/N at r."""
    scores = class_logits()
    value = msgan.eq9(scores, ROTATIONS)
    margin = scores[:, 4] - scores[range(7), ROTATIONS]
    assert value.item() == pytest.approx(margin.mean().item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(value, scores)
    expected = torch.zeros(7, 5)
    expected[range(7), ROTATIONS], expected[:, 4] = -1 / 7, 1 / 7
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", [msgan.eq34, msgan.released])
def test_the_matching_losses_are_zero_for_scores_like_those_of_real_images_and_symmetric(loss):
    real, fake = class_logits(), class_logits(seed=3)
    assert loss(real, real, ROTATIONS).item() == 0
    assert loss(fake, real, ROTATIONS).item() > 0
    assert loss(fake, real, ROTATIONS).item() == loss(real, fake, ROTATIONS).item()


def test_equation_34_is_the_size_of_the_difference_of_equation_9_of_fake_and_of_real_images():
    real, fake = class_logits(), class_logits(seed=3)
    difference = msgan.eq9(fake, ROTATIONS) - msgan.eq9(real, ROTATIONS)
    assert msgan.eq34(fake, real, ROTATIONS).item() == pytest.approx(abs(difference.item()), rel=1e-12)
    shifted = fake + torch.tensor([0, 0, 0, 0, 0.5])  # more like the class of fakes, by the same amount everywhere
    moved = msgan.eq9(shifted, ROTATIONS) - msgan.eq9(fake, ROTATIONS)
    assert moved.item() == pytest.approx(0.5, rel=1e-12)


def test_the_released_loss_is_equation_34_if_no_image_can_be_of_the_class_of_fakes():
    """It lacks the two terms of that class; they cancel where its probability is the same for real and fake."""
    real, fake = class_logits(classes=4), class_logits(classes=4, seed=3)
    with_fake = [
        torch.cat([s, torch.logsumexp(s, 1, keepdim=True) - 30], 1) for s in (fake, real)
    ]  # probability e^-30 / (1 + e^-30) of every image
    assert msgan.eq34(*with_fake, ROTATIONS).item() == pytest.approx(
        msgan.released(fake, real, ROTATIONS).item(), rel=1e-10
    )


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("game", [None, "hinge", "non_saturating"])
def test_without_task_weights_ssgan_la_plus_is_gan_hinge_by_default(game, form, player):
    task = Bench("ssgan_la_plus", {"form": form} | ({"game": game} if game else {}) | OFF, player)
    assert_same_game(task, Bench("gan", {"game": game or "hinge"}, player))


@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.BatchNorm1d(FEATURES)], ids=["plain", "batch norm"])
def test_real_and_fake_images_share_no_statistics(norm):
    """Even with batch norm in the discriminator, the logits of a batch do not depend on the other batch."""
    method = build("gan", {})
    method.discriminator.hidden = nn.Sequential(method.discriminator.hidden, norm())
    batches = [real_images(), 3 * real_images()[:5] - 1]
    for together, alone in zip(method.discriminate_batches(*batches), map(method.discriminate, batches), strict=True):
        torch.testing.assert_close(together.logit, alone.logit, rtol=1e-12, atol=1e-14)


# --- labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_without_projection_and_shifts_the_conditional_gan_is_gan(game, player):
    conditional = Bench("conditional_gan", {"game": game}, player)
    plain = Bench("gan", {"game": game}, player)
    with torch.no_grad():
        conditional.method.discriminator.heads.conditions.weight.zero_()
        conditional.method.generator[1].images.weight.zero_()
    plain.method.load_state_dict(conditional.method.state_dict(), strict=False)
    assert_same_game(conditional, plain)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_with_packs_of_one_pacgan_is_gan(game, player):
    assert_same_game(Bench("pacgan", {"game": game, "packing": 1}, player), Bench("gan", {"game": game}, player))


def self_labelled(player, **options):
    """Without the penalty, unless the options say otherwise."""
    return Bench("self_labelling", {"prototypes": 4, "threshold": 0.6, "lambda_gp": 0.0} | options, player)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_with_one_prototype_self_labelling_is_gan(game, player, threshold):
    """This holds at any threshold, as there is only one label."""
    single = self_labelled(player, prototypes=1, game=game, threshold=threshold)
    plain = Bench("gan", {"game": game}, player)
    plain.method.load_state_dict(single.method.state_dict(), strict=False)
    assert sum(single.terms().values()).item() == pytest.approx(plain.terms()["game"].item(), rel=1e-13)


def test_with_one_prototype_the_players_of_self_labelling_are_those_of_gan():
    benches = self_labelled("generator", prototypes=1), Bench("gan", {}, "generator")
    single, plain = (set(dict(bench.method.named_parameters())) for bench in benches)
    assert {name for name in single if not name.startswith(("classifier", "teacher"))} == plain


@pytest.mark.parametrize("weighting", ["threshold", "confidence"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_above_threshold_one_the_real_term_is_unconditional(game, weighting):
    unlabelled = self_labelled("discriminator", threshold=1.5, game=game, weighting=weighting)
    terms = unlabelled.terms()
    logit = unlabelled.method.discriminate(real_images()).logit
    assert terms["labelled"].item() == 0
    assert terms["unlabelled"].item() == pytest.approx(
        losses.DISCRIMINATOR_LOSSES[game][0](logit).mean().item(), rel=1e-13
    )


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_without_accepted_labels_self_labelling_with_an_unconditional_generator_is_gan(game, player):
    """The discriminator then judges fakes without their labels too."""
    unlabelled = self_labelled(player, threshold=1.5, game=game, conditional_generator=False)
    plain = Bench("gan", {"game": game}, player)
    plain.method.load_state_dict(unlabelled.method.state_dict(), strict=False)
    assert sum(unlabelled.terms().values()).item() == pytest.approx(plain.terms()["game"].item(), rel=1e-13)


def test_no_label_counts_for_more_fakes_than_real_images():
    method = self_labelled("generator").method
    own, y = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 2, 3])
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.4, 0.0])
    fake_weight = method.fake_weight(own, weight, y)
    torch.testing.assert_close(fake_weight, torch.tensor([1.0, 0.5, 0.5, 0.2, 0.2, 0.0]))


def test_fakes_can_always_be_judged_with_their_labels():
    always = self_labelled("generator", threshold=1.5, fakes="always", game="hinge")
    fake, y = always.method.generate(BATCH, torch.Generator().manual_seed(0))
    inputs = EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(0))
    expected = -always.method.discriminate(fake).logit_given(y).mean().item()
    assert always.method.loss("generator", inputs)["game"].item() == pytest.approx(expected, rel=1e-13)


def test_at_threshold_zero_every_image_counts_with_its_label():
    terms = self_labelled("discriminator", threshold=0.0).terms()
    assert terms["unlabelled"].item() == 0
    assert terms["labelled"].item() != 0


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "hinge"])
def test_with_all_labels_self_labelling_is_the_conditional_gan(game, player, monkeypatch):
    """There is one prototype per manual class, and the labels of fakes are drawn as in the conditional GAN."""
    ours = self_labelled(player, prototypes=MANUAL, labelled=1.0, game=game)
    theirs = Bench("conditional_gan", {"game": game}, player)
    theirs.method.load_state_dict(ours.method.state_dict(), strict=False)
    monkeypatch.setattr(ours.method, "labelled_latents", theirs.method.generator_input)
    assert sum(ours.terms().values()).item() == pytest.approx(theirs.terms()["game"].item(), rel=1e-13)


def test_the_teacher_is_the_moving_average_of_the_classifier():
    method = self_labelled("classifier", decay=0.75).method
    average = {name: value.clone() for name, value in method.teacher.module.state_dict().items()}
    for count in range(3):
        with torch.no_grad():
            for parameter in method.classifier.parameters():
                parameter.add_(torch.ones_like(parameter))
        method.after_update("generator")  # has no effect
        method.after_update("classifier")
        for name, value in method.classifier.state_dict().items():
            share = 0.75 if count else 0.0  # the first update copies
            average[name] = share * average[name] + (1 - share) * value
            torch.testing.assert_close(method.teacher.module.state_dict()[name], average[name], rtol=1e-13, atol=0)


def test_without_decay_the_teacher_is_the_classifier():
    method = self_labelled("classifier", decay=0.0).method
    for _ in range(2):
        with torch.no_grad():
            for parameter in method.classifier.parameters():
                parameter.add_(1.0)
        method.after_update("classifier")
        torch.testing.assert_close(method.teacher.module.state_dict(), method.classifier.state_dict())


def test_at_threshold_one_no_real_image_has_a_label():
    bench = self_labelled("discriminator", threshold=1.0)
    inputs = EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(0))
    _, weight = bench.method.self_labels(bench.method.class_probabilities(real_images()), inputs)
    assert not weight.any()
    assert bench.terms()["labelled"].item() == 0


def test_the_label_of_an_image_does_not_depend_on_its_batch():
    """The teacher is in evaluation mode for the labels, and in training mode again afterwards."""
    method = self_labelled("discriminator").method
    for classifier in (method.classifier, method.teacher.module):
        classifier.hidden = nn.Sequential(classifier.hidden, nn.BatchNorm1d(FEATURES))
    method.train()
    method.after_update("classifier")
    together = method.class_probabilities(real_images())
    torch.testing.assert_close(method.class_probabilities(real_images()[:1]), together[:1])
    assert method.teacher.module.training


def test_the_classifier_trains_on_augmented_images():
    """Here the augmentation is the negative; real images are augmented as fakes are."""
    bench = self_labelled("classifier", labelled=0.5)
    plain = bench.method
    drawn, labels = torch.Generator().manual_seed(DRAWS), manual_labels(0.5)
    with torch.no_grad():
        fake, y = plain.generate(BATCH, drawn)
    plain.augment = lambda pixels, rng: 255 - pixels
    negatives = [1 - (images.clamp(0, 1) * 255).round() / 255 for images in (fake, real_images())]
    on_fake, on_real = (plain.classifier(images).class_logits for images in negatives)
    terms = bench.terms()
    assert terms["fake"].item() == pytest.approx(cross_entropy(on_fake, y).item(), rel=1e-12)
    known = labels >= 0
    expected = cross_entropy(on_real[known], labels[known]).item()
    assert terms["labelled"].item() == pytest.approx(expected, rel=1e-12)


def test_the_penalty_of_self_labelling_is_that_of_gan():
    """The latents and the shares are drawn alike, and the fakes are the same."""
    ours = self_labelled("discriminator", lambda_gp=0.3, conditional_generator=False)
    theirs = Bench("gan", {"lambda_gp": 0.3}, "discriminator")
    theirs.method.load_state_dict(ours.method.state_dict(), strict=False)
    assert ours.terms()["penalty"].item() == pytest.approx(theirs.terms()["penalty"].item(), rel=1e-13)


def test_latents_are_labelled_by_the_nearest_prototype_or_drawn_around_it():
    nearest, mixture = (self_labelled("generator", latent_label=rule).method for rule in ("nearest", "mixture"))
    z, y = nearest.labelled_latents(200, torch.Generator().manual_seed(0))
    distances = (z[:, None] - nearest.prototypes).norm(dim=2)
    assert (distances.gather(1, y[:, None]).squeeze(1) == distances.min(1).values).all()
    assert z.abs().max() <= 1, "the latents follow the prior"
    z, y = mixture.labelled_latents(4000, torch.Generator().manual_seed(0))
    assert torch.bincount(y, minlength=4).min() > 900
    assert (z - mixture.prototypes[y]).abs().max() <= 1
    euclidean_labels = nearest.labelled_latents(200, torch.Generator().manual_seed(0))[1]
    cosine = self_labelled("generator", distance="cosine").method
    assert (euclidean_labels != cosine.labelled_latents(200, torch.Generator().manual_seed(0))[1]).any()


# --- label augmentation --------------------------------------------------------------------------------


def one_rotation_scores():
    """Scores (2, 7, 2) of real and fake images, their batches of upright images, and the logits s_0 - s_1 (2, 7)."""
    scores = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(2)).mul(2).requires_grad_()
    upright = torch.zeros(7, dtype=torch.long)
    return scores, [TransformedBatch(torch.empty(0), upright)] * 2, scores[..., 0] - scores[..., 1]


@pytest.mark.parametrize(("form", "game"), [("multi_hinge", "hinge"), ("cross_entropy", "non_saturating")])
def test_with_one_rotation_ssgan_la_is_the_two_class_game(form, game):
    """The logit is s_0 - s_1. G's loss is the linear one; it has two sides, so the multi-hinge counts it twice."""
    scores, rotated, (real, fake) = one_rotation_scores()
    task = ssgan_la.discriminator_task(form, 1.0, *rotated)
    assert_same_value_and_gradient(
        sum(task.loss(*scores).values()), losses.discriminator_loss(game, real, fake), scores
    )
    task = ssgan_la.generator_task(form, 1.0, rotated[1])
    sides = {"multi_hinge": 2, "cross_entropy": 1}[form]
    expected = sides * losses.generator_loss("hinge", fake)
    assert_same_value_and_gradient(sum(task.loss(scores[1]).values()), expected, scores)


def assert_same_value_and_gradient(value, expected, inputs):
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    gradients = (torch.autograd.grad(total, inputs, retain_graph=True)[0] for total in (value, expected))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("batches", JOINT_BATCHES)
def test_dagan_md_with_equal_logits_for_all_rotations_is_dagan(batches, player):
    several = Bench("dagan_md", {"batches": batches}, player)
    single = Bench("dagan", {"batches": batches}, player)
    logit_head, rotation_heads = single.method.discriminator.heads.logit, several.method.discriminator.heads.classes
    single.method.load_state_dict(several.method.state_dict(), strict=False)
    with torch.no_grad():
        rotation_heads.weight.copy_(logit_head.weight.expand(4, -1))
        rotation_heads.bias.copy_(logit_head.bias.expand(4))
    assert several.terms()["game"].item() == pytest.approx(single.terms()["game"].item(), rel=1e-13)


@pytest.mark.parametrize("player", ["encoder", "discriminator", "generator"])
@pytest.mark.parametrize("loss", DIST_LOSSES)
@pytest.mark.parametrize("name", ["dist_gan_ss", "dist_gan_ms"])
def test_without_task_weights_the_tasks_of_dist_gan_are_dist_gan(name, loss, player):
    """Within one loss the task draws last, so the latents and the interpolation shares are the same."""
    assert_same_game(Bench(name, {"loss": loss} | OFF, player), Bench("dist_gan", {"loss": loss}, player))


@pytest.mark.parametrize("name", ["dist_gan_ss", "dist_gan_ms"])
def test_a_generator_without_task_weight_draws_nothing_for_the_task(name):
    states = []
    for case, options in ((name, OFF), ("dist_gan", {})):
        rng = torch.Generator().manual_seed(0)
        build(case, options).loss("generator", EagerStepInputs(real_images(), 0.0, rng))
        states.append(rng.get_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("name", ["ssgan", "msgan", "ssgan_la_plus", "dist_gan_ss", "dist_gan_ms"])
def test_task_terms_grow_linearly_with_their_weights(name):
    for player in ("discriminator", "generator"):
        once = Bench(name, {"weight_d": 0.5, "weight_g": 0.25}, player).terms()
        twice = Bench(name, {"weight_d": 1.0, "weight_g": 0.5}, player).terms()
        task_terms = once.keys() - {"game", "real", "reconstructed", "fake", "penalty", "score"}
        assert task_terms
        for term in task_terms:
            assert twice[term].item() == pytest.approx(2 * once[term].item(), rel=1e-12)
            assert once[term].item() != 0


@pytest.mark.parametrize("loss", DIST_LOSSES)
def test_switching_off_the_penalty_changes_no_other_term(loss):
    off = Bench("dist_gan", {"loss": loss, "penalty": "off"}, "discriminator").terms()
    on = Bench("dist_gan", {"loss": loss, "penalty": "plus"}, "discriminator").terms()
    assert on.keys() - off.keys() == {"penalty"}
    assert all(off[term].item() == on[term].item() for term in off)


@pytest.mark.parametrize(("loss", "sign"), [("log", 1), ("hinge_sigmoid", -1), ("hinge_logit", -1)])
def test_the_released_penalty_is_added_with_log_and_subtracted_with_hinge(loss, sign):
    """This is MS-02."""
    released = Bench("dist_gan", {"loss": loss}, "discriminator").terms()["penalty"].item()
    plus = Bench("dist_gan", {"loss": loss, "penalty": "plus"}, "discriminator").terms()["penalty"].item()
    minus = Bench("dist_gan", {"loss": loss, "penalty": "minus"}, "discriminator").terms()["penalty"].item()
    assert plus > 0
    assert minus == -plus
    assert released == sign * plus


@pytest.mark.parametrize(("norm", "length"), [("rms", math.sqrt(PIXELS)), ("l2", 1.0)])
def test_the_penalty_is_zero_where_the_slope_in_its_norm_is_one(norm, length):
    """MS-03: slope 1 by rms is an L2 norm of the square root of the number of pixels."""
    method = build("dist_gan", {"loss": "log", "penalty_norm": norm})
    direction = torch.randn(PIXELS, generator=torch.Generator().manual_seed(0))
    method.discriminator = LinearDiscriminator(direction * length / direction.norm())
    rng = torch.Generator().manual_seed(0)
    assert method.loss("discriminator", EagerStepInputs(real_images(), 0.0, rng))["penalty"].item() < 1e-20


def test_the_penalty_of_a_linear_wgan_gp_critic_follows_from_its_slope():
    """The penalty is 10 (length - 1)^2 everywhere, and the game is the critic of the difference of mean images."""
    direction = torch.randn(PIXELS, generator=torch.Generator().manual_seed(0))
    for length in (0.5, 1.0, 3.0):
        method = build("wgan_gp", {})
        critic = direction * length / direction.norm()
        method.discriminator = LinearDiscriminator(critic)
        terms = method.loss("discriminator", EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(5)))
        assert terms["penalty"].item() == pytest.approx(10 * (length - 1) ** 2, rel=1e-12, abs=1e-20)
        latents = method.latents(BATCH, torch.Generator().manual_seed(5))
        difference = method.generator(latents).mean(0) - real_images().mean(0)
        assert terms["game"].item() == pytest.approx((difference.flatten() @ critic).item(), rel=1e-10)


def test_wgan_gp_without_penalty_weight_is_the_plain_wasserstein_game():
    bench = Bench("wgan_gp", {"lambda_gp": 0.0}, "discriminator")
    terms = bench.terms()
    assert terms["penalty"].item() == 0
    assert terms["game"].item() == Bench("wgan_gp", {}, "discriminator").terms()["game"].item()
    with torch.no_grad():
        bench.method.discriminator.heads.logit.bias.add_(7)
    assert bench.terms()["game"].item() == pytest.approx(terms["game"].item(), rel=1e-12)


class LinearDiscriminator(nn.Module):
    def __init__(self, direction):
        super().__init__()
        self.direction = nn.Parameter(direction)

    def forward(self, x):
        logit = x.flatten(1) @ self.direction
        return DiscriminatorOutput(logit, logit.new_zeros(len(x), 0), x.flatten(1), logit.new_zeros(len(x), 0))


@pytest.mark.parametrize(
    ("progress", "w_real", "w_rec"),
    [(0.0, 0.95, 0.05), (0.5, 0.95, 0.05), (0.625, 0.975, 0.025), (0.75, 1.0, 0.0), (0.999, 1.0, 0.0)],
)
def test_reconstruction_weights_decay_between_half_and_three_quarters_of_training(progress, w_real, w_rec):
    """Two terms that differ only in their weights have the ratio of these weights."""
    for loss in ("hinge_sigmoid", "hinge_logit"):
        now = Bench("dist_gan", {"loss": loss}, "discriminator", progress).terms()
        constant = {"loss": loss, "reconstruction": "constant"}
        start = Bench("dist_gan", constant, "discriminator", progress).terms()
        assert now["real"].item() == pytest.approx(w_real / 0.95 * start["real"].item(), rel=1e-9)
        assert now["reconstructed"].item() == pytest.approx(
            w_rec / 0.05 * start["reconstructed"].item(), rel=1e-9, abs=1e-12
        )
        assert start["reconstructed"].item() > 0


@pytest.mark.parametrize("progress", [0.0, 0.6, 0.9])
def test_with_log_loss_the_released_weights_stay_constant(progress):
    method = build("dist_gan", {"loss": "log"})
    assert method.real_weights(progress) == (0.95, 0.05)


def test_the_hinge_on_the_sigmoid_never_clips():
    """MS-01: it equals w_real (1 - mean s(x)) + w_rec (1 - mean s(x')) + 1 + mean s(G(z))."""
    bench = Bench("dist_gan", {"loss": "hinge_sigmoid", "penalty": "off"}, "discriminator")
    method, x = bench.method, real_images()
    with torch.no_grad():
        z = method.latents(BATCH, torch.Generator().manual_seed(11))
        real, rec, fake = (
            method.discriminate(images).logit.sigmoid().mean().item()
            for images in (x, method.generator(method.encoder(x)), method.generator(z))
        )
    total = sum(bench.terms().values()).item()
    assert total == pytest.approx(0.95 * (1 - real) + 0.05 * (1 - rec) + 1 + fake, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "player", "expected"),
    [
        ("gan", "discriminator", {"game": 2 * math.log(2)}),
        ("gan", "generator", {"game": math.log(2)}),
        ("ssgan", "discriminator", {"game": 2 * math.log(2), "rotation": math.log(4)}),
        ("ssgan", "generator", {"game": math.log(2), "rotation": 0.2 * math.log(4)}),
        (
            "msgan",
            "discriminator",
            {"game": 2 * math.log(2), "rotation": math.log(5), "fake_class": math.log(5)},
        ),
        (
            "msgan",
            "generator",
            {"game": math.log(2), "task": 0.0},  # both errors are log 5
        ),
        # slope 0 costs 10 (0 - 1)^2; a slope of exactly 0 has no gradient, so only the value is compared
        ("wgan_gp", "discriminator", {"game": 0.0, "penalty": 10.0}),
        # equal scores: each hinge costs 1, each margin 0
        ("dagan", "discriminator", {"game": 2.0}),
        ("dagan_md", "generator", {"game": 0.0}),
        ("ssgan_la", "discriminator", {"joint_real": 1.0, "joint_fake": 1.0}),
        ("ssgan_la", "generator", {"joint_real": 0.0, "joint_fake": 0.0}),
        (
            "ssgan_la_plus",
            "discriminator",
            {"game": 2.0, "joint_real": math.log(8), "joint_fake": math.log(8)},
        ),
        ("dist_gan", "generator", {"score": 0.0}),
        # s = 1/2, so w_real (1 - 1/2) and so on; slope 0, so -0.5 (0 - 1)^2
        ("dist_gan", "discriminator", {"real": 0.475, "reconstructed": 0.025, "fake": 1.5, "penalty": -0.5}),
    ],
)
def test_a_discriminator_of_zeros_has_the_losses_computed_by_hand(name, player, expected):
    method = build(name, {})
    with torch.no_grad():
        for parameter in method.discriminator.parameters():
            parameter.zero_()
    terms = method.loss(player, EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(0)))
    assert {term: value.item() for term, value in terms.items()} == pytest.approx(expected, abs=1e-12)


def test_a_perfect_autoencoder_has_no_reconstruction_loss():
    """G(E(x)) = x for the images that G can generate."""
    method = build("dist_gan", {})
    weight = method.generator[0].weight
    with torch.no_grad():
        inverse = torch.linalg.pinv(weight)
        method.encoder[1].weight.copy_(inverse)
        method.encoder[1].bias.copy_(-inverse @ method.generator[0].bias)
        images = method.generator(torch.randn(BATCH, LATENT, generator=torch.Generator().manual_seed(1)))
    terms = method.loss("encoder", EagerStepInputs(images, 0.0, torch.Generator().manual_seed(0)))
    assert terms["reconstruction"].item() < 1e-20
    assert terms["distance"].item() > 1e-6


def test_every_random_number_of_a_loss_comes_from_the_stream_of_its_inputs():
    """The same state of that stream gives the same loss, and the state of the global stream does not change."""
    fields = {name: registry.methods[name].Options.model_fields for name in registry.methods}
    cases = [(name, {key: 1.0 for key, field in fields[name].items() if field.is_required()}) for name in fields]
    for name, options in [*cases, *RANDOM_TASKS]:
        method = build(name, options)
        labels = manual_labels(method.label_fraction(options))
        before = torch.get_rng_state()
        for player in method.players:
            losses = [
                sum(
                    method.loss(
                        player, EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(1), labels)
                    ).values()
                )
                for _ in range(2)
            ]
            assert losses[0].item() == losses[1].item()
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("distribution", "mean", "std"), [("uniform", 0, 1 / math.sqrt(3)), ("normal", 0, 1)])
def test_latents_have_the_moments_of_their_prior(distribution, mean, std):
    latents = build("gan", {}, distribution).latents(50_000, torch.Generator().manual_seed(0)).numpy()
    assert latents.shape == (50_000, LATENT)
    np.testing.assert_allclose(latents.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(latents.std(0), std, atol=0.02)
    if distribution == "uniform":
        assert -1 <= latents.min() < -0.999
        assert 0.999 < latents.max() <= 1


def test_the_stub_networks_have_the_shapes_that_the_restatement_assumes():
    network = Stub(SHAPE, LATENT, NetworkOptions())
    output = network.discriminator(5)(real_images())
    assert output.features.shape == (BATCH, FEATURES)
    assert output.class_logits.shape == (BATCH, 5)
    assert output.logit.shape == (BATCH,)


# --- classifiers without a generator ------------------------------------------------------------------


def test_the_task_of_every_update_follows_the_counter():
    """floor(t / 2) mod 3, in the loss as in what metrics read; a restored method continues where it was."""
    method = build("one_vs_all", {"updates_per_task": 2})
    labels, seen = torch.arange(BATCH) % MANUAL, []
    for t in range(13):
        last, following = method.sequential_tasks()
        assert (last, following) == (max(t - 1, 0) // 2 % MANUAL, t // 2 % MANUAL)
        inputs = EagerStepInputs(real_images(), 0.0, torch.Generator(), labels)
        target = (labels == following).double()
        logits = method.discriminate(inputs.real).logit
        expected = nn.functional.binary_cross_entropy_with_logits(logits, target)
        torch.testing.assert_close(method.loss("discriminator", inputs)["task"], expected)
        seen.append(following)
        method.after_update("discriminator")
        restored = build("one_vs_all", {"updates_per_task": 2})
        restored.load_state_dict(method.state_dict())
        method = restored
    assert seen == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0]


def test_a_task_without_its_class_is_a_constant_target():
    """mean log(1 + e^s), as for a discriminator that sees nothing but fakes."""
    method = build("one_vs_all", {})
    inputs = EagerStepInputs(real_images(), 0.0, torch.Generator(), torch.full((BATCH,), 2))
    expected = torch.log1p(method.discriminate(real_images()).logit.exp()).mean()
    torch.testing.assert_close(method.loss("discriminator", inputs)["task"], expected)


@pytest.mark.parametrize("batches", BATCHES)
def test_the_rotation_classifier_has_the_rotation_term_of_ssgan(batches):
    alone, ssgan = build("rotation_classifier", {"batches": batches}), build("ssgan", {})
    alone.load_state_dict({k: v for k, v in ssgan.state_dict().items() if k in alone.state_dict()})
    rotated = transformations.ROTATIONS.batch(batches, real_images(), torch.Generator().manual_seed(DRAWS))
    task = ssgan.rotation_task(rotated, 1.0)
    expected = task.loss(ssgan.discriminate(*task.images).class_logits)
    inputs = EagerStepInputs(real_images(), 0.0, torch.Generator().manual_seed(DRAWS))
    torch.testing.assert_close(alone.loss("discriminator", inputs), expected)


@pytest.mark.parametrize("name", ["rotation_classifier", "ssgan", "msgan"])
def test_a_point_mass_at_the_most_confident_image_has_no_larger_ss_loss(name):
    """A minimum is not above a mean: no rotation classifier keeps a generator from collapsing (SSGAN's loss of G)."""
    for seed in range(20):
        method = build(name, {})
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
            losses_of_images = torch.stack(
                [
                    cross_entropy(method.rotation_logits(turned), torch.full((BATCH,), r), reduction="none")
                    for r, turned in enumerate(transformations.ROTATIONS.apply(real_images(), r) for r in range(4))
                ]
            ).mean(0)
        on_real, best = losses_of_images.mean(), real_images()[losses_of_images.argmin()]
        rotated = transformations.ROTATIONS.each_four_ways(best.expand(BATCH, *SHAPE))
        with torch.no_grad():
            collapsed = cross_entropy(method.rotation_logits(rotated.samples), rotated.labels)
        assert collapsed <= on_real + 1e-12
        assert collapsed < on_real - 1e-6, "the images are not all alike, so it is smaller"


def test_equal_logits_of_the_rotation_and_the_fifth_class_cost_the_generator_nothing():
    logits = torch.randn(BATCH, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(BATCH) % 4
    logits[:, 4] = logits[torch.arange(BATCH), labels]
    torch.testing.assert_close(msgan.class_gap(logits, labels), torch.zeros(()))
