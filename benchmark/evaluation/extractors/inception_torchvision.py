"""torchvision's Inception v3 as the code of BigGAN-PyTorch, and so that of SSGAN-LA, measures with it (LA-02).

Source: ajbrock/BigGAN-PyTorch at 3967ff9, inception_utils.py (WrapInception, load_inception_net); in SSGAN-LA's code
houliangict/ssgan-la at 43c307e, inception_utils.py:262. Images in [-1, 1] are brought to [0, 1], normalised by
ImageNet's mean and deviation, and then made 299x299, bilinear with aligned corners. Features are the mean of the last
maps, logits those of 1,000 classes with their bias.

Readings: the weights are those that torchvision offers now, as the authors' version is not told; generated images are
rounded to 8 bits, where the source looks at them as they are.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.evaluation.extractors.pretrained import PretrainedExtractor
from benchmark.evaluation.extractors.weights import INCEPTION_TORCHVISION

SIDE = 299
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green, blue


class InceptionTorchvision(PretrainedExtractor):
    """Features after the last pooling, and logits, of images that are scaled to 299x299 with their corners aligned."""

    name = "inception_torchvision"
    about = "torchvision's Inception v3, as SSGAN-LA's code uses it"
    title = "torchvision Inception"
    comparable = "values of SSGAN-LA and of other users of BigGAN-PyTorch's code only"
    classifies = True
    width = 2048
    weights = INCEPTION_TORCHVISION

    @classmethod
    def opened(cls, state: dict[str, Any]) -> nn.Module:
        """All weights of the file are used and none is missing; the auxiliary head is among them."""
        from torchvision.models import inception_v3

        net = inception_v3(weights=None, init_weights=False)
        net.load_state_dict(state)
        return _Wrapped(net).eval()


class _Wrapped(nn.Module):
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
