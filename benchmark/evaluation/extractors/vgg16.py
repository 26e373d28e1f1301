"""The network that precision and recall were published with: torchvision's VGG-16, as torch-fidelity uses it."""

from benchmark.evaluation.extractors.pretrained import TorchFidelityExtractor
from benchmark.evaluation.extractors.weights import VGG16 as WEIGHTS


class VGG16(TorchFidelityExtractor):
    """Features after the second hidden linear layer and its ReLU, of images resized to 224x224 as TensorFlow 1 does."""

    name = "vgg16"
    about = "VGG-16 trained on ImageNet, its second hidden linear layer"
    title = "VGG-16"
    has_logits = False
    width = 4096
    weights = WEIGHTS
    layers = ("fc2_relu",)

    @classmethod
    def network_class(cls) -> type:
        """torch-fidelity's vgg16."""
        from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

        network: type = FeatureExtractorVGG16
        return network
