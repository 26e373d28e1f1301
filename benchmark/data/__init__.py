"""Datasets: one file each. Everything becomes a memory-mapped uint8 array once."""

DATASETS = {
    "imagenet32": "benchmark.data.imagenet32:ImageNet32",
    "imagenet32_png": "benchmark.data.imagenet32_png:ImageNet32PNG",
    "stacked_digits": "benchmark.data.stacked_digits:StackedDigits",
    "stacked_mnist": "benchmark.data.stacked_mnist:StackedMNIST",
}
