"""Datasets: one file each. Everything becomes a memory-mapped uint8 array once."""

DATASETS = {
    "stacked_digits": "benchmark.data.stacked_digits:StackedDigits",
    "stacked_mnist": "benchmark.data.stacked_mnist:StackedMNIST",
    "mnist": "benchmark.data.mnist:MNIST",
    "cifar10": "benchmark.data.cifar:CIFAR10",
    "cifar100": "benchmark.data.cifar:CIFAR100",
    "svhn": "benchmark.data.svhn:SVHN",
}
