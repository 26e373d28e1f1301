"""Is what was prepared still whole, and are the raw files what they were?"""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.data.arrays import Split, StreamSplit
from benchmark.data.base import Dataset
from benchmark.data.prepared import SPLITS, ProgressCallback, as_stream, find_damage, open_prepared


@dataclass
class VerificationResult:
    """What was looked at and found whole, and what is corrupt."""

    whole: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    def note(self, problem: str | None, otherwise: str) -> None:
        """A finding: the problem, or what is well without one."""
        if problem:
            self.corrupt.append(problem)
        else:
            self.whole.append(otherwise)


def verify(
    dataset: type[Dataset], data_dir: Path, cache: Path, told: ProgressCallback | None = None
) -> VerificationResult:
    """Look at the prepared arrays and at the raw files; changes nothing. Raises UserError when neither is here."""
    verdict = VerificationResult()
    known: dict[str, Any] = {}
    problem = dataset.missing_files(data_dir)
    if dataset.is_prepared(cache):
        folder = dataset.prepared_dir(cache)
        damaged = find_damage(folder, thorough=True)
        verdict.note(damaged, f"prepared arrays in {folder}")
        if not damaged:
            known = open_prepared(folder).manifest
            verdict.whole += [] if known.get("checksums") else ["they were prepared before checksums existed"]
    elif problem:
        raise UserError(f"{dataset.name}: nothing is here to be verified.\n{problem}")
    if problem:
        verdict.whole.append("raw files are not here, and not needed any more")
    else:
        verdict.note(*_raw(dataset, data_dir, known.get("sources"), told))
    return verdict


def read_all(dataset: type[Dataset], data_dir: Path, told: ProgressCallback | None = None) -> dict[str, str]:
    """Read every image from the raw files and keep none. The checksums; raises UserError when one is damaged."""
    train, test, sources = dataset.read(data_dir)
    for name, split in zip(SPLITS, (train, test), strict=True):
        deque(_counted(name, split, told), maxlen=0)
    return sources


def _raw(
    dataset: type[Dataset], data_dir: Path, known: dict[str, str] | None, told: ProgressCallback | None
) -> tuple[str | None, str]:
    try:
        sources = read_all(dataset, data_dir, told)
    except UserError as error:
        return str(error), ""
    where = f"raw files under {data_dir}" if sources else "made without raw files"
    changed = [name for name in sources if known and name in known and sources[name] != known[name]]
    if changed:
        return (
            f"raw files under {data_dir}: {', '.join(changed)} differ from those that the arrays were prepared from"
        ), ""
    return None, where


def _counted(name: str, split: Split, told: ProgressCallback | None) -> Any:
    stream: StreamSplit = as_stream(split)
    done = 0
    for _, labels in stream.chunks:
        done += len(labels)
        if told:
            told(name, done, stream.length)
        yield done
    if done != stream.length:
        raise UserError(f"{done:,} {name} images were read where {stream.length:,} were announced; get the files again")
