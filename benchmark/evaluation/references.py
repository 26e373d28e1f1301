"""Evaluation networks and the features of real images, prepared once for all trials."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.files import write_atomically
from benchmark.core.protocol import BoundMetric, bind_metrics
from benchmark.core.spec import FrozenModel, Protocol, content_hash
from benchmark.data.arrays import PreparedData
from benchmark.data.base import Dataset
from benchmark.data.reference import REFERENCE_SEED, reference_images
from benchmark.evaluation.codecs import apply_codec
from benchmark.evaluation.extractors.base import Extractor, Features
from benchmark.evaluation.metrics.base import DiscriminatorMetric, ReferenceFeatures, ReferenceOptions, SampleMetric

VERSION = 2  # raised when what is kept of the real images changes

Say = Callable[[str], None]


class EvaluationAssets(FrozenModel):
    """What was prepared once for a protocol on a dataset: paths that every worker opens.

    `extractors`: name -> what its `prepare` returned. `references`: label of a measure that compares with real images
    -> the folder of their features, and the file of what was computed of these.
    """

    extractors: dict[str, Path]
    references: dict[str, tuple[Path, Path]]


def prepare_references(
    protocol: Protocol, dataset: type[Dataset], prepared: PreparedData, cache: Path, data_dir: Path, say: Say
) -> EvaluationAssets:
    """Make what the measures need, each thing once. Raises UserError when weights or images are missing."""
    cache.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths: dict[str, Path] = {}
    opened: dict[str, Extractor] = {}
    references = {}
    for one in bind_metrics(protocol):
        if issubclass(one.metric, DiscriminatorMetric):
            if problem := one.metric.lacking(one.options, dataset, prepared):
                raise UserError(f"{one.label}: {problem}")
            continue
        if not issubclass(one.metric, SampleMetric):
            continue
        name = one.options.extractor
        if name not in paths:
            paths[name] = registry.extractors[name].prepare(prepared, cache, data_dir)
        if one.metric.compares:
            if name not in opened:
                opened[name] = registry.extractors[name](paths[name], device)
            references[one.label] = _reference(one, opened[name], dataset, prepared, cache, say)
    return EvaluationAssets(extractors=paths, references=references)


def _reference(
    one: BoundMetric, extractor: Extractor, dataset: type[Dataset], prepared: PreparedData, cache: Path, say: Say
) -> tuple[Path, Path]:
    """The features of the real images that a measure compares with, and their summary."""
    options: ReferenceOptions = one.options
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
    folder = cache / f"real-{content_hash(recipe)}"
    if not _has(folder, n):
        shutil.rmtree(folder, ignore_errors=True)
        say(f"{dataset.name}: looking at {n:,} real images through {extractor.name}")
        batches = (extractor(apply_codec(images, one.measure.codec)) for images in reference_images(split, dataset, n))
        _write_features(folder, batches, n)
    summary = folder / f"{one.measure.metric}-{content_hash(one.measure.options)}.npz"
    if not _readable(summary):
        content = io.BytesIO()
        np.savez(content, **one.metric.summary(options, open_reference_features(folder), extractor.device))  # type: ignore[attr-defined]
        write_atomically(summary, content.getvalue())
    return folder, summary


def _has(folder: Path, n: int) -> bool:
    """Whether the features of so many images are there, by the sizes of the files."""
    try:
        return all(len(rows) == n for rows in open_reference_features(folder))
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


def open_reference_features(folder: Path) -> ReferenceFeatures:
    """The features that were written, mapped: copy-on-write, as torch knows no memory that is for reading only."""
    return ReferenceFeatures(
        *(
            np.load(folder / f"{name}.npy", mmap_mode="c" if name == "features" else None)
            for name in ReferenceFeatures._fields
        )
    )
