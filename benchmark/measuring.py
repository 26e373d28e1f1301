"""Takes all measures of a protocol that look at samples, in one pass over the samples of a checkpoint.

A batch of samples goes once through every codec and extractor that a measure asks for; each measure takes as many as
it wants. What is known of the real images is computed once, in the driver, and read by all trials.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark import plugins
from benchmark.codecs import encoded
from benchmark.data.base import Dataset, Prepared
from benchmark.data.chosen import REFERENCE_SEED, real_images
from benchmark.errors import UserError
from benchmark.extractors.base import Extractor, Features
from benchmark.measures import Named, named
from benchmark.metrics.base import Compared, DiscriminatorMetric, Real, SampleMetric
from benchmark.spec import Frozen, Protocol, digest
from benchmark.store import write_atomically

VERSION = 2  # raised when what is kept of the real images changes

Say = Callable[[str], None]


class Instruments(Frozen):
    """What was prepared once for a protocol on a dataset: paths that every worker opens.

    `extractors`: name -> what its `prepare` returned. `references`: label of a measure that compares with real images
    -> the folder of their features, and the file of what was computed of these.
    """

    extractors: dict[str, Path]
    references: dict[str, tuple[Path, Path]]


def prepare(
    protocol: Protocol, dataset: type[Dataset], prepared: Prepared, cache: Path, data_dir: Path, say: Say
) -> Instruments:
    """Make what the measures need, each thing once. Raises UserError when weights or images are missing."""
    cache.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths: dict[str, Path] = {}
    opened: dict[str, Extractor] = {}
    references = {}
    for one in named(protocol):
        if issubclass(one.metric, DiscriminatorMetric):
            if problem := one.metric.lacking(one.options, dataset, prepared):
                raise UserError(f"{one.label}: {problem}")
            continue
        if not issubclass(one.metric, SampleMetric):
            continue
        name = one.options.extractor
        if name not in paths:
            paths[name] = plugins.extractors[name].prepare(prepared, cache, data_dir)
        if one.metric.compares:
            if name not in opened:
                opened[name] = plugins.extractors[name](paths[name], device)
            references[one.label] = _reference(one, opened[name], dataset, prepared, cache, say)
    return Instruments(extractors=paths, references=references)


def _reference(
    one: Named, extractor: Extractor, dataset: type[Dataset], prepared: Prepared, cache: Path, say: Say
) -> tuple[Path, Path]:
    """The features of the real images that a measure compares with, and their summary."""
    options: Compared = one.options
    split = getattr(prepared, options.reference)
    n = len(split.labels) if options.n_real is None else options.n_real
    if dataset.stacked == 1 and n > len(split.labels):
        raise UserError(
            f"{one.label}: {n:,} real images are asked for, and the {options.reference} split of {dataset.name} has"
            f" {len(split.labels):,}"
        )
    recipe: dict[str, Any] = {
        "version": VERSION,
        "data": {key: str(value) for key, value in prepared.manifest.items()},
        "split": options.reference,
        "n": n,
        "codec": one.measure.codec,
        "extractor": [extractor.name, extractor.identity],
        "seed": REFERENCE_SEED,
    }
    folder = cache / f"real-{digest(recipe)}"
    if not _has(folder, n):
        shutil.rmtree(folder, ignore_errors=True)
        say(f"{dataset.name}: looking at {n:,} real images through {extractor.name}")
        batches = (extractor(encoded(images, one.measure.codec)) for images in real_images(split, dataset, n))
        _write_features(folder, batches, n)
    summary = folder / f"{one.measure.metric}-{digest(one.measure.options)}.npz"
    if not _readable(summary):
        content = io.BytesIO()
        np.savez(content, **one.metric.summary(options, open_real(folder), extractor.device))  # type: ignore[attr-defined]
        write_atomically(summary, content.getvalue())
    return folder, summary


def _has(folder: Path, n: int) -> bool:
    """Whether the features of so many images are there, by the sizes of the files."""
    try:
        return all(len(rows) == n for rows in open_real(folder))
    except (OSError, ValueError, EOFError, TypeError):
        return False


def _readable(summary: Path) -> bool:
    """Whether a summary is there and whole: zip files have checksums."""
    try:
        with np.load(summary) as saved:
            dict(saved)
            return True
    except Exception:  # a damaged file raises many kinds
        return False


def _write_features(folder: Path, batches: Iterable[Features], n: int) -> None:
    """Two .npy files, written from one end to the other; the folder appears whole or not at all."""
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        done, arrays = 0, {}
        for batch in batches:
            for name, rows in batch._asdict().items():
                if name not in arrays:
                    shape = (n, rows.shape[1])
                    arrays[name] = np.zeros(shape, np.float32) if not rows.shape[1] else _map(scratch / name, shape)
                arrays[name][done : done + len(rows)] = rows.float().cpu().numpy()
            done += len(batch.features)
        for name, array in arrays.items():
            if isinstance(array, np.memmap):
                array.flush()
            else:
                np.save(scratch / f"{name}.npy", array)
        try:
            scratch.rename(folder)
        except OSError:  # another run was quicker
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A .npy file as an array. Its room is taken at once: a full disk is an OSError now, and no SIGBUS later."""
    file = path.with_suffix(".npy")
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, file.stat().st_size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
    finally:
        os.close(descriptor)
    return array


def open_real(folder: Path) -> Real:
    """The features that were written, mapped: copy-on-write, as torch knows no memory that is for reading only."""
    return Real(
        *(np.load(folder / f"{name}.npy", mmap_mode="c" if name == "features" else None) for name in Real._fields)
    )


class Look(NamedTuple):
    """What a gauge says of a generator: the numbers, in the order of the protocol, and by their labels the histograms
    of the measures that give one."""

    numbers: dict[str, float]
    histograms: dict[str, list[int]]


class Gauge:
    """Takes all measures of a protocol that look at samples, of one generator after the other."""

    def __init__(self, protocol: Protocol, instruments: Instruments, device: torch.device) -> None:
        self.named = [one for one in named(protocol) if one.metric.draws]
        self.extractors = {
            name: plugins.extractors[name](path, device) for name, path in instruments.extractors.items()
        }
        self.references = {}
        for label, (folder, summary) in instruments.references.items():
            with np.load(summary) as saved:
                self.references[label] = open_real(folder), dict(saved)

    @property
    def facts(self) -> dict[str, float]:
        """What a reader must know of the instruments."""
        return {key: value for extractor in self.extractors.values() for key, value in extractor.facts.items()}

    @property
    def identities(self) -> dict[str, str]:
        """Extractor -> SHA-256 of its weights."""
        return {name: extractor.identity for name, extractor in self.extractors.items()}

    def measure(self, batches: Iterable[Tensor]) -> Look:
        """All that they give, over uint8 (N, C, H, W) samples. Each batch is looked at once."""
        measurements = [_Under(one, self._fresh(one), one.n_fake) for one in self.named]
        groups: dict[tuple[str, str], list[_Under]] = {}
        for under in measurements:
            groups.setdefault((under.named.measure.codec, under.named.options.extractor), []).append(under)
        for images in batches:
            through: dict[str, Tensor] = {}
            for (codec, extractor), members in groups.items():
                wanted = min(max(under.wanted for under in members), len(images))
                if not wanted:
                    continue
                if codec not in through:
                    through[codec] = encoded(images, codec)
                found = self.extractors[extractor](through[codec][:wanted])
                for under in members:
                    under.add(found)
        numbers = {key: value for under in measurements for key, value in under.value().items()}
        counted = ((under.named.label, under.metric.histogram()) for under in measurements)
        return Look(numbers, {label: counts.tolist() for label, counts in counted if counts is not None})

    def _fresh(self, one: Named) -> SampleMetric:
        real, summary = self.references.get(one.label, (None, {}))
        metric: SampleMetric = one.metric(one.options, real, summary)  # type: ignore[call-arg, assignment]
        return metric


@dataclass
class _Under:
    """A measurement under way: `wanted` samples are still to come."""

    named: Named
    metric: SampleMetric
    wanted: int

    def add(self, found: Features) -> None:
        if taken := min(self.wanted, len(found.features)):
            self.metric.add(found.first(taken))
            self.wanted -= taken

    def value(self) -> dict[str, float]:
        if self.wanted:
            raise ValueError(f"{self.named.label}: no samples left, {self.wanted:,} more are wanted")
        return {key + self.named.suffix: value for key, value in self.metric.value().items()}
