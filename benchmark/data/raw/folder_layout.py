"""How a folder of images is split and labelled, judged by the names of its folders.

Folders named train, val and test at the first level, or called by another name of `SPLIT_NAMES`, are splits; the
folders below them, or at the first level if there are no splits, are classes. A folder whose meaning is uncertain is
refused.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.data.raw.file_states import FileStates, display_path, for_example
from benchmark.data.raw.image_tree import DirectoryTree, Item, LeftOut, first_folder

# The names of each split, in lower case. Of two splits that could be held out, the first is.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
HELD_OUT = 10  # every tenth image is held out if no folder is
NAMED_CLASSES = 12


@dataclass(frozen=True)
class FolderSplit:
    """The images of one split: their folder, and name and label of each, with label -1 for no class."""

    tree: DirectoryTree
    items: list[Item]


@dataclass(frozen=True)
class FolderLayout:
    """What a folder was understood as; `notes` says it in words, by topic."""

    train: FolderSplit
    test: FolderSplit
    notes: dict[str, str]


def split_folders(root: Path) -> dict[str, list[Path]]:
    """Split -> the folders at the first level that are called by one of its names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        split = _split_of(path.name)
        if split and path.is_dir():
            found.setdefault(split, []).append(path)
    return found


def image_roots(root: Path) -> list[Path]:
    """The folders that must hold images: the training and the held-out split, or the only folder of both."""
    found = split_folders(root)
    if "train" not in found:
        return [root]
    held_out = next((found[split] for split in SPLIT_NAMES if split != "train" and split in found), [])
    return [found["train"][0], *held_out[:1]]


def image_states(root: Path) -> FileStates:
    """The size and the time of the last change of every image of both splits, by its path below `root`."""
    return {
        name if folder == root else f"{folder.name}/{name}": state
        for folder in image_roots(root)
        for name, state in DirectoryTree(folder).states().items()
    }


def read_layout(root: Path) -> FolderLayout:
    """The splits and classes of a folder of images.

    Classes are numbered in the order of their folders' names, by bytes. They are those of the training images: a
    held-out image of any other class has no label.

    Raises:
        UserError: the meaning of a folder is uncertain, or there are too few images.
    """
    _refuse_ambiguous(root)
    roots = image_roots(root)
    trees = [DirectoryTree(folder) for folder in roots]
    names = [tree.names() for tree in trees]
    for tree, listed in zip(trees, names, strict=True):
        _refuse_nested_splits(tree, listed)
    if len(roots) == 2:
        train, held_out = names
        how = f"{len(train):,} images for training in {_shown(roots[0])}, {len(held_out):,} held out in"
        how = f"{how} {_shown(roots[1])}{_unused(root, roots)}"
    else:
        train, held_out = _every_tenth(trees[0], names[0])
        where = f"{_shown(roots[0])}: " if roots[0] != root else ""
        how = f"{where}{len(train):,} images for training, {len(held_out):,} held out (every tenth)"
    labels = class_labels(train)
    notes = {"layout": f"{how}; {_classes(labels, train, held_out)}"}
    if left_out := _left_out_text(trees):
        notes["left_out"] = left_out
    splits = [
        FolderSplit(tree, [(name, labels.get(first_folder(name), -1)) for name in listed])
        for tree, listed in ((trees[0], train), (trees[-1], held_out))
    ]
    return FolderLayout(splits[0], splits[1], notes)


def class_labels(names: Sequence[str]) -> dict[str, int]:
    """First-level folder -> label, in the order of the folders' names; -1 for images at the top."""
    folders = sorted({first_folder(name) for name in names} - {""}, key=os.fsencode)
    return {"": -1} | {folder: label for label, folder in enumerate(folders)}


def _split_of(name: str) -> str:
    """The split that a folder of this name holds; "" for none."""
    return next((split for split, names in SPLIT_NAMES.items() if name.lower() in names), "")


def _every_tenth(tree: DirectoryTree, names: list[str]) -> tuple[list[str], list[str]]:
    if len(names) < HELD_OUT:
        raise UserError(
            f"{tree.location()}: too few images, {len(names)} of at least {HELD_OUT}, as one in {HELD_OUT}"
            " is held out; add some, or make folders train and test"
        )
    return [name for index, name in enumerate(names, 1) if index % HELD_OUT], names[HELD_OUT - 1 :: HELD_OUT]


# --- what is refused -----------------------------------------------------------------------------------


def _refuse_ambiguous(root: Path) -> None:
    """Raises UserError if splits are named twice, or mixed with other images."""
    found = split_folders(root)
    if not found:
        return
    folders = [path for paths in found.values() for path in paths]
    listed = " and ".join(map(_shown, folders))
    for paths in found.values():
        if len(paths) > 1:
            raise UserError(
                f"{display_path(str(root))}: {listed} may be the same split; keep one of each, or merge them"
            )
    if "train" not in found:
        raise UserError(
            f"{display_path(str(root))}: has {listed} but no folder train: are these splits or classes? For splits, add"
            f" a folder train; for classes, rename {_shown(folders[0])}, for example to class_{folders[0].name}"
        )
    others = [name for name in DirectoryTree(root).walk({}) if root / first_folder(name) not in folders]
    if others:
        raise UserError(
            f"{display_path(str(root))}: holds {len(others):,} images outside {listed}{for_example(others)}; move them"
            " into one of these folders, or away"
        )


def _refuse_nested_splits(tree: DirectoryTree, names: list[str]) -> None:
    """Raises UserError if a folder below the top is called like a split."""
    for name in names:
        for folder in name.split("/")[:-1][:2]:
            if _split_of(folder):
                raise UserError(
                    f"{tree.location(name)}: is in a folder called {folder} below {tree.location()}, and splits must be"
                    " at the first level: move the folders train and test there, or rename the folder if it is a class"
                )


# --- in words ------------------------------------------------------------------------------------------


def _shown(path: Path) -> str:
    return display_path(path.name)


def _unused(root: Path, roots: list[Path]) -> str:
    unused = [path for paths in split_folders(root).values() for path in paths if path not in roots]
    counts = (f"{len(DirectoryTree(path).names()):,} in {_shown(path)} not used" for path in unused)
    return "".join(f", {count}" for count in counts)


def _classes(labels: dict[str, int], train: list[str], held_out: list[str]) -> str:
    """The classes, and the images that have none."""
    classes = [display_path(folder) for folder in labels if folder]
    more = f" and {len(classes) - NAMED_CLASSES:,} more" if len(classes) > NAMED_CLASSES else ""
    number = f"{len(classes):,} class{'es' * (len(classes) > 1)}"
    parts = [f"{number} ({', '.join(classes[:NAMED_CLASSES])}{more})" if classes else "no classes"]
    loose = sum(not first_folder(name) for name in (*train, *held_out))
    if classes and loose:
        parts.append(f"{loose:,} images outside class folders have no class")
    unknown = sorted({first_folder(name) for name in held_out} - labels.keys(), key=os.fsencode)
    if unknown:
        count = sum(first_folder(name) in unknown for name in held_out)
        parts.append(
            f"{count:,} held-out images have no class, as no training image is of theirs{for_example(unknown)}"
        )
    return "; ".join(parts)


def _left_out_text(trees: list[DirectoryTree]) -> str:
    """How many files and folders of each kind are left out, with examples."""
    kinds: LeftOut = {}
    for tree in dict.fromkeys(trees):
        for kind, names in tree.left_out().items():
            kinds.setdefault(kind, []).extend(names)
    return "; ".join(f"{kind}: {len(names):,}{for_example(names)}" for kind, names in kinds.items())
