"""Multinomial logistic regression by stochastic gradient descent, as SSGAN's paper trains its linear classifiers.

Source: Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss" (arXiv 1811.11212v2), appendix C.1: batches of
128, learning rate 0.1 x 128 / 256, 50 epochs, a tenth of the rate after epoch 30 and again after epoch 40. Assumptions,
because the paper states nothing: momentum 0.9, which is that of Goyal et al. 2017, whose rule for the learning rate it
cites; no weight decay; weights start from zero; no augmentation on CIFAR-10.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BATCH, EPOCHS = 128, 50
LEARNING_RATE = 0.1 * BATCH / 256
MILESTONES, DECAY = (30, 40), 0.1
MOMENTUM = 0.9
SHUFFLE_SEED = 0


class LogisticClassifier(NamedTuple):
    """(D, K) weights and (K,) biases of a linear classifier of K classes."""

    weights: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N,) classes."""
        return torch.addmm(self.bias, features, self.weights).argmax(1)


def fit_logistic(features: Tensor, labels: Tensor) -> LogisticClassifier:
    """Fit a classifier to (N, D) finite features and their (N,) labels from 0. The order of batches is fixed."""
    weights = features.new_zeros(features.shape[1], int(labels.max()) + 1)
    bias = weights.new_zeros(weights.shape[1])
    velocities = torch.zeros_like(weights), torch.zeros_like(bias)
    shuffle = torch.Generator().manual_seed(SHUFFLE_SEED)
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * DECAY ** sum(epoch >= milestone for milestone in MILESTONES)
        order = torch.randperm(len(features), generator=shuffle).to(features.device)
        for batch in torch.split(order, BATCH):
            for parameter, velocity, gradient in zip(
                (weights, bias), velocities, _gradients(features[batch], labels[batch], weights, bias), strict=True
            ):
                parameter.sub_(velocity.mul_(MOMENTUM).add_(gradient), alpha=rate)
    return LogisticClassifier(weights, bias)


def _gradients(x: Tensor, labels: Tensor, weights: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the mean cross-entropy with respect to weights and bias."""
    errors = torch.addmm(bias, x, weights).softmax(1)
    errors -= torch.nn.functional.one_hot(labels, errors.shape[1])
    errors /= len(x)
    return x.T @ errors, errors.sum(0)
