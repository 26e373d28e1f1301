"""The network that precision and recall were published with: VGG-16, as torch-fidelity uses torchvision's."""

from benchmark.evaluation.extractors.pretrained import TorchFidelityExtractor
from benchmark.evaluation.extractors.weights import VGG16 as WEIGHTS


class VGG16(TorchFidelityExtractor):
    """Images are scaled to 224x224 as TensorFlow 1 did; features after the second hidden linear layer and its ReLU."""

    name = "vgg16"
    about = "VGG-16 trained on ImageNet, its second hidden linear layer"
    title = "VGG-16"
    classifies = False
    width = 4096
    weights = WEIGHTS
    layers = ("fc2_relu",)

    @classmethod
    def network(cls) -> type:
        """vgg16."""
        from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

        found: type = FeatureExtractorVGG16
        return found
