"""The schema of a suite file."""

from typing import Annotated, Any

from pydantic import AliasChoices, Field

from benchmark.core.spec import FrozenModel, PositiveFloat, PositiveInt, Seed

Overrides = dict[str, Any]


RETRIES = 1


class Resources(FrozenModel):
    """What one trial gets: `cpus` (and as many threads), and `gpus`, a share used where there is a GPU.

    `retries`: how often a failed trial is tried again from its checkpoint. `time_limit_hours`: of one attempt.
    `checkpoint_seconds`: between two checkpoints of a trial, at the least (default: a minute); how large a share of its
    time they may take is fixed. On a GPU, `vmap_seeds`: so many seeds of a cell are trained as one model, in one
    process that gets what one trial gets, each with a record of its own; `cuda_graphs`: each update is captured as a
    CUDA graph. `together` and `graphs` are older names of these two. Nothing of this is part of a trial's identity.
    """

    cpus: Annotated[int, Field(strict=True, gt=0, le=4096)] = 1
    gpus: Annotated[float, Field(strict=True, ge=0, le=64)] = 0.0
    retries: Annotated[int, Field(strict=True, ge=0, le=1000)] = RETRIES
    time_limit_hours: PositiveFloat | None = None
    vmap_seeds: Annotated[
        int, Field(strict=True, gt=0, le=1000, validation_alias=AliasChoices("vmap_seeds", "together"))
    ] = 1
    checkpoint_seconds: PositiveFloat | None = None
    cuda_graphs: Annotated[bool, Field(strict=True, validation_alias=AliasChoices("cuda_graphs", "graphs"))] = False

    @property
    def time_limit(self) -> float | None:
        """Seconds of one attempt."""
        return None if self.time_limit_hours is None else 3600 * self.time_limit_hours


class RowConfig(FrozenModel):
    """One method of a table.

    `published` names the row of the published table when the labels differ, or `paper/table/row` of another one, or is
    `none`.
    """

    published: str | None = None
    note: str = ""
    recipe: str | None = None
    cell: Overrides = Field(default_factory=dict)


class TableConfig(FrozenModel):
    """A table to reproduce. `published` is `paper/table`; without it no published value is known.

    `published_as`: label -> what a row's own `published` would say, for rows that tables share. `methods`: method ->
    what is laid over `defaults` in its rows. Of several recipes each is laid over the ones before.
    """

    title: str
    published: str | None = None
    note: str = ""
    recipe: str | list[str] | None = None
    defaults: Overrides = Field(default_factory=dict)
    methods: dict[str, Overrides] = Field(default_factory=dict)
    published_as: dict[str, str] = Field(default_factory=dict)
    rows: Annotated[dict[str, Overrides], Field(min_length=1)]


class ScaleConfig(FrozenModel):
    """A named reduction of every cell, or the full recipe when it is empty and called `paper`.

    `cell` is laid over every cell. `rows`: the only ones that it has, `table/row`, or `row` for those of all tables.
    No network is wider than `width`, in its own units. No measure takes more than
    `samples` generated or real images. With `synthetic` made-up images of the same shape stand in for every dataset,
    and a random network for extractors whose weights would have to be downloaded: everything runs anywhere, and no
    number says anything.
    """

    about: str = ""
    seeds: list[Seed] | None = None
    width: PositiveInt | None = None
    samples: PositiveInt | None = None
    synthetic: bool = False
    cell: Overrides = Field(default_factory=dict)
    rows: Annotated[list[str], Field(min_length=1)] | None = None


class SuiteFile(FrozenModel):
    """The schema of a suite file."""

    title: str
    about: str = ""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    resources: Resources = Resources()
    tolerance: Annotated[dict[str, PositiveFloat], Field(default_factory=dict)]
    defaults: Overrides = Field(default_factory=dict)
    recipe: str | None = None
    tables: Annotated[list[TableConfig], Field(min_length=1)]
    scales: Annotated[dict[str, ScaleConfig], Field(min_length=1)]
