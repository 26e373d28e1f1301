"""Every loss term of every method equals its equation, restated in NumPy."""

import numpy as np
import pytest
import torch

from benchmark.core import registry
from tests.support import restatement
from tests.support.cases import CLASSIFIERS, DIST_LOSSES, PENALISED, SELF_LABELLED, STANDARD, TASKS, case_id
from tests.support.stub import SHAPE, Bench, draws, real_images

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
PROGRESS = (0.0, 0.49, 0.6, 0.76)


@pytest.fixture(params=list(TOLERANCE), ids=["float64", "float32"])
def dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


def assert_restated(bench, dtype):
    expected, terms = bench.restated(), bench.terms()
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        assert term.dtype is dtype
        assert term.shape == ()
        np.testing.assert_allclose(term.item(), expected[name], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("case", STANDARD, ids=case_id)
def test_standard_methods_equal_their_equations(case, player, dtype):
    assert_restated(Bench(*case, player), dtype)


@pytest.mark.parametrize("shape", [(1,), (2,)], ids=["line", "plane"])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("case", STANDARD, ids=case_id)
def test_standard_methods_on_points_equal_their_equations_with_shifts(case, player, shape, dtype, monkeypatch):
    monkeypatch.setattr(restatement, "rotate", restatement.shift)
    assert_restated(Bench(*case, player, shape=shape), dtype)


@pytest.mark.parametrize("case", PENALISED, ids=case_id)
def test_dist_gan_discriminator_equals_its_equation_throughout_training(case, dtype):
    name, options = case
    for reconstruction in ("released", "constant", "decaying"):
        bench = Bench(name, options | {"reconstruction": reconstruction}, "discriminator")
        for bench.progress in PROGRESS:
            assert_restated(bench, dtype)


@pytest.mark.parametrize("lambda_r", [0.0, 0.01, 1.0])
def test_dist_gan_encoder_equals_its_equation(lambda_r, dtype):
    assert_restated(Bench("dist_gan", {"lambda_r": lambda_r}, "encoder"), dtype)


@pytest.mark.parametrize("loss", DIST_LOSSES)
def test_dist_gan_generator_equals_its_equation_for_every_discriminator_loss(loss, dtype):
    assert_restated(Bench("dist_gan", {"loss": loss}, "generator"), dtype)


@pytest.mark.parametrize("player", ["encoder", "discriminator", "generator"])
@pytest.mark.parametrize("case", TASKS, ids=case_id)
def test_dist_gan_tasks_equal_their_equations(case, player, dtype):
    assert_restated(Bench(*case, player, progress=0.6), dtype)


@pytest.mark.parametrize("player", ["classifier", "discriminator", "generator"])
@pytest.mark.parametrize("case", SELF_LABELLED, ids=case_id)
def test_self_labelling_equals_its_equations(case, player, dtype):
    assert_restated(Bench(*case, player), dtype)


@pytest.mark.parametrize("case", CLASSIFIERS, ids=case_id)
def test_classifiers_equal_their_equations(case, dtype):
    assert_restated(Bench(*case, "discriminator"), dtype)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("name", ["gan", "dist_gan"])
def test_latents_come_from_the_configured_prior(name, distribution, dtype):
    assert_restated(Bench(name, {}, "generator", distribution=distribution), dtype)


def test_every_registered_method_has_a_restatement():
    assert set(restatement.LOSSES) == set(registry.methods), "restate the new method's equations here too"


def test_every_registered_method_is_compared_with_its_restatement():
    compared = {name for group in (CLASSIFIERS, STANDARD, SELF_LABELLED, TASKS, PENALISED) for name, _ in group}
    assert compared == set(registry.methods), "list the new method's cases in tests/support/cases.py"


@pytest.mark.usefixtures("double_precision")
def test_the_logits_of_the_bench_lie_on_both_sides_of_the_hinge():
    """Otherwise the tests above would not notice a hinge that never or always clips."""
    bench = Bench("gan", {"game": "hinge"}, "discriminator")
    nets = restatement.Nets(bench.arrays, SHAPE)
    fake = nets.generate(draws("gan", "discriminator", bench.method.options, "uniform")["z"])
    for margin in (1 - nets.logit(real_images().numpy()), 1 + nets.logit(fake)):
        assert (margin > 0).any()
        assert (margin < 0).any()


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("name", ["ssgan_la", "ssgan_la_plus"])
def test_the_joint_scores_lie_on_both_sides_of_the_multi_hinge_and_away_from_its_kinks(name):
    """Otherwise central differences, with steps of 1e-5, could cross a kink."""
    bench = Bench(name, {"form": "multi_hinge"}, "discriminator")
    nets = restatement.Nets(bench.arrays, SHAPE)
    fake = nets.generate(draws(name, "discriminator", bench.method.options, "uniform")["z"])
    for images, origin in ((real_images().numpy(), 0), (fake, 1)):
        rotated, rotations = restatement.all_rotations(images)
        scores, labels = nets.classes(rotated), 2 * rotations + origin
        others = np.arange(8) != labels[:, None]
        margins = (1 - scores[range(len(labels)), labels][:, None] + scores)[others]
        assert (margins > 0).any()
        assert (margins < 0).any()
        assert np.abs(margins).min() > 1e-4
