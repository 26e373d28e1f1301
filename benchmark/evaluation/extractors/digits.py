"""The digit classifier, which the harness trains in seconds.

The published tables used an MNIST network whose weights are not available (MSGAN support/classify_mnist_v2.py); ours
reports its own accuracy on held-out digits.
"""

import hashlib
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.core.files import write_atomically
from benchmark.core.spec import content_hash
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.base import Dataset
from benchmark.evaluation.extractors.base import Extractor, Features

EPOCHS = {8: 60, 28: 4}  # by side of the images
BATCH = 64
WIDTH = 128  # of the last hidden layer


class Digits(Extractor):
    """Classifies the digit of every channel; the classes of a stack of k digits are its 10^k readings.

    Features are the last hidden layers of all channels, concatenated. `seed` seeds its training.
    """

    name = "digits"
    about = "the harness' own digit classifier, trained on the dataset's training digits"
    title = "digit classifier"
    has_logits = True
    population = "digit classifiers"
    metadata_titles: ClassVar = {"classifier_accuracy": "digit classifier's accuracy on held-out digits"}
    seed: ClassVar[int] = 0

    @classmethod
    def supports(cls, dataset: type[Dataset]) -> bool:
        """Digits, single or stacked, of a side in `EPOCHS`."""
        return dataset.has_digits and dataset.shape[-1] in EPOCHS

    @classmethod
    def prepare(cls, prepared: PreparedData, cache: Path, data_dir: Path) -> Path:
        """The file of the classifier, which is trained once."""
        del data_dir
        return prepare_classifier(prepared, cache, cls.seed)

    def __init__(self, path: Path, device: torch.device) -> None:
        self.device = device
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.classifier, self.accuracy = load_classifier(path, device)

    @property
    def identity(self) -> str:
        """The SHA-256 of the classifier's file."""
        return self.sha256

    @property
    def metadata(self) -> dict[str, float]:
        """The accuracy on held-out digits, in [0, 1]."""
        return dict.fromkeys(self.metadata_titles, self.accuracy)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, k, S, S) -> (N, 128 k) features, (N, 10^k) log-probabilities of the k digits read as one number."""
        channels = scale_to_unit(images.reshape(-1, 1, *images.shape[2:]).to(self.device))
        hidden = self.classifier.body[:-1](channels)
        digits = self.classifier.body[-1](hidden).log_softmax(1)
        features = hidden.view(len(images), -1)
        return Features(features, joint_log_probs(digits.view(len(images), images.shape[1], -1)))


class DigitsSecondSeed(Digits):
    """The same network, recipe and images as `digits`, with another seed for initial weights and batches."""

    name = "digits_again"
    about = "the harness' digit classifier trained a second time, from another seed"
    title = "second digit classifier"
    metadata_titles: ClassVar = {"second_classifier_accuracy": "second digit classifier's accuracy on held-out digits"}
    seed: ClassVar[int] = 1


class DigitsThirdSeed(Digits):
    """The same network, recipe and images as `digits`, with a third seed for initial weights and batches."""

    name = "digits_third"
    about = "the harness' digit classifier trained a third time, from another seed"
    title = "third digit classifier"
    metadata_titles: ClassVar = {"third_classifier_accuracy": "third digit classifier's accuracy on held-out digits"}
    seed: ClassVar[int] = 2


def joint_log_probs(digits: Tensor) -> Tensor:
    """(N, k, 10) log-probabilities of k independent digits -> (N, 10^k) of the number that they form."""
    joint = digits[:, 0]
    for digit in digits.unbind(1)[1:]:
        joint = (joint.unsqueeze(2) + digit.unsqueeze(1)).flatten(1)
    return joint


class DigitClassifier(nn.Module):
    """Two 3x3 convolutions and two linear layers; (N, 1, S, S) in [0, 1] -> (N, 10) logits."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        strides = (1, 2) if size <= 8 else (2, 2)
        reduced = size // (strides[0] * strides[1])
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, strides[0], 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, strides[1], 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * reduced * reduced, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, S, S) in [0, 1] -> (N, 10) logits."""
        logits: Tensor = self.body(x)
        return logits


def prepare_classifier(prepared: PreparedData, cache: Path, seed: int) -> Path:
    """The file of the classifier for a prepared dataset, which is trained if the file is missing or damaged.

    Training uses one thread and its own random stream, so that all trials get the same weights.
    """
    path = classifier_path(prepared, cache, seed)
    if is_trained(path):
        return path
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = train(prepared.train, seed)
        content = io.BytesIO()
        state = {"state": model.state_dict(), "accuracy": accuracy(model, prepared.test), "size": model.size}
        torch.save(state, content)
    finally:
        torch.set_num_threads(threads)
    write_atomically(_checksum_path(path), hashlib.sha256(content.getvalue()).hexdigest().encode())
    write_atomically(path, content.getvalue())
    return path


def classifier_path(prepared: PreparedData, cache: Path, seed: int) -> Path:
    """The path of the classifier for a prepared dataset, whether it exists or not."""
    recipe = {"version": 1, "epochs": EPOCHS, "seed": seed, "batch": BATCH, "data": prepared.manifest}
    return cache / f"digit-classifier-{content_hash({k: str(v) for k, v in recipe.items()})}.pt"


def _checksum_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def is_trained(path: Path) -> bool:
    """Whether an intact classifier exists.

    The checksum beside the file decides, because torch loads a file with flipped bits without an error. A file of an
    earlier version, which has no checksum, is intact if it can be loaded.
    """
    try:
        content, checksum = path.read_bytes(), _checksum_path(path)
        if checksum.is_file():
            return checksum.read_bytes().strip() == hashlib.sha256(content).hexdigest().encode()
        load_classifier(path, torch.device("cpu"))
    except Exception:  # a damaged file raises many kinds
        return False
    return True


def load_classifier(path: Path, device: torch.device) -> tuple[DigitClassifier, float]:
    """The trained classifier in evaluation mode, and its accuracy on held-out digits in [0, 1]."""
    saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    with torch.random.fork_rng(devices=[]):  # building the network draws weights, which the file's replace
        model = DigitClassifier(int(saved["size"])).to(device).eval().requires_grad_(False)
    model.load_state_dict(saved["state"])
    return model, float(saved["accuracy"])


def train(arrays: ArraySplit, seed: int) -> DigitClassifier:
    """Train by Adam with a one-cycle schedule, on images shifted by up to one pixel (8x8) or two (28x28)."""
    size = arrays.images.shape[-1]
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DigitClassifier(size)
    images = torch.from_numpy(np.array(arrays.images))
    labels = torch.from_numpy(arrays.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    steps = EPOCHS[size] * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in range(steps):
        index = torch.randint(len(images), (BATCH,), generator=rng)
        batch = random_shift(scale_to_unit(images[index]), 1 if size <= 8 else 2, rng)
        loss = F.cross_entropy(model(batch), labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()


def accuracy(model: DigitClassifier, arrays: ArraySplit) -> float:
    """The share of digits that are classified correctly, in [0, 1]."""
    with torch.no_grad():
        predicted = model(scale_to_unit(torch.from_numpy(np.array(arrays.images)))).argmax(1)
    return float((predicted.numpy() == arrays.labels).mean())


def scale_to_unit(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [0, 1]."""
    return images.float() / 255


def random_shift(images: Tensor, reach: int, rng: torch.Generator) -> Tensor:
    """The batch shifted by one random offset of up to `reach` pixels in each direction, padded with zeros."""
    size = images.shape[-1]
    x, y = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    return F.pad(images, [reach] * 4)[:, :, y : y + size, x : x + size]
