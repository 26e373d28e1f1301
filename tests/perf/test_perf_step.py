"""The measurement of training steps: both sides compute the same, and what it found is told in full."""

import pytest
import torch

from baselines.base import Turn
from perf import plain, step

PLAYERS = [(case, player) for case in step.CASES for player in step.CASES[case].plain().players]


@pytest.fixture
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def sides(name):
    """The two of a case with narrow nets and equal weights; spectral norms have converged, so that calls count for
    nothing."""
    case = step.CASES[name]
    method = step.trainer(case, "float32", batch=8, width=2).method.double()
    images = torch.rand(8, *case.shape)
    if name == "ssgan_resnet32":
        with torch.no_grad():
            for _ in range(500):
                method.discriminator(images)
    theirs = case.plain(2).double()
    plain.same_weights(theirs, method)
    return method, theirs, images * 2 - 1 if name == "ssgan_resnet32" else images


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize(("name", "player"), PLAYERS)
def test_both_sides_have_the_same_losses_and_gradients(name, player):
    method, theirs, real = sides(name)
    of_theirs = theirs.loss(player, real, torch.Generator().manual_seed(1))
    of_ours = method.loss(player, Turn(real, 0.0, torch.Generator().manual_seed(1)))
    assert of_ours.keys() == of_theirs.keys()
    for term in of_ours:
        torch.testing.assert_close(of_ours[term], of_theirs[term], rtol=1e-9, atol=1e-11)
    pairs = [
        pair
        for module, other in zip(method.modules_of(player), theirs.moved_by(player), strict=True)
        for pair in zip(module.parameters(), other.parameters(), strict=True)
    ]
    found = torch.autograd.grad(sum(of_ours.values()), [ours for ours, _ in pairs])
    expected = torch.autograd.grad(sum(of_theirs.values()), [other for _, other in pairs])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
