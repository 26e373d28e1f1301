"""Feature extractors: one file each, uint8 images -> features and class logits."""

EXTRACTORS = {
    "digits": "benchmark.extractors.digits:Digits",
    "pixels": "benchmark.extractors.pixels:Pixels",
}
