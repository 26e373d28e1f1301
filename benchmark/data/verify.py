"""Verification of prepared arrays and raw files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.data.base import Dataset
from benchmark.data.prepared import SPLITS, as_stream, counted_chunks, find_damage, open_prepared
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
        checksums = read_all(dataset, data_dir, progress)
    except UserError as error:
        result.corrupt.append(str(error))
        return result
    known = manifest.get("sources", {})
    changed = [name for name, checksum in checksums.items() if known.get(name, checksum) != checksum]
    if changed:
        names = ", ".join(changed)
        result.corrupt.append(
            f"raw files under {data_dir}: {names} differ from those that the arrays were prepared from"
        )
    else:
        result.intact.append(f"raw files under {data_dir}" if checksums else "the dataset has no raw files")
    return result


def read_all(dataset: type[Dataset], data_dir: Path, progress: ProgressCallback | None = None) -> dict[str, str]:
    """Read every image from the raw files and keep none; returns the checksums.

    Raises UserError if a file is damaged.
    """
    train, test, checksums = dataset.read(data_dir)
    for name, split in zip(SPLITS, (train, test), strict=True):
        for _ in counted_chunks(name, as_stream(split), progress):
            pass
    return checksums
