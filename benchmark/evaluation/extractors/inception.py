"""The Inception network of FID: TensorFlow's graph of 2015-12-05, as torch-fidelity's inception-v3-compat ports it."""

from benchmark.evaluation.extractors.pretrained import TorchFidelityExtractor
from benchmark.evaluation.extractors.weights import INCEPTION


class Inception(TorchFidelityExtractor):
    """Images are scaled to 299x299 as TensorFlow 1 did; features after the last pooling, logits without the bias."""

    name = "inception"
    about = "the Inception network of 2015-12-05, as torch-fidelity ports it"
    title = ""
    classifies = True
    width = 2048
    weights = INCEPTION
    layers = ("2048", "logits_unbiased")

    @classmethod
    def network(cls) -> type:
        """inception-v3-compat."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        found: type = FeatureExtractorInceptionV3
        return found
