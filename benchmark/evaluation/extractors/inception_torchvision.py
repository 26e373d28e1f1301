"""torchvision's Inception v3, with which BigGAN-PyTorch's code, and so SSGAN-LA's, evaluates (LA-02).

Source: ajbrock/BigGAN-PyTorch at 3967ff9, inception_utils.py (WrapInception, load_inception_net); in SSGAN-LA's code
houliangict/ssgan-la at 43c307e, inception_utils.py:262. Images in [-1, 1] are mapped to [0, 1], normalised by
ImageNet's mean and standard deviation, and then resized to 299x299, bilinearly with aligned corners. Features are the
mean of the last maps, logits those of 1,000 classes with bias.

Deviations: the weights are those that torchvision offers now, because the authors do not state their version; generated
images are rounded to 8 bits, which the source does not do.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.evaluation.extractors.pretrained import PretrainedExtractor
from benchmark.evaluation.extractors.weights import INCEPTION_TORCHVISION

SIDE = 299
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet: red, green, blue


class InceptionTorchvision(PretrainedExtractor):
    """Features after the last pooling, and logits, of images resized to 299x299 with aligned corners."""

    name = "inception_torchvision"
    about = "torchvision's Inception v3, as SSGAN-LA's code uses it"
    title = "torchvision Inception"
    comparable_to = "values of SSGAN-LA and of other users of BigGAN-PyTorch's code only"
    has_logits = True
    width = 2048
    distance_decimals = 2
    weights = INCEPTION_TORCHVISION

    @classmethod
    def build(cls, state: dict[str, Any]) -> nn.Module:
        """Load all weights of the file, the auxiliary head included; none may be missing."""
        from torchvision.models import inception_v3

        net = inception_v3(weights=None, init_weights=False)
        net.load_state_dict(state)
        return _NormalisedInception(net).eval()


class _NormalisedInception(nn.Module):
    mean: Tensor
    deviation: Tensor

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.body, self.head = net, net.fc
        net.fc = nn.Identity()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, 3, H, W) -> (N, 2048) features, (N, 1000) logits."""
        x = (images.float() / 255 - self.mean) / self.deviation
        features = self.body(F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=True))
        return features, self.head(features)
