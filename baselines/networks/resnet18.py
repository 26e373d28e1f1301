"""ResNet18 as a classifier of small images.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: four stages of two basic blocks. Blocks and
initialisation are torchvision's. The first layer is the one commonly used for 32x32 images, a 3x3 convolution of stride
1 without max-pooling; torchvision's, made for 224x224, would leave a 32x32 image one position after the last stage.
"""

from torch import nn

from baselines.networks.base import Discriminator, Heads, drop_adversarial_head
from baselines.networks.layers.resample_conv import StridedPointwiseConv

STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))  # width in units of the first stage's, and stride


def resnet18(channels: int, num_classes: int, width: int = 64) -> nn.Module:
    """A classifier: (N, channels, H, W) images -> DiscriminatorOutput, of which only `class_logits` are meaningful.

    `width`: number of maps of the first stage; 64 is ResNet18.
    """
    from torchvision.models.resnet import BasicBlock  # importing it takes a second

    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for units, stride in STAGES:
        outputs = units * width
        shortcut = _shortcut(inputs, outputs) if stride > 1 else None
        layers += [BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs)]
        inputs = outputs
    body = nn.Sequential(*layers)
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return drop_adversarial_head(Discriminator(body, Heads(inputs, num_classes), pooling="mean"))


def _shortcut(inputs: int, outputs: int) -> nn.Module:
    """What gives a block's input the size of its output."""
    return nn.Sequential(StridedPointwiseConv(inputs, outputs, bias=False), nn.BatchNorm2d(outputs))
