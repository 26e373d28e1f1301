"""The ResNet18 of the self-labelling GAN, compared with torchvision's."""

import pytest
import torch
from torch import nn
from torchvision import models

from baselines.networks.resnet18 import resnet18


def in_their_order(state):
    """Tensors that are neither counters nor of the first layers, which differ in size."""
    return [value for name, value in state.items() if "num_batches" not in name]


@pytest.mark.parametrize("training", [True, False])
def test_it_is_torchvisions_with_the_first_layer_for_small_images(training):
    torch.manual_seed(2)
    ours, theirs = resnet18(3, 10), models.resnet18(num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    pairs = zip(in_their_order(theirs.state_dict()), in_their_order(ours.state_dict()), strict=True)
    with torch.no_grad():
        for their_tensor, our_tensor in pairs:
            their_tensor.copy_(our_tensor)
    images = torch.randn(3, 3, 16, 16)
    ours.train(training)
    theirs.train(training)
    torch.testing.assert_close(ours(images).class_logits, theirs(images))
    torch.testing.assert_close(in_their_order(ours.state_dict()), in_their_order(theirs.state_dict()))


def test_its_weights_start_as_torchvisions():
    torch.manual_seed(2)
    ours, theirs = (
        [m.weight.std().item() for m in net.modules() if isinstance(m, nn.Conv2d)][1:]
        for net in (resnet18(3, 10), models.resnet18())
    )
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (3, 48, 48)])
def test_its_width_is_that_of_the_first_stage(shape):
    narrow = resnet18(shape[0], 5, width=2)
    output = narrow(torch.zeros(2, *shape))
    assert output.class_logits.shape == (2, 5)
    assert output.features.shape == (2, 16)
    assert next(narrow.parameters()).shape == (2, shape[0], 3, 3)
