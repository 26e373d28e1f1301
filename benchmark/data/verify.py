"""Verification of prepared arrays and raw files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.data.base import Dataset
from benchmark.data.prepared import SPLITS, array_checksums, find_damage, open_prepared
from benchmark.data.raw.download import ProgressCallback


@dataclass
class VerificationResult:
    """A line for each thing that was checked: intact or corrupt."""

    intact: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)


def verify(
    dataset: type[Dataset], data_dir: Path, cache: Path, progress: ProgressCallback | None = None
) -> VerificationResult:
    """Check the prepared arrays and the raw files of a dataset. Changes nothing.

    Raises UserError if neither is present.
    """
    result = VerificationResult()
    manifest: dict[str, Any] = {}
    missing = dataset.missing_message(data_dir)
    if dataset.is_prepared(cache):
        folder = dataset.prepared_dir(cache)
        damage = find_damage(folder, thorough=True)
        if damage:
            result.corrupt.append(damage)
        else:
            result.intact.append(f"prepared arrays in {folder}")
            manifest = open_prepared(folder).manifest
            if not manifest.get("checksums"):
                result.intact.append("the arrays were prepared before checksums existed")
    elif missing:
        raise UserError(f"{dataset.name}: there is nothing to verify.\n{missing}")
    if missing:
        result.intact.append("raw files are not present, and no longer needed")
        return result
    try:
        files, arrays = read_all(dataset, data_dir, progress)
    except UserError as error:
        result.corrupt.append(str(error))
        return result
    differing = _differing(manifest, files, arrays)
    if differing:
        changes = dataset.changes(data_dir, cache)
        result.corrupt.append(
            f"raw files under {data_dir}: {', '.join(differing)} differ from those that the arrays were prepared from"
            + (f": {changes}" if changes else "")
        )
    else:
        result.intact.append(f"raw files under {data_dir}" if files else "the dataset has no raw files")
    return result


def _differing(manifest: dict[str, Any], files: dict[str, str], arrays: dict[str, str]) -> list[str]:
    """The raw files that differ from those of the manifest or, if none does by name, the arrays that they give.

    Equal arrays may come from other files, for example from an archive instead of its content.
    """
    known, known_arrays = manifest.get("sources", {}), manifest.get("checksums", arrays)
    differing = [name for name, checksum in files.items() if known.get(name, checksum) != checksum]
    if known_arrays == arrays:
        return differing
    new = [name for name in files if known and name not in known]
    return differing or new or [name for name in arrays if known_arrays.get(name) != arrays[name]]


def read_all(
    dataset: type[Dataset], data_dir: Path, progress: ProgressCallback | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Read every image from the raw files and keep none; returns the checksums of the files and of the arrays.

    Raises UserError if a file is damaged.
    """
    train, test, checksums = dataset.read(data_dir)
    arrays = array_checksums(dict(zip(SPLITS, (train, test), strict=True)), progress)
    return checksums, arrays
