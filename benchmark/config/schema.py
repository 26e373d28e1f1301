"""The schema of a suite file."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field

from benchmark.core.spec import FrozenModel, PositiveFloat, PositiveInt, Seed

Overrides = dict[str, Any]  # some of the fields of a trial, nested as in `TrialSpec`, and their `sources`


RETRIES = 1


class Resources(FrozenModel):
    """What one trial may use. Nothing of this is part of a trial's identity.

    `cpus` cores, and as many threads; `gpus`, possibly a fraction, where there is a GPU. A failed trial is retried
    `retries` times from its checkpoint. `time_limit_hours` limits one attempt. Two checkpoints of a trial are at least
    `checkpoint_seconds` apart (default: a minute); how large a share of its time they may take is fixed.

    On a GPU, `vmap_seeds` seeds of a cell are trained as one model, in one process with the resources of one trial, and
    each has its own record. With `graphs` each update is captured as a graph, which computes the same in less time.
    `together` and `cuda_graphs` are older names of these two.
    """

    cpus: Annotated[int, Field(strict=True, gt=0, le=4096)] = 1
    gpus: Annotated[float, Field(strict=True, ge=0, le=64)] = 0.0
    retries: Annotated[int, Field(strict=True, ge=0, le=1000)] = RETRIES
    time_limit_hours: PositiveFloat | None = None
    vmap_seeds: Annotated[
        int, Field(strict=True, gt=0, le=1000, validation_alias=AliasChoices("vmap_seeds", "together"))
    ] = 1
    checkpoint_seconds: PositiveFloat | None = None
    graphs: Annotated[bool, Field(strict=True, validation_alias=AliasChoices("graphs", "cuda_graphs"))] = False

    @property
    def time_limit(self) -> float | None:
        """Seconds that one attempt may take; None without a limit."""
        return None if self.time_limit_hours is None else 3600 * self.time_limit_hours


class RowConfig(FrozenModel):
    """One method of a table: three keys of its own, and any that a trial has.

    `published` names the row's published value: a row of the table's `published` table if the labels differ,
    `paper/table/row`, or `none`.
    """

    model_config = ConfigDict(extra="allow")

    published: str | None = None
    note: str = ""
    recipe: str | None = None

    @property
    def overrides(self) -> Overrides:
        """The keys of a trial that the row sets."""
        return self.model_extra or {}


class QuantityConfig(FrozenModel):
    """One side of a claim: per seed, the mean of an output over some evaluations of a row; the last one by default.

    `row` and `output` are names or lists of them; in an output, `*` stands for any characters. `after` and `up_to`
    select the evaluations at steps in (after, up_to]. With `every`, this window is repeated every so many steps, while
    it ends no later than at step `until` (default: the end of training).
    """

    row: str | list[str] | None = None
    output: str | list[str] | None = None
    after: Annotated[int, Field(strict=True, ge=0)] | None = None
    up_to: PositiveInt | None = None
    every: PositiveInt | None = None
    until: PositiveInt | None = None


Relation = Literal["greater", "less", "not_greater"]
Quantifier = Literal["each", "some", "every"]
PairedTest = Literal["t", "sign"]


class ClaimConfig(FrozenModel):
    """A claim of a paper, and how it is tested on the rows of a table.

    `published` is `paper/claim`. The claim predicts that the left quantity is `greater` than the right one, `less`, or
    `not_greater`, that is, greater by less than `margin`, in the unit of the output. What the right quantity leaves out
    (row, output) is that of the left one. If the left one is of several rows or outputs, `quantifier` says whether the
    claim holds for `some` of them, for `every` one, or is judged for `each` on its own. `test`: over the differences of
    the seeds, a paired `t` test or the exact `sign` test. `assumptions`: what the paper leaves open and this experiment
    had to choose, as ids in docs/discrepancies.md or in words; the report shows them beside the verdict.
    """

    published: str
    left: QuantityConfig
    relation: Relation
    right: QuantityConfig = QuantityConfig()
    margin: PositiveFloat | None = None
    quantifier: Quantifier = "each"
    test: PairedTest = "t"
    assumptions: list[Annotated[str, Field(min_length=3)]] = Field(default_factory=list)
    note: str = ""


class TableConfig(FrozenModel):
    """A table to reproduce.

    `published` is `paper/table`; without it the rows have no published values. `published_as` maps a label to what the
    row's own `published` would be, for rows that several tables share. `claims` maps a name to a claim of a paper and
    its test on the rows. Each of several recipes overrides the ones before. `methods` maps a method to what is merged
    over `defaults` in its rows. `seeds` replaces the suite's, unless the scale has seeds of its own.
    """

    title: str
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    published: str | None = None
    note: str = ""
    recipe: str | list[str] | None = None
    defaults: Overrides = Field(default_factory=dict)
    methods: dict[str, Overrides] = Field(default_factory=dict)
    published_as: dict[str, str] = Field(default_factory=dict)
    claims: dict[str, ClaimConfig] = Field(default_factory=dict)
    rows: Annotated[dict[str, RowConfig], Field(min_length=1)]


class ScaleConfig(FrozenModel):
    """A named reduction of every cell; one that is empty and called `paper` is the full recipe.

    `cell` is merged over every cell. `rows` selects rows, as `table/row`, or `row` for that row of all tables. `width`
    caps the width of every network, in the network's own units. `samples` caps the generated and the real images of
    every measure. With `synthetic`, random images of the same shape replace every dataset, and a random network
    replaces every extractor whose weights would have to be downloaded: the suite runs anywhere, and its numbers are
    meaningless.
    """

    about: str = ""
    seeds: list[Seed] | None = None
    width: PositiveInt | None = None
    samples: PositiveInt | None = None
    synthetic: bool = False
    cell: Overrides = Field(default_factory=dict)
    rows: Annotated[list[str], Field(min_length=1)] | None = None


class SuiteFile(FrozenModel):
    """A suite file."""

    title: str
    about: str = ""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    resources: Resources = Resources()
    tolerance: Annotated[dict[str, PositiveFloat], Field(default_factory=dict)]
    defaults: Overrides = Field(default_factory=dict)
    recipe: str | None = None
    tables: Annotated[list[TableConfig], Field(min_length=1)]
    scales: Annotated[dict[str, ScaleConfig], Field(min_length=1)]
