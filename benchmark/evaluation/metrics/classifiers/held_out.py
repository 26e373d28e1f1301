"""Checks of the held-out images that metrics of classifiers share."""

from collections.abc import Iterable

from benchmark.data.arrays import ArraySplit
from benchmark.data.base import Dataset
from benchmark.data.reference import labelled_indices

MOST_NAMED = 10


def missing_classes(
    metric: str, n_test: int | None, classes: Iterable[int], dataset: type[Dataset], split: ArraySplit
) -> str | None:
    """Why the first `n_test` labelled images of the held-out split do not suffice, or None.

    There must be `n_test` of them, and at least one of each of the classes.
    """
    labels = split.labels[labelled_indices(split, n_test)]
    if n_test is not None and len(labels) < n_test:
        return f"n_test asks for {n_test:,} labelled images, and {dataset.name} holds {len(labels):,} out"
    missing = sorted(set(classes) - set(labels.tolist()))
    if not missing:
        return None
    named = ", ".join(map(str, missing[:MOST_NAMED]))
    return f"'{metric}' needs a held-out image of every class, and {dataset.name} has none of class {named}"
