"""The digit classifier, trained by the harness itself in seconds.

The published tables used a MNIST network whose weights are not available (MSGAN
support/classify_mnist_v2.py); ours reports its own accuracy on held-out digits.
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

EPOCHS = {8: 60, 28: 4}
BATCH = 64
WIDTH = 128  # of the layer before the logits


class Digits(Extractor):
    """Names the digit of every channel; of a stack of k digits the classes are all 10^k readings.

    Features are the last hidden layers of all channels, one after the other. `seed`: of its training; `fact_titles`
    names one fact, its accuracy.
    """

    name = "digits"
    about = "the harness' own digit classifier, trained on the dataset's training digits"
    title = "digit classifier"
    classifies = True
    fact_titles: ClassVar[dict[str, str]] = {"classifier_accuracy": "digit classifier's accuracy on held-out digits"}
    seed: ClassVar[int] = 0

    @classmethod
    def fits(cls, dataset: type[Dataset]) -> bool:
        """Digits alone or stacked, of a size that it was built for."""
        return dataset.has_digits and dataset.shape[-1] in EPOCHS

    @classmethod
    def prepare(cls, dataset: PreparedData, cache: Path, data_dir: Path) -> Path:
        """Train it once."""
        del data_dir
        return prepare_classifier(dataset, cache, cls.seed)

    def __init__(self, prepared: Path, device: torch.device) -> None:
        self.device = device
        self.sum = hashlib.sha256(prepared.read_bytes()).hexdigest()
        self.classifier, self.accuracy = load_classifier(prepared, device)

    @property
    def identity(self) -> str:
        """SHA-256 of its file."""
        return self.sum

    @property
    def facts(self) -> dict[str, float]:
        """Its accuracy on held-out digits."""
        return dict.fromkeys(self.fact_titles, self.accuracy)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """uint8 (N, k, S, S) -> (N, k 128) features, (N, 10^k) log-probabilities of 10^(k-1) a + ... + z."""
        single = as_float(images.reshape(-1, 1, *images.shape[2:]).to(self.device))
        hidden = self.classifier.body[:-1](single)
        digits = self.classifier.body[-1](hidden).log_softmax(1)
        return Features(hidden.view(len(images), -1), joint(digits.view(len(images), images.shape[1], -1)))


def joint(digits: Tensor) -> Tensor:
    """(N, k, 10) log-probabilities of k independent digits -> (N, 10^k) of the number that they write."""
    whole = digits[:, 0]
    for following in digits.unbind(1)[1:]:
        whole = (whole.unsqueeze(2) + following.unsqueeze(1)).flatten(1)
    return whole


class DigitClassifier(nn.Module):
    """Two stride-2 3x3 convolutions and two linear layers; (N, 1, S, S) in [0, 1] -> (N, 10) logits."""

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
        """(N, 1, S, S) in [0, 1] -> (N, 10)."""
        logits: Tensor = self.body(x)
        return logits


def prepare_classifier(dataset: PreparedData, cache: Path, seed: int) -> Path:
    """Train the classifier for a prepared dataset unless that was done before; returns its file.

    One thread whatever the machine offers, and its own random stream: the same weights for every trial.
    """
    target = classifier_file(dataset, cache, seed)
    if is_trained(target):
        return target
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = train(dataset.train, seed)
        content = io.BytesIO()
        saved = {"state": model.state_dict(), "accuracy": accuracy(model, dataset.test), "size": model.size}
        torch.save(saved, content)
    finally:
        torch.set_num_threads(threads)
    write_atomically(_seal(target), hashlib.sha256(content.getvalue()).hexdigest().encode())
    write_atomically(target, content.getvalue())
    return target


def classifier_file(dataset: PreparedData, cache: Path, seed: int) -> Path:
    """Where the classifier of a prepared dataset stands, or would stand."""
    recipe = {"version": 1, "epochs": EPOCHS, "seed": seed, "batch": BATCH, "data": dataset.manifest}
    return cache / f"digit-classifier-{content_hash({k: str(v) for k, v in recipe.items()})}.pt"


def _seal(file: Path) -> Path:
    return file.with_suffix(".sha256")


def is_trained(file: Path) -> bool:
    """Whether a classifier is there as it was written; of one that an earlier version left, whether it can be read.

    torch reads over flipped bits without a word, and the numbers would be of another instrument.
    """
    try:
        content, seal = file.read_bytes(), _seal(file)
        if seal.is_file():
            return seal.read_bytes().strip() == hashlib.sha256(content).hexdigest().encode()
        load_classifier(file, torch.device("cpu"))
    except Exception:  # a damaged file raises many kinds
        return False
    return True


def load_classifier(path: Path, device: torch.device) -> tuple[DigitClassifier, float]:
    """The trained classifier in evaluation mode, and its accuracy on held-out digits in [0, 1]."""
    saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    with torch.random.fork_rng(devices=[]):  # weights are drawn, only to be replaced
        model = DigitClassifier(int(saved["size"])).to(device).eval().requires_grad_(False)
    model.load_state_dict(saved["state"])
    return model, float(saved["accuracy"])


def train(arrays: ArraySplit, seed: int) -> DigitClassifier:
    """Adam 1e-3 with a one-cycle schedule and shifts by up to one pixel (8x8) or two (28x28)."""
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
        batch = shifted(as_float(images[index]), 1 if size <= 8 else 2, rng)
        loss = F.cross_entropy(model(batch), labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()


def accuracy(model: DigitClassifier, arrays: ArraySplit) -> float:
    """Share of held-out digits that are named right."""
    with torch.no_grad():
        predicted = model(as_float(torch.from_numpy(np.array(arrays.images)))).argmax(1)
    return float((predicted.numpy() == arrays.labels).mean())


def as_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [0, 1]."""
    return images.float() / 255


def shifted(images: Tensor, reach: int, rng: torch.Generator) -> Tensor:
    """The batch moved by one random offset of up to `reach` pixels either way, zeros coming in."""
    size = images.shape[-1]
    x, y = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    return F.pad(images, [reach] * 4)[:, :, y : y + size, x : x + size]


class DigitsSecondSeed(Digits):
    """The same network, recipe and images as `digits`; only its first weights and its batches are drawn anew."""

    name = "digits_again"
    about = "the harness' digit classifier trained a second time, from another seed"
    title = "second digit classifier"
    fact_titles: ClassVar[dict[str, str]] = {
        "second_classifier_accuracy": "second digit classifier's accuracy on held-out digits"
    }
    seed: ClassVar[int] = 1
