"""The gradient of every player's total loss, by autograd, equals finite differences of the restated loss.

Only the player's own parameters vary, so the tests also check what a loss must treat as constant.
"""

import numpy as np
import pytest

from tests.support.cases import CLASSIFIERS, PENALISED, SELF_LABELLED, STANDARD, TASKS, case_id
from tests.support.stub import Bench

pytestmark = pytest.mark.usefixtures("double_precision")

STEP = 1e-5
SIGNED = [case for case in PENALISED if case[1]["penalty"] in ("plus", "minus")]


def autograd_gradients(bench):
    own_parameters = [p for module in bench.method.player_modules(bench.player) for p in module.parameters()]
    for parameter in bench.method.parameters():
        parameter.requires_grad_(any(parameter is p for p in own_parameters))
    sum(bench.terms().values()).backward()
    return {name: p.grad.numpy() for name, p in bench.method.named_parameters() if p.grad is not None}


def central_differences(bench, name):
    arrays = {key: value.copy() for key, value in bench.arrays.items()}
    gradient = np.empty_like(arrays[name])
    for index in np.ndindex(gradient.shape):
        value = arrays[name][index]
        sides = []
        for shift in (STEP, -STEP):
            arrays[name][index] = value + shift
            sides.append(sum(bench.restated(arrays).values()))
        arrays[name][index] = value
        gradient[index] = (sides[0] - sides[1]) / (2 * STEP)
    return gradient


def assert_gradients_agree(bench, players):
    gradients = autograd_gradients(bench)
    assert gradients, "the loss reached no parameter"
    assert {name.partition(".")[0] for name in gradients} == set(players)
    for name, gradient in gradients.items():
        expected = central_differences(bench, name)
        scale = max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("case", STANDARD, ids=case_id)
def test_gradients_of_standard_methods(case, player):
    assert_gradients_agree(Bench(*case, player), [player])


@pytest.mark.parametrize("case", SIGNED, ids=case_id)
def test_gradients_of_the_dist_gan_discriminator_with_its_penalty(case):
    assert_gradients_agree(Bench(*case, "discriminator", progress=0.6), ["discriminator"])


@pytest.mark.parametrize("moves_generator", [False, True])
def test_gradients_of_the_dist_gan_encoder_with_and_without_the_generator(moves_generator):
    bench = Bench("dist_gan", {"encoder_updates_generator": moves_generator, "lambda_r": 0.5}, "encoder")
    assert_gradients_agree(bench, ["encoder", "generator"] if moves_generator else ["encoder"])


def test_gradients_of_the_dist_gan_generator():
    assert_gradients_agree(Bench("dist_gan", {}, "generator"), ["generator"])


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("case", TASKS, ids=case_id)
def test_gradients_of_dist_gan_with_tasks(case, player):
    assert_gradients_agree(Bench(*case, player), [player])


@pytest.mark.parametrize("player", ["classifier", "discriminator", "generator"])
@pytest.mark.parametrize("case", SELF_LABELLED, ids=case_id)
def test_gradients_of_self_labelling(case, player):
    assert_gradients_agree(Bench(*case, player), [player])


def test_the_check_itself_notices_a_wrong_weight():
    bench = Bench("ssgan", {"weight_g": 0.2}, "generator")
    expected = central_differences(bench, "generator.0.bias")
    bench.method.options = bench.method.options.model_copy(update={"weight_g": 0.2001})
    gradient = autograd_gradients(bench)["generator.0.bias"]
    assert not np.allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("case", CLASSIFIERS, ids=case_id)
def test_gradients_of_classifiers(case):
    assert_gradients_agree(Bench(*case, "discriminator"), ["discriminator"])
