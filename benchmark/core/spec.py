"""What a trial is: its fields, its canonical form, its identity.

The identity is a hash of everything that can change a trial's numbers and of nothing else: no paths, no
scheduling, no report options. Two suites that ask for the same training share its result.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Raised whenever a change of our code changes the numbers of an unchanged recipe.
RECIPE_VERSION = 6

TRIAL_ID_KEY = "__trial_id"  # where a trial keeps its identity, beside its fields

Precision = Literal["float32", "tf32", "bfloat16"]  # of training; see benchmark/core/precision.py
REFERENCE: Precision = "float32"

PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Beta = Annotated[float, Field(strict=True, ge=0, lt=1)]


class FrozenModel(BaseModel):
    """Base of all schemas: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latent(FrozenModel):
    """The generator's prior: `uniform` on [-1, 1] or standard `normal`, in `dim` dimensions."""

    dim: PositiveInt
    distribution: Literal["uniform", "normal"]


class Optimizer(FrozenModel):
    """Adam for every player; `player_lr` gives single players a learning rate of their own.

    `schedule`: how it falls with the share t of the training done: `constant`; `linear`, lr (1 - t); `capped_linear`,
    lr min(1 - t, 1/2), which is what MSGAN's ResNet recipe comes to (MS-04).
    """

    lr: PositiveFloat
    betas: tuple[Beta, Beta]
    eps: PositiveFloat = Field(default=1e-8, description="torch.optim.Adam's default")
    player_lr: dict[str, PositiveFloat] = Field(default_factory=dict, description="ours: every player learns at lr")
    schedule: Literal["constant", "linear", "capped_linear"] = Field(default="constant", description="ours: no decay")

    def lr_at(self, player: str, progress: float) -> float:
        """The learning rate of a player at a share of the training, in [0, 1)."""
        left = 1 - progress
        factor = {"constant": 1.0, "linear": left, "capped_linear": min(left, 0.5)}[self.schedule]
        return factor * self.player_lr.get(player, self.lr)


class EMAConfig(FrozenModel):
    """An exponential moving average of the generator, from which samples are drawn.

    After each of its updates, average <- decay average + (1 - decay) generator, buffers included; for the first
    `start` steps the average is the generator itself.
    """

    decay: Annotated[float, Field(strict=True, ge=0, lt=1)]
    start: Annotated[int, Field(strict=True, ge=0)] = Field(default=0, description="ours: from the first step")


class Measure(FrozenModel):
    """One metric under one protocol: over the first `n_fake` samples, after they went through `codec`.

    A metric that looks at the discriminator draws no samples and has neither.

    `codec`: `none`, or `jpeg`, Pillow's at its defaults (quality 75, chroma halved), which MSGAN's code puts between
    generator and metric, for real images too (MS-08, MS-09). `options` are the metric's own.
    """

    metric: str = Field(description="ours: a measure is called after its metric")
    n_fake: PositiveInt | None = Field(default=None, description="no samples are drawn")
    codec: Literal["none", "jpeg"] = Field(default="none", description="ours: images are measured as they are (MS-09)")
    options: dict[str, Any] = Field(default_factory=dict, description="the metric has none")


class Protocol(FrozenModel):
    """How a trial is measured.

    `measures` maps a label to what is measured. The label is the metric's name, or that name, `_` and a suffix that
    its outputs then carry: `fid` and `fid_50k` are both measured in one pass over the samples.

    Samples are generated in batches of `sample_batch` (which matters when `batch_norm` is `batch`, that is when the
    generator normalises by the statistics of the batch that it is making), at `evaluations` evenly spaced steps, the
    last one included. The last one is the result; it is measured `draws` times, each time from other latents, and the
    first draw counts.
    """

    measures: Annotated[dict[str, Measure], Field(min_length=1)]
    evaluations: PositiveInt = Field(default=10, description="ours; only the last one counts")
    sample_batch: PositiveInt = Field(default=64, description="ours; matters where batch_norm is batch")
    batch_norm: Literal["batch", "moving_average"] = Field(
        default="moving_average", description="ours: a sample does not depend on its batch"
    )
    draws: PositiveInt = Field(default=1, description="ours: the noise of drawing samples is not measured")

    @field_validator("measures", mode="before")
    @classmethod
    def _named(cls, measures: Any) -> Any:
        """A measure without a metric is of the metric that it is called after."""
        if not isinstance(measures, dict):
            return measures
        return {k: {"metric": k, **m} if isinstance(m, dict) and "metric" not in m else m for k, m in measures.items()}

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        for label, measure in self.measures.items():
            if not re.fullmatch(rf"{re.escape(measure.metric)}(_[a-z0-9_]+)?", label):
                raise ValueError(
                    f"measure '{label}' is of metric '{measure.metric}': call it '{measure.metric}' or"
                    f" '{measure.metric}_...', a suffix of small letters, digits and _"
                )
        return self

    @property
    def n_fake(self) -> int:
        """How many samples are generated: as many as the largest measure takes, 0 where none takes any."""
        return max(measure.n_fake or 0 for measure in self.measures.values())


class TrialSpec(FrozenModel):
    """One training of one cell with one seed."""

    method: str
    options: dict[str, Any] = Field(default_factory=dict, description="the method has none")
    network: str
    network_options: dict[str, Any] = Field(default_factory=dict, description="the network has none")
    dataset: str
    latent: Latent
    steps: PositiveInt
    batch_size: PositiveInt
    discriminator_steps: PositiveInt = Field(default=1, description="ours: as many as the generator's")
    optimizer: Optimizer
    average: EMAConfig | None = Field(default=None, description="ours: samples come from the generator itself")
    precision: Precision = Field(default=REFERENCE, description="ours: the same on every device")
    protocol: Protocol
    seed: Seed
    version: int = RECIPE_VERSION

    @property
    def trial_id(self) -> str:
        """Sixteen hexadecimal digits that name this training and its measurement everywhere."""
        if TRIAL_ID_KEY not in self.__dict__:  # worked out once; a cached_property could be assigned to
            self.__dict__[TRIAL_ID_KEY] = content_hash(self.model_dump(mode="json"))
        named: str = self.__dict__[TRIAL_ID_KEY]
        return named

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which has an identity of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop(TRIAL_ID_KEY, None)
        return copied

    @property
    def cell_id(self) -> str:
        """The same for trials that differ in their seeds alone."""
        return self.model_copy(update={"seed": 0}).trial_id

    def with_seeds(self, seeds: Iterable[int]) -> "tuple[Self, ...]":
        """Itself with each of these seeds. All but the seed is written out once for all their identities."""
        fields = self.model_dump(mode="json")
        before = canonical_json({key: value for key, value in fields.items() if key < "seed"})[:-1]
        after = canonical_json({key: value for key, value in fields.items() if key > "seed"})[1:]
        found = []
        for seed in seeds:
            spec = self.model_copy(update={"seed": seed})
            spec.__dict__[TRIAL_ID_KEY] = _hashed(f'{before},"seed":{seed},{after}')
            found.append(spec)
        return tuple(found)

    @property
    def name(self) -> str:
        """A short name for people; the trial id keeps it unique."""
        return f"{self.method}-{self.network}-seed{self.seed}-{self.trial_id[:6]}"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spare spaces: equal values give equal text, key order never matters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """The first 64 bits, in hexadecimal, of the SHA-256 of a value's canonical form."""
    return _hashed(canonical_json(value))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
