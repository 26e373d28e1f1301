"""The Inception network of FID: TensorFlow's graph of 2015-12-05, ported as torch-fidelity's inception-v3-compat."""

from benchmark.evaluation.extractors.pretrained import TorchFidelityExtractor
from benchmark.evaluation.extractors.weights import INCEPTION


class Inception(TorchFidelityExtractor):
    """Features after the last pooling and logits without bias, of images resized to 299x299 as TensorFlow 1 does."""

    name = "inception"
    about = "the Inception network of 2015-12-05, as torch-fidelity ports it"
    title = "Inception"
    is_standard = True
    has_logits = True
    width = 2048
    distance_decimals = 2
    weights = INCEPTION
    layers = ("2048", "logits_unbiased")

    @classmethod
    def network_class(cls) -> type:
        """torch-fidelity's inception-v3-compat."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        network: type = FeatureExtractorInceptionV3
        return network
