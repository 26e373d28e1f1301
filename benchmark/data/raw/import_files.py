"""Import of raw files that the user has: copied or hard-linked to where the benchmark looks for them, or not at all."""

import filecmp
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from benchmark.core.errors import UserError

# A required file can come in several forms, of which the first complete one is used: an archive, or the files in it,
# say. A form is a list of patterns: each a file name, if necessary with its folder; `*` matches many files, `**` all
# files in a folder and in the folders below it.
Alternative = tuple[str, ...]
RequiredFile = tuple[Alternative, ...]


def import_files(
    required: Sequence[RequiredFile],
    sources: Sequence[Path],
    folder: Path,
    *,
    name: str,
    is_present: Callable[[RequiredFile], bool],
    verify: Callable[[], object],
    link: bool = False,
) -> list[Path]:
    """Copy or hard-link the required files from `sources` into `folder`; returns the new files.

    `sources` are files, or folders that are searched recursively. Nothing is copied if a required file is neither in
    them nor, according to `is_present`, there already. `verify` raises UserError if a file is wrong; all new files are
    then removed. Existing files stay as they are. `name`, of the dataset, is for messages.
    """
    by_name = _files_by_name(sources)
    found = [_first_complete(file, by_name) for file in required]
    plan = {folder / target: path for files in found for target, path in files.items()}
    absent = [file for file, files in zip(required, found, strict=True) if not files and not is_present(file)]
    if plan and absent:
        forms = "\n".join("  " + "\n    or ".join(map(_form_text, file)) for file in absent)
        raise UserError(
            f"{', '.join(map(str, sources))}: {name} also needs what was found neither there nor in the data directory;"
            f" nothing was changed. Get it, and name its place too:\n{forms}"
        )
    if not plan:
        forms = "\n".join("  " + "\n    or ".join(map(_form_text, file)) for file in required)
        raise UserError(
            f"{', '.join(map(str, sources))}: nothing that {name} needs was found; nothing was changed."
            f" Searched for, in all folders below:\n{forms}"
        )
    return _put_all(plan, folder, verify, link)


def import_file(
    target: Path, names: Sequence[str], sources: Sequence[Path], verify: Callable[[], object], link: bool = False
) -> list[Path]:
    """Import one file that is known by several names, as `import_files` does."""
    by_name = _files_by_name(sources)
    source = next((path for name in names for path in by_name.get(name, []) if path.is_file()), None)
    if source is None:
        where = ", ".join(map(str, sources))
        raise UserError(f"{where}: no {' or '.join(names)} was found, in all folders below; nothing was changed")
    return _put_all({target: source}, target.parent, verify, link)


def _put_all(plan: dict[Path, Path], folder: Path, verify: Callable[[], object], link: bool) -> list[Path]:
    """Put each target, a path below `folder`, from its source. Removes all of them if `verify` raises."""
    new_files: list[Path] = []
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for target, source in plan.items():
            if _put(source, target, link):
                new_files.append(target)
        verify()
    except BaseException:  # includes KeyboardInterrupt
        for path in new_files:
            path.unlink(missing_ok=True)
        parents = {parent for file in new_files for parent in file.parents if parent.is_relative_to(folder)}
        for path in [*sorted(parents, key=_by_depth, reverse=True), *new_folders]:
            with suppress(OSError):  # it holds other files
                path.rmdir()
        raise
    return new_files


def _first_complete(file: RequiredFile, by_name: dict[str, list[Path]]) -> dict[str, Path]:
    """Target -> source for the first form of which every pattern matches."""
    for form in file:
        matches = [_matches(pattern, by_name) for pattern in form]
        if all(matches):
            return {target: path for match in matches for target, path in match.items()}
    return {}


def _form_text(form: Alternative) -> str:
    return form[0] if len(form) == 1 else f"{form[0]} .. {PurePath(form[-1]).name}"


def _files_by_name(sources: Sequence[Path]) -> dict[str, list[Path]]:
    """All files in `sources` and in the folders below, those in shallower folders first."""
    paths: list[Path] = []
    for source in sources:
        if not source.exists():
            raise UserError(f"{source}: no such file or folder; nothing was changed")
        below = [Path(root) / name for root, _, names in os.walk(source) for name in names]
        paths += [source] if source.is_file() else sorted(below, key=_by_depth)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_name[path.name].append(path)
    return by_name


def _by_depth(path: Path) -> tuple[int, Path]:
    return len(path.parts), path


def _matches(pattern: str, by_name: dict[str, list[Path]]) -> dict[str, Path]:
    """Target -> source of the files that match a pattern; for `*` and `**`, those in the first folder with some."""
    name = PurePath(pattern).name
    if name == "**":
        return _below(PurePath(pattern).parent.as_posix(), by_name)
    if "*" not in name:
        path = next((path for path in by_name.get(name, []) if path.match(pattern) and path.is_file()), None)
        return {pattern: path} if path else {}
    paths = [path for group in by_name.values() for path in group if path.match(pattern) and path.is_file()]
    folder = min((path.parent for path in paths), key=_by_depth, default=None)
    return {str(PurePath(pattern).with_name(path.name)): path for path in paths if path.parent == folder}


def _below(folder: str, by_name: dict[str, list[Path]]) -> dict[str, Path]:
    """Target -> source of all files below the first folder whose path ends with `folder`."""
    trees: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in (path for group in by_name.values() for path in group):
        before, matched, rest = path.as_posix().partition(f"/{folder}/")
        if matched:
            trees[Path(before)][f"{folder}/{rest}"] = path
    return trees[min(trees, key=_by_depth)] if trees else {}


def _put(source: Path, target: Path, link: bool) -> bool:
    """Copy, under a temporary name first, or hard-link. False if the same file is already there."""
    source = source.resolve()
    if target.exists():
        if target.samefile(source) or filecmp.cmp(source, target, shallow=False):
            return False
        raise UserError(f"{target}: exists and differs from {source}; move one of them away")
    part = target.with_name(f"{target.name}.copying")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.link(source, target)
        else:
            shutil.copyfile(source, part)
            part.replace(target)
    except OSError as error:
        remedy = "; leave out --link" if link else ""
        raise UserError(f"{target}: cannot be made from {source}: {error.strerror or error}{remedy}") from None
    finally:
        part.unlink(missing_ok=True)
    return True
