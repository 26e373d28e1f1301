"""Raw files that somebody already has are put where the benchmark looks for them."""

import filecmp
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from benchmark.core.errors import UserError
from benchmark.data.base import Dataset
from benchmark.data.raw.sources import Alternative, RequiredFile, raw_dir, required_files


def import_files(
    dataset: type[Dataset],
    sources: Sequence[Path],
    data_dir: Path,
    verify: Callable[[], object],
    link: bool = False,
) -> list[Path]:
    """Copy or hard-link what the dataset needs from files and folders into its folder under `data_dir`.

    `verify` reads it all, and raises UserError when something is wrong: then all that was put there is taken away
    again. Files that are there already stay as they are. Returns what was put there.
    """

    def complete() -> None:
        problem = dataset.missing_files(data_dir)
        if problem:
            raise UserError(problem)
        verify()

    return _put_all(_plan(dataset, sources, data_dir), data_dir / raw_dir(dataset.name), complete, link)


def import_file(
    target: Path, names: Sequence[str], sources: Sequence[Path], verify: Callable[[], object], link: bool = False
) -> list[Path]:
    """The same for one file that goes by several names."""
    by_name = _files_by_name(sources)
    source = next((path for name in names for path in by_name.get(name, []) if path.is_file()), None)
    if source is None:
        where = ", ".join(map(str, sources))
        raise UserError(f"{where}: no {' or '.join(names)} was found, in all folders below; nothing was changed")
    return _put_all({target: source}, target.parent, verify, link)


def _put_all(plan: dict[Path, Path], folder: Path, verify: Callable[[], object], link: bool) -> list[Path]:
    """Target -> source. All are below `folder`, and are taken away again when `verify` is not content."""
    put: list[Path] = []
    made = _absent_folders(folder)
    try:
        for target, source in plan.items():
            if _put(source, target, link):
                put.append(target)
        verify()
    except BaseException:  # Ctrl-C too
        _take_away(put, made)
        raise
    return put


def _plan(dataset: type[Dataset], sources: Sequence[Path], data_dir: Path) -> dict[Path, Path]:
    """Target -> source."""
    needed = required_files(dataset.name)
    if not needed:
        problem = dataset.missing_files(data_dir)
        why = f"its files have no names of their own.\n{problem}" if problem else "it needs no files, or has them"
        raise UserError(f"{dataset.name}: there is nothing to import: {why}")
    by_name = _files_by_name(sources)
    folder = data_dir / raw_dir(dataset.name)
    plan = {folder / name: path for part in needed for name, path in _found(part, by_name).items()}
    if not plan:
        names = "\n".join("  " + "\n    or ".join(_shown(way) for way in part) for part in needed)
        raise UserError(
            f"{', '.join(map(str, sources))}: nothing that {dataset.name} needs was found; nothing was changed."
            f" Looked for, in all folders below:\n{names}"
        )
    return plan


def _found(part: RequiredFile, by_name: dict[str, list[Path]]) -> dict[str, Path]:
    """Path under the dataset's folder -> file, for the first of the ways of which all patterns are found."""
    for way in part:
        hits = [_matching(pattern, by_name) for pattern in way]
        if all(hits):
            return {name: path for hit in hits for name, path in hit.items()}
    return {}


def _shown(way: Alternative) -> str:
    return way[0] if len(way) == 1 else f"{way[0]} .. {PurePath(way[-1]).name}"


def _files_by_name(sources: Sequence[Path]) -> dict[str, list[Path]]:
    """All files that are named or below a folder that is named, those that are less deep first."""
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise UserError(f"{source}: no such file or folder; nothing was changed")
        below = [Path(root) / name for root, _, names in os.walk(source) for name in names]
        found += [source] if source.is_file() else sorted(below, key=lambda path: (len(path.parts), path))
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in found:
        by_name[path.name].append(path)
    return by_name


def _matching(pattern: str, by_name: dict[str, list[Path]]) -> dict[str, Path]:
    """The files for one pattern. Of a `*`, those of the first folder that has some."""
    name = PurePath(pattern).name
    if "*" not in name:
        hit = next((path for path in by_name.get(name, []) if path.match(pattern) and path.is_file()), None)
        return {pattern: hit} if hit else {}
    hits = [path for paths in by_name.values() for path in paths if path.match(pattern) and path.is_file()]
    folder = min((path.parent for path in hits), key=lambda path: (len(path.parts), path), default=None)
    return {str(PurePath(pattern).with_name(path.name)): path for path in hits if path.parent == folder}


def _put(source: Path, target: Path, link: bool) -> bool:
    """Copy or link under another name first; False when the same file is there already."""
    source = source.resolve()
    if target.exists():
        if target.samefile(source) or filecmp.cmp(source, target, shallow=False):
            return False
        raise UserError(f"{target}: is there already and differs from {source}; move one of them away")
    part = target.with_name(f"{target.name}.copying")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.link(source, target)
        else:
            shutil.copyfile(source, part)
            part.replace(target)
    except OSError as error:
        why = "; leave out --link" if link else ""
        raise UserError(f"{target}: cannot be made from {source}: {error.strerror or error}{why}") from None
    finally:
        part.unlink(missing_ok=True)
    return True


def _absent_folders(folder: Path) -> list[Path]:
    """The folders that putting a file into `folder` makes, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _take_away(put: list[Path], made: list[Path]) -> None:
    for path in put:
        path.unlink(missing_ok=True)
    for folder in [*dict.fromkeys(path.parent for path in put), *made]:
        with suppress(OSError):  # somebody else's files are in it
            folder.rmdir()
