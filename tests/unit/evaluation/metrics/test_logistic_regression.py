"""Logistic regression by SGD: equal to torch's optimiser, and what it learns."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from benchmark.evaluation.metrics.logistic_regression import fit_logistic


def clusters(n, classes=3, dim=6, seed=0):
    """Points around one centre per class, and their labels."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=rng)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    return centres[labels] + 0.7 * torch.randn(n, dim, generator=rng), labels


def test_the_classifier_equals_torchs_sgd_with_the_schedule_of_the_paper():
    """Batches of 128, 0.05, momentum 0.9, a tenth of the rate after 30 and 40 of 50 epochs; autograd's gradients."""
    x, labels = clusters(300)
    x = x.double()
    weights, bias = torch.zeros(6, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    optimiser = torch.optim.SGD([weights.requires_grad_(), bias.requires_grad_()], lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [30, 40], gamma=0.1)
    shuffle = torch.Generator().manual_seed(0)
    for _ in range(50):
        for batch in torch.randperm(300, generator=shuffle).split(128):
            optimiser.zero_grad()
            cross_entropy(x[batch] @ weights + bias, labels[batch]).backward()
            optimiser.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.0005])
    fitted = fit_logistic(x, labels)
    torch.testing.assert_close(fitted.weights, weights.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(fitted.bias, bias.detach(), rtol=1e-9, atol=1e-12)


def test_it_predicts_held_out_points_of_separated_classes():
    fitted = fit_logistic(*clusters(1000))
    x, labels = clusters(500, seed=1)
    assert (fitted.predict(x) == labels).float().mean() > 0.9


def test_it_is_deterministic_and_draws_no_global_random_numbers():
    stream = torch.get_rng_state()
    first, second = fit_logistic(*clusters(200)), fit_logistic(*clusters(200))
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(torch.get_rng_state(), stream)


def test_one_class_and_one_point_are_enough():
    assert fit_logistic(torch.ones(1, 2), torch.tensor([0])).predict(torch.ones(3, 2)).tolist() == [0, 0, 0]
