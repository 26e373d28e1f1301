"""The specification of a trial: its fields, its canonical form and its identity.

The identity is a hash of everything that can change a trial's numbers and of nothing else: paths, scheduling and
report options are not part of it. Two suites that ask for the same training share its result.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

# Increase it whenever a change of the code changes the numbers of an unchanged recipe.
RECIPE_VERSION = 7

TRIAL_ID_KEY = "__trial_id"  # under which a spec caches its identity, beside its fields

Precision = Literal["float32", "tf32", "bfloat16"]  # of the training; see benchmark/core/precision.py
REFERENCE_PRECISION: Precision = "float32"

PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Beta = Annotated[float, Field(strict=True, ge=0, lt=1)]
Momentum = Annotated[float, Field(strict=True, gt=0, lt=1)]

# The description of a field states the source of its default value; `methods NAME` prints it.


class FrozenModel(BaseModel):
    """Base of all schemas: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latent(FrozenModel):
    """The prior of the generator's input: `uniform` on [-1, 1] or standard `normal`, in `dim` dimensions."""

    dim: PositiveInt
    distribution: Literal["uniform", "normal"]


class StepDecay(FrozenModel):
    """A staircase: a learning rate lr becomes lr factor^floor(n / every).

    n counts training `steps`, or the `updates` of all players together, as a step counter that TensorFlow optimisers
    share does (DG-03). It is read at the beginning of a training step.
    """

    factor: Annotated[float, Field(strict=True, gt=0, le=1)]
    every: PositiveInt
    counted: Literal["steps", "updates"]

    def factor_at(self, steps: int, updates_per_step: int) -> float:
        """The factor after so many training steps, in each of which the players make so many updates together."""
        n = steps * (updates_per_step if self.counted == "updates" else 1)
        return float(self.factor ** (n // self.every))


ScheduleOrName = Annotated[
    Annotated[StepDecay, Tag("is-numbers")] | Annotated[Literal["constant", "linear", "capped_linear"], Tag("is-name")],
    Discriminator(lambda value: "is-name" if isinstance(value, str) else "is-numbers"),  # so only one is reported
]


class Optimizer(FrozenModel):
    """Adam for every player but those in `nesterov`: SGD with this Nesterov momentum trains them.

    `player_lr` gives single players their own learning rate. `schedule` says how a learning rate lr depends on the
    share t of the training done: `constant`; `linear`, lr (1 - t); or `capped_linear`, lr min(1 - t, 1/2), which is
    the effective schedule of MSGAN's ResNet recipe (MS-04); or a `StepDecay`.

    `epsilon` says whose Adam it is (TF-01): `pytorch` adds `eps` to the bias-corrected root of the second moment,
    `tensorflow` to the uncorrected one, as TensorFlow 1 does. They differ where early gradients are tiny.
    """

    lr: PositiveFloat
    betas: tuple[Beta, Beta]
    eps: PositiveFloat = Field(default=1e-8, description="torch.optim.Adam's default")
    epsilon: Literal["pytorch", "tensorflow"] = Field(default="pytorch", description="Kingma & Ba 2015, Algorithm 1")
    player_lr: dict[str, PositiveFloat] = Field(default_factory=dict, description="ours: all players use lr")
    nesterov: dict[str, Momentum] = Field(default_factory=dict, description="ours: Adam trains all players")
    schedule: ScheduleOrName = Field(default="constant", description="ours: no decay")

    def lr_at(self, player: str, progress: float, steps: int = 0, updates_per_step: int = 1) -> float:
        """The learning rate of a player.

        Args:
            player: the player's name.
            progress: the share of the training that is done, in [0, 1).
            steps: the number of training steps done.
            updates_per_step: the number of updates of all players in a training step.
        """
        if isinstance(self.schedule, StepDecay):
            factor = self.schedule.factor_at(steps, updates_per_step)
        else:
            remaining = 1 - progress
            factor = {"constant": 1.0, "linear": remaining, "capped_linear": min(remaining, 0.5)}[self.schedule]
        return factor * self.player_lr.get(player, self.lr)


class EMAConfig(FrozenModel):
    """An exponential moving average of the generator, which then draws the samples.

    After each generator update, average <- decay average + (1 - decay) generator, buffers included. During the first
    `start` - 1 steps the average equals the generator; step `start` is the first that is averaged.
    """

    decay: Annotated[float, Field(strict=True, ge=0, lt=1)]
    start: Annotated[int, Field(strict=True, ge=0)] = Field(default=0, description="ours: from the first step")


class PowerIterations(FrozenModel):
    """Power iterations that a discriminator under spectral norm takes in one update (SN-03).

    `discriminator` counts those in an update of the discriminator, `generator` those in an update of any other player.
    """

    discriminator: PositiveInt = Field(default=1, description="ours: one, as real and fake images share a call")
    generator: PositiveInt = Field(default=1, description="ours: one, as all images share a call")


PowerIterationsOrName = Annotated[
    Annotated[PowerIterations, Tag("is-numbers")] | Annotated[Literal["one_per_call"], Tag("is-name")],
    Discriminator(lambda value: "is-name" if isinstance(value, str) else "is-numbers"),  # so only one is reported
]


class Measure(FrozenModel):
    """One metric under one protocol, over the first `n_fake` samples after they passed through `codec`.

    `codec` is `none`, `jpeg` or `min_max`. `jpeg` is Pillow's with its defaults (quality 75, halved chroma), which
    MSGAN's code applies to generated and real images (MS-08, MS-09); `min_max` stretches each batch of samples to the
    full range of grey values, as mimicry's Inception Score does (X-09). A metric of the discriminator uses no samples
    and has neither field. `averaged`: the value at an evaluation is the mean over the last so many, or over all so far
    if they are fewer; with evaluations once per epoch and 5, FID is FID-5ep. `options` are the metric's own.
    """

    metric: str = Field(description="ours: the measure's name starts with its metric")
    n_fake: PositiveInt | None = Field(default=None, description="the metric uses no samples")
    codec: Literal["none", "jpeg", "min_max"] = Field(
        default="none", description="ours: images are not compressed (MS-09)"
    )
    averaged: PositiveInt = Field(default=1, description="ours: an evaluation has its own value")
    options: dict[str, Any] = Field(default_factory=dict, description="the metric has none")


class Protocol(FrozenModel):
    """How a trial is evaluated.

    `measures` maps a label to a measure. The label is the metric's name, optionally with `_` and a suffix, which its
    outputs then carry too: `fid` and `fid_50k` are both computed in one pass over the samples.

    The trial is evaluated at `evaluations` evenly spaced steps. The last of them, at the end of the training, is the
    result; it is repeated `draws` times with different latents, and the first draw counts.

    Samples are generated in batches of `sample_batch`. The batch size matters if `batch_norm` is `batch`, that is, if
    the generator normalises by the statistics of the batch that it generates.
    """

    measures: Annotated[dict[str, Measure], Field(min_length=1)]
    evaluations: PositiveInt = Field(default=10, description="ours; only the last one counts")
    sample_batch: PositiveInt = Field(default=64, description="ours; matters only if batch_norm is batch")
    batch_norm: Literal["batch", "moving_average"] = Field(
        default="moving_average", description="ours: a sample does not depend on its batch"
    )
    draws: PositiveInt = Field(default=1, description="ours: sampling noise is not measured")

    @field_validator("measures", mode="before")
    @classmethod
    def _fill_in_metrics(cls, measures: Any) -> Any:
        """A measure without a metric gets its label as its metric."""
        if not isinstance(measures, dict):
            return measures
        return {k: {"metric": k, **m} if isinstance(m, dict) and "metric" not in m else m for k, m in measures.items()}

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        for label, measure in self.measures.items():
            if not re.fullmatch(rf"{re.escape(measure.metric)}(_[a-z0-9_]+)?", label):
                raise ValueError(
                    f"measure '{label}' is of metric '{measure.metric}': call it '{measure.metric}' or"
                    f" '{measure.metric}_...', with a suffix of lower-case letters, digits and _"
                )
        return self

    @property
    def n_fake(self) -> int:
        """The number of samples of an evaluation: that of the largest measure, 0 if no measure uses samples."""
        return max(measure.n_fake or 0 for measure in self.measures.values())


class TrialSpec(FrozenModel):
    """One training of one cell with one seed.

    `latent` is None, as is `average`, for a method without a generator.

    `power_iterations` matters under spectral norm only. With numbers, all images of an update pass through the
    discriminator in one call, after all but one of the power iterations. `one_per_call` gives every batch a call of its
    own with one iteration, as most codes do: slower, and closest to them.

    `sampling` draws training images `with_replacement`, or in `epochs` without: every image once, in a new random order
    each time. A batch that the end of an epoch cuts short is filled from the next.
    """

    method: str
    options: dict[str, Any] = Field(default_factory=dict, description="the method has none")
    network: str
    network_options: dict[str, Any] = Field(default_factory=dict, description="the network has none")
    dataset: str
    latent: Latent | None = Field(default=None, description="the method has no generator")
    steps: PositiveInt
    batch_size: PositiveInt
    discriminator_steps: PositiveInt = Field(default=1, description="ours: as many as the generator's")
    optimizer: Optimizer
    average: EMAConfig | None = Field(default=None, description="ours: samples come from the generator itself")
    power_iterations: PowerIterationsOrName = Field(
        default=PowerIterations(), description="ours: one, as all images of an update share a call"
    )
    sampling: Literal["with_replacement", "epochs"] = Field(
        default="with_replacement", description="ours: every image is drawn independently"
    )
    precision: Precision = Field(default=REFERENCE_PRECISION, description="ours: the same on every device")
    protocol: Protocol
    seed: Seed
    version: int = RECIPE_VERSION

    @property
    def trial_id(self) -> str:
        """Sixteen hexadecimal digits that identify this training and its evaluation everywhere."""
        if TRIAL_ID_KEY not in self.__dict__:  # a cached_property of a frozen model could be assigned to
            self.__dict__[TRIAL_ID_KEY] = content_hash(self.model_dump(mode="json"))
        trial_id: str = self.__dict__[TRIAL_ID_KEY]
        return trial_id

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with changed values and its own identity."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop(TRIAL_ID_KEY, None)
        return copied

    @property
    def latent_dim(self) -> int:
        """The dimension of the latents; 0 without a generator."""
        return self.latent.dim if self.latent else 0

    @property
    def cell_id(self) -> str:
        """An identifier that all seeds of a cell share."""
        return self.model_copy(update={"seed": 0}).trial_id

    def with_seeds(self, seeds: Iterable[int]) -> "tuple[Self, ...]":
        """This trial with each of the seeds."""
        return tuple(self.model_copy(update={"seed": seed}) for seed in seeds)

    @property
    def evaluation_steps(self) -> tuple[int, ...]:
        """The steps after which it is evaluated: evenly spaced, the last one always included."""
        evaluations = self.protocol.evaluations
        return tuple(round(self.steps * (index + 1) / evaluations) for index in range(evaluations))

    @property
    def name(self) -> str:
        """A short name for people; the start of the trial id makes it unique."""
        return f"{self.method}-{self.network}-seed{self.seed}-{self.trial_id[:6]}"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without spaces: equal values give equal text, regardless of the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """The first 64 bits of the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
