"""Datasets: one file each. Everything becomes a memory-mapped uint8 array once."""

DATASETS = {
    "celeba": "benchmark.data.celeba:CelebA",
    "cifar10": "benchmark.data.cifar:CIFAR10",
    "cifar100": "benchmark.data.cifar:CIFAR100",
    "folder_32": "benchmark.data.folder:Folder32",
    "folder_48": "benchmark.data.folder:Folder48",
    "folder_64": "benchmark.data.folder:Folder64",
    "imagenet32": "benchmark.data.imagenet32:ImageNet32",
    "imagenet32_png": "benchmark.data.imagenet32_png:ImageNet32PNG",
    "mnist": "benchmark.data.mnist:MNIST",
    "stacked_digits": "benchmark.data.stacked_digits:StackedDigits",
    "stacked_mnist": "benchmark.data.stacked_mnist:StackedMNIST",
    "stacked_mnist_60k": "benchmark.data.stacked_mnist:AllStackedMNIST",
    "stacked_mnist_fixed": "benchmark.data.stacked_mnist:FixedStackedMNIST",
    "stl10": "benchmark.data.stl10:STL10",
    "stl10_32": "benchmark.data.stl10:STL10At32",
    "stl10_labelled": "benchmark.data.stl10:LabelledSTL10",
    "svhn": "benchmark.data.svhn:SVHN",
    "tiny_imagenet": "benchmark.data.tiny_imagenet:TinyImageNet",
}
