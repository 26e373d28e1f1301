"""The registries: a name in a suite -> the class that serves it, imported only when it is needed."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

import baselines
from benchmark.data import DATASETS
from benchmark.errors import UserError, hint
from benchmark.extractors import EXTRACTORS
from benchmark.metrics import METRICS

if TYPE_CHECKING:  # importing these for real would load torch
    from baselines.base import Method
    from baselines.networks.base import Network
    from benchmark.data.base import Dataset
    from benchmark.extractors.base import Extractor
    from benchmark.metrics.base import Metric

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of plug-in, each with the `module:Class` that serves it."""

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def check(self, name: str) -> None:
        """Raises UserError with the nearest spelling when the name is not registered."""
        if name not in self._entries:
            raise UserError(f"unknown {self.kind} '{name}'; {hint(name, self)}")

    def __getitem__(self, name: str) -> type[T]:
        self.check(name)
        module, _, attribute = self._entries[name].partition(":")
        loaded: type[T] = getattr(import_module(module), attribute)
        return loaded


methods: "Registry[Method]" = Registry("method", baselines.METHODS)
networks: "Registry[Network]" = Registry("network", baselines.NETWORKS)
datasets: "Registry[Dataset]" = Registry("dataset", DATASETS)
extractors: "Registry[Extractor]" = Registry("extractor", EXTRACTORS)
metrics: "Registry[Metric]" = Registry("metric", METRICS)
