"""Prepares evaluation networks and the features of real images, once for all trials of a protocol on a dataset."""

import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field

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
from benchmark.evaluation.metrics.base import ReferenceFeatures, SampleMetric

VERSION = 2  # raised when the content of the files changes

logger = logging.getLogger(__name__)


class ReferenceFiles(NamedTuple):
    """The folder of the features of real images, and the .npz file of a metric's statistics of them."""

    features: Path
    statistics: Path


class EvaluationAssets(FrozenModel):
    """The files that evaluating a protocol on a dataset needs, which every worker opens.

    `extractors`: extractor -> what its `prepare` returned. `references`: label of a measure that compares with real
    images -> its files. `constants`: label of a measure that must know more of the dataset than its images -> its
    constants by name, as nested lists.
    """

    extractors: dict[str, Path]
    references: dict[str, ReferenceFiles]
    constants: dict[str, dict[str, Any]] = Field(default_factory=dict)


def unmeasurable(protocol: Protocol, dataset: type[Dataset], prepared: PreparedData) -> dict[str, str]:
    """The measures that the prepared images do not suffice for, by label, and why. Extracts no features."""
    problems = {
        bound.label: bound.metric.check_data(bound.options, dataset, prepared) for bound in bind_metrics(protocol)
    }
    return {label: problem for label, problem in problems.items() if problem}


def prepare_references(
    protocol: Protocol, dataset: type[Dataset], prepared: PreparedData, cache: Path, data_dir: Path
) -> EvaluationAssets:
    """Prepare what the measures of a protocol need, reusing what `cache` holds.

    Args:
        protocol: the protocol.
        dataset: the dataset, and
        prepared: its images.
        cache: the folder for evaluation networks and features.
        data_dir: the folder of downloaded files.

    Raises:
        UserError: weights are missing, or there are fewer images than a measure asks for.
    """
    cache.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths: dict[str, Path] = {}
    extractors: dict[str, Extractor] = {}
    references, constants = {}, {}
    if problems := unmeasurable(protocol, dataset, prepared):
        raise UserError("\n".join(f"{label}: {problem}" for label, problem in problems.items()))
    for bound in bind_metrics(protocol):
        if not issubclass(bound.metric, SampleMetric):
            continue
        if known := bound.metric.dataset_statistics(bound.options, dataset):
            constants[bound.label] = {name: array.tolist() for name, array in known.items()}
        name = bound.options.extractor
        if name not in paths:
            paths[name] = registry.extractors[name].prepare(prepared, cache, data_dir)
        if bound.metric.needs_reference:
            if name not in extractors:
                extractors[name] = registry.extractors[name](paths[name], device)
            folder = _prepare_features(bound, extractors[name], dataset, prepared, cache)
            references[bound.label] = ReferenceFiles(folder, _prepare_statistics(bound, bound.metric, folder, device))
    return EvaluationAssets(extractors=paths, references=references, constants=constants)


def _prepare_features(
    bound: BoundMetric, extractor: Extractor, dataset: type[Dataset], prepared: PreparedData, cache: Path
) -> Path:
    """The folder of the features of the real images that a measure compares with."""
    split, codec = getattr(prepared, bound.options.reference), bound.measure.codec
    n = len(split.labels) if bound.options.n_real is None else bound.options.n_real
    recipe: dict[str, Any] = {
        "version": VERSION,
        "data": {key: str(value) for key, value in prepared.manifest.items()},
        "split": bound.options.reference,
        "n": n,
        "codec": codec,
        "extractor": [extractor.name, extractor.identity],
        "seed": REFERENCE_SEED,
    }
    folder = cache / f"real-{content_hash(recipe)}"
    if not _is_complete(folder, n):
        shutil.rmtree(folder, ignore_errors=True)
        logger.info("%s: extracting features of %s real images with %s", dataset.name, f"{n:,}", extractor.name)
        write_features(folder, (extractor(apply_codec(b, codec)) for b in reference_images(split, dataset, n)), n)
    return folder


def _prepare_statistics(bound: BoundMetric, metric: type[SampleMetric], folder: Path, device: torch.device) -> Path:
    """The file of a metric's statistics of the features in a folder."""
    path = folder / f"{bound.measure.metric}-{content_hash(bound.measure.options)}.npz"
    if not _is_readable(path):
        content = io.BytesIO()
        statistics = metric.reference_statistics(bound.options, open_reference_features(folder), device)
        np.savez(content, **statistics)  # type: ignore[arg-type]  # its stubs take the arrays for `allow_pickle`
        write_atomically(path, content.getvalue())
    return path


def _is_complete(folder: Path, n: int) -> bool:
    """Whether a folder holds the features of n images, by the sizes of its files."""
    try:
        return all(len(rows) == n for rows in open_reference_features(folder))
    except (OSError, ValueError, EOFError, TypeError):
        return False


def _is_readable(path: Path) -> bool:
    """Whether a file of statistics is intact: zip files have checksums."""
    try:
        with np.load(path) as statistics:
            dict(statistics)
            return True
    except Exception:  # a damaged file raises many kinds
        return False


def write_features(folder: Path, batches: Iterable[Features], n: int) -> None:
    """Write features and logits of n images to a folder, which appears complete or not at all."""
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        done, arrays = 0, {}
        for batch in batches:
            for name, rows in batch._asdict().items():
                if name not in arrays:
                    shape = (n, rows.shape[1])
                    arrays[name] = _create(scratch / name, shape) if rows.shape[1] else np.zeros(shape, np.float32)
                arrays[name][done : done + len(rows)] = rows.float().cpu().numpy()
            done += len(batch.features)
        for name, array in arrays.items():
            if isinstance(array, np.memmap):
                array.flush()
            else:
                np.save(scratch / f"{name}.npy", array)
        try:
            scratch.rename(folder)
        except OSError:  # another run was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _create(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped .npy file, allocated at once: a full disk raises OSError here instead of SIGBUS later."""
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
    """The features in a folder, memory-mapped copy-on-write, because torch has no read-only tensors."""
    features = np.load(folder / "features.npy", mmap_mode="c")
    return ReferenceFeatures(features, np.load(folder / "logits.npy"))
