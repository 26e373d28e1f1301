"""Datasets: one file each. Everything becomes a memory-mapped uint8 array once."""

DATASETS = {
    "stacked_digits": "benchmark.data.stacked_digits:StackedDigits",
    "stacked_mnist": "benchmark.data.stacked_mnist:StackedMNIST",
}
