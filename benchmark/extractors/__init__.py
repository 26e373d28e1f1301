"""Feature extractors: one file each, uint8 images -> features and class logits."""

EXTRACTORS = {
    "digits": "benchmark.extractors.digits:Digits",
    "digits_again": "benchmark.extractors.digits_again:DigitsAgain",
    "inception": "benchmark.extractors.inception:Inception",
    "inception_torchvision": "benchmark.extractors.inception_torchvision:InceptionTorchvision",
    "pixels": "benchmark.extractors.pixels:Pixels",
    "random_conv": "benchmark.extractors.random_conv:RandomConv",
    "vgg16": "benchmark.extractors.vgg16:VGG16",
}
