"""How the raw files of a dataset get into the data directory: by download, or from files that the user has."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from benchmark.core.errors import UserError
from benchmark.data.base import Dataset
from benchmark.data.raw.download import ProgressCallback, download
from benchmark.data.raw.import_files import RequiredFile, import_files


def fetch(dataset: type[Dataset], data_dir: Path, progress: ProgressCallback | None = None) -> Path | None:
    """Download the raw files of a dataset into its folder under `data_dir`; returns the folder.

    Returns None if no file is missing. Raises UserError with instructions if the dataset cannot be downloaded or a
    download fails.
    """
    instructions = dataset.missing_message(data_dir)
    if instructions is None:
        return None
    if not dataset.downloads:
        raise UserError(f"{dataset.name} cannot be downloaded by a program.\n{instructions}")
    folder = data_dir / dataset.raw_dir
    try:
        for file in dataset.downloads:
            download(file, folder, progress)
    except UserError as error:
        raise UserError(f"{error}\nThe part that arrived is kept. Try again, or:\n{instructions}") from None
    return folder


def import_raw_files(
    dataset: type[Dataset],
    sources: Sequence[Path],
    data_dir: Path,
    verify: Callable[[], object],
    link: bool = False,
) -> list[Path]:
    """Copy or hard-link the raw files of a dataset into its folder under `data_dir`; returns the new files.

    `sources` are files, or folders that are searched recursively. `verify` reads the dataset and raises UserError if
    a file is wrong; all new files are then removed. Existing files stay as they are.
    """
    if not dataset.required_files:
        problem = dataset.missing_message(data_dir)
        reason = f"its files have no fixed names.\n{problem}" if problem else "it needs no files, or has them"
        raise UserError(f"{dataset.name}: there is nothing to import: {reason}")

    def check() -> None:
        problem = dataset.missing_message(data_dir)
        if problem:
            raise UserError(problem)
        verify()

    missing = dataset.missing_files(data_dir)

    def is_present(file: RequiredFile) -> bool:
        return not any(PurePath(pattern).name in line for form in file for pattern in form for line in missing)

    return import_files(
        dataset.required_files,
        sources,
        data_dir / dataset.raw_dir,
        name=dataset.name,
        is_present=is_present,
        verify=check,
        link=link,
    )


def acquisition_hint(dataset: type[Dataset], options: str) -> str:
    """The commands that get the raw files, with these command-line options; empty if files have no fixed names."""
    if not dataset.required_files:
        return ""
    command = "python -m benchmark datasets"
    lines = [f"  {command} import {dataset.name} PATH{options}", "    copies files that you have"]
    if dataset.downloads:
        lines = [f"  {command} fetch {dataset.name}{options}", "    downloads them", *lines]
    return "\n".join(["", "Or type:", *lines])
