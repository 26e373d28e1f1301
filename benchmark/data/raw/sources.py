"""By which names the raw files of every dataset are known, and in which folder of the data directory they live.

A dataset needs all of its parts. A part can come in several ways, the first complete one is taken. A way is a list of
patterns, each a file name, with the folder before it where the name alone says too little; `*` stands for many files.
"""

Alternative = tuple[str, ...]
RequiredFile = tuple[Alternative, ...]

_BATCHES = tuple(f"train_data_batch_{i}" for i in range(1, 11))
_CIFAR10 = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_STL10 = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin")


def _gz(name: str) -> RequiredFile:
    return ((name,), (f"{name}.gz",))


MNIST: tuple[RequiredFile, ...] = tuple(
    _gz(f"{split}-{kind}") for split in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
)

# by home
PARTS: dict[str, tuple[RequiredFile, ...]] = {
    "mnist": MNIST,
    "cifar10": ((("cifar-10-python.tar.gz",), tuple(f"cifar-10-batches-py/{name}" for name in _CIFAR10)),),
    "cifar100": ((("cifar-100-python.tar.gz",), tuple(f"cifar-100-python/{n}" for n in ("train", "test"))),),
    "svhn": ((("train_32x32.mat",),), (("test_32x32.mat",),)),
    "stl10": ((("stl10_binary.tar.gz",), tuple(f"stl10_binary/{name}" for name in _STL10)),),
    "celeba": (
        (("img_align_celeba.zip",), ("img_align_celeba/*.jpg",)),
        (("list_eval_partition.txt",),),
    ),
    "tiny_imagenet": ((("tiny-imagenet-200.zip",),),),
    "imagenet32": (
        (
            ("Imagenet32_train.zip",),
            ("Imagenet32_train_npz.zip",),
            _BATCHES,
            tuple(f"{name}.npz" for name in _BATCHES),
        ),
        (("Imagenet32_val.zip",), ("Imagenet32_val_npz.zip",), ("val_data",), ("val_data.npz",)),
    ),
    "imagenet32_png": (
        (("train_32x32.tar",), ("train_32x32/*.png",)),
        (("valid_32x32.tar",), ("valid_32x32/*.png",)),
    ),
}

# datasets made of the files of another one; one whose name begins with another's and _ needs no entry (stl10_32)
SHARED = dict.fromkeys(("stacked_mnist", "stacked_mnist_60k", "stacked_mnist_fixed"), "mnist")


def raw_dir(name: str) -> str:
    """The folder of a dataset's raw files: of its own name, or shared with those made of the same files."""
    if name in SHARED or name in PARTS:
        return SHARED.get(name, name)
    return max((known for known in PARTS if name.startswith(f"{known}_")), key=len, default=name)


def required_files(name: str) -> tuple[RequiredFile, ...]:
    """All that a dataset needs; nothing for one that needs no files."""
    return PARTS.get(raw_dir(name), ())
