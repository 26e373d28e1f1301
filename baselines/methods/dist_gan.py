"""Dist-GAN, alone and with the rotation (SS) or the multi-class minimax (MS) task, as MSGAN released it.

Tran et al., "Dist-GAN: An Improved GAN using Distance Constraints", ECCV 2018; Tran et al., "Self-supervised
GAN: Analysis and Improvement with Multi-class Minimax Game", NeurIPS 2019. Every line follows
tntrung/msgan at 8b8170f, msdistgan.py (line numbers below), also where it differs from the papers' text: see the
switches. Notation: s the logistic function, D the logit, f the flat features, C the class head, E the
encoder, x real, z latent, x' = G(E(x)).

The defaults are those of the ResNets; for other networks the suite's recipe sets them. tntrung/gan, the code of
the ECCV paper, differs: lambda_p is 1.0, and with `log` the reconstruction weight decays. Rotations here are exact, and
so are the release's: its nearest-neighbour resampling changes no pixel at 28, 32, 48 and 64.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from baselines.common import losses, method, transformations
from baselines.common.random_streams import Rng
from baselines.methods import msgan
from baselines.methods.gan import NO_TASK, Task
from baselines.networks.base import Network

CODE = "tntrung/msgan@8b8170f msdistgan.py"
SCRIPTS = "tntrung/msgan@8b8170f, scripts of its ResNet nets"
BATCHES: transformations.BatchRecipe = "random"  # modules/imutils.py:74-200


class DistGANOptions(method.Options):
    """Switches of MS-01 to MS-03 and weights; `released` follows what the code does for the chosen loss.

    `loss`: `log` (:320-325), `hinge_sigmoid` (:333-336, MS-01) or `hinge_logit` (:329-332).
    `penalty`: sign of the gradient penalty (MS-02), plus in the paper; released: plus with log, minus with hinge.
    `penalty_norm`: `rms` over pixels as released (:262-270, MS-03) or the usual `l2`.
    `reconstruction`: weight of x' against x (:311-317); released: 0.05 constant with log, decaying with hinge.
    `encoder_updates_generator`: whether the encoder's update also changes G, as in the paper and, in the release, on
    MNIST-like sets only (:380, :410-413, MS-17).
    """

    loss: Literal["log", "hinge_sigmoid", "hinge_logit"] = Field(
        default="hinge_sigmoid", description=f"{CODE}:333-336, for its ResNet nets (MS-01)"
    )
    penalty: Literal["released", "plus", "minus", "off"] = Field(
        default="released", description=f"{CODE}:320-336 (MS-02)"
    )
    penalty_norm: Literal["rms", "l2"] = Field(default="rms", description=f"{CODE}:262-270 (MS-03)")
    reconstruction: Literal["released", "constant", "decaying"] = Field(
        default="released", description=f"{CODE}:311-317"
    )
    encoder_updates_generator: bool = Field(
        default=False, strict=True, description=f"{CODE}:380, :410-413, for its ResNet nets (MS-17)"
    )
    lambda_p: float = Field(default=0.5, strict=True, ge=0, allow_inf_nan=False, description=SCRIPTS)
    lambda_r: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=SCRIPTS)


class TaskOptions(DistGANOptions):
    """Each player's weight of the self-supervised task; the published weights differ by dataset and network."""

    weight_d: float = Field(strict=True, ge=0, allow_inf_nan=False)
    weight_g: float = Field(strict=True, ge=0, allow_inf_nan=False)


class DistGAN(method.Method):
    """Encoder, discriminator and generator, updated in this order, each on its own batch (:435-455)."""

    title = "Dist-GAN"
    paper = "Tran et al., Dist-GAN: An Improved GAN using Distance Constraints"
    year = 2018
    about = "GAN with an encoder: distances of latents and of features agree, mean scores of x and G(z) are matched"
    Options: ClassVar[type[method.Options]] = DistGANOptions
    players = ("encoder", "discriminator", "generator")
    roles = frozenset({"generator", "discriminator", "encoder"})
    uses_gradient_penalty = True

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        super().__init__(network, distribution, options, num_classes)
        self.encoder = network.encoder()

    def player_modules(self, player: str) -> tuple[nn.Module, ...]:
        """The encoder's update also changes the generator if `encoder_updates_generator` (MS-17)."""
        if player == "encoder" and self.options.encoder_updates_generator:
            return self.encoder, self.generator
        return super().player_modules(player)

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """The loss of one player."""
        latents = self.latents(len(inputs.real), inputs.rng)
        fake = self.generator(latents)
        if player == "encoder":
            return self.encoder_loss(inputs.real, latents, fake)
        if player == "discriminator":
            return self.discriminator_loss(inputs, fake.detach())
        return self.generator_loss(inputs, fake)

    def encoder_loss(self, real: Tensor, latents: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """mean (f(x) - f(x'))^2 + l_r (mean(f(x') - f(G(z))) - l_w mean(E(x) - z))^2 (:305-308, :339).

        All means are over whole tensors, so the distance term compares two scalars.
        l_w = sqrt(latent dimension / feature dimension) (scripts).
        """
        encoded = self.encoder(real)
        outputs = self.discriminate_batches(self.generator(encoded), fake, real)
        f_reconstructed, f_fake, f_real = (output.features for output in outputs)
        lambda_w = (self.latent_dim / f_real.shape[1]) ** 0.5
        feature_distance = (f_reconstructed - f_fake).mean()
        latent_distance = (encoded - latents).mean()
        return {
            "reconstruction": (f_real - f_reconstructed).square().mean(),
            "distance": self.options.lambda_r * (feature_distance - lambda_w * latent_distance).square(),
        }

    def discriminator_loss(self, inputs: method.StepInputs, fake: Tensor) -> dict[str, Tensor]:
        """w_real loss(x) + w_rec loss(x') + loss(G(z)), the signed gradient penalty (:311-336), and the task."""
        with torch.no_grad():
            reconstructed = self.generator(self.encoder(inputs.real))
        w_real = inputs.schedule_weight(lambda progress: self.real_weights(progress)[0])
        w_rec = inputs.schedule_weight(lambda progress: self.real_weights(progress)[1])
        real_loss, fake_loss = LOSSES[self.options.loss]
        penalty = {}
        if sign := self.penalty_sign:
            penalty["penalty"] = sign * self.options.lambda_p * self.gradient_penalty(inputs, fake)
        task = self.discriminator_task(inputs.real, fake, inputs.rng)
        on_real, on_reconstructed, on_fake, *on_task = self.discriminate_batches(
            inputs.real, reconstructed, fake, *task.images
        )
        terms = {
            "real": w_real * real_loss(on_real.logit).mean(),
            "reconstructed": w_rec * real_loss(on_reconstructed.logit).mean(),
            "fake": fake_loss(on_fake.logit).mean(),
        }
        return terms | penalty | task.loss(*(output.class_logits for output in on_task))

    def generator_loss(self, inputs: method.StepInputs, fake: Tensor) -> dict[str, Tensor]:
        """|mean(s(D(x)) - s(D(G(z))))| (:342), and the task."""
        task = self.generator_task(inputs.real, fake, inputs.rng)
        on_real, on_fake, *on_task = self.discriminate_batches(inputs.real, fake, *task.images)
        score = (on_real.logit.sigmoid() - on_fake.logit.sigmoid()).mean().abs()
        return {"score": score} | task.loss(*(output.class_logits for output in on_task))

    def discriminator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """The self-supervised task in the discriminator's loss."""
        del real, fake, rng
        return NO_TASK

    def generator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """The self-supervised task in the generator's loss."""
        del real, fake, rng
        return NO_TASK

    def real_weights(self, progress: float) -> tuple[float, float]:
        """(w_real, w_rec): 0.95 and 0.05; when decaying, 1 and 0 from three quarters of the training on (:311-317)."""
        decaying = self.options.reconstruction == "decaying" or (
            self.options.reconstruction == "released" and self.options.loss != "log"
        )
        shift = min(max(2 * (0.1 * progress - 0.05), 0.0), 0.05) if decaying else 0.0
        return 0.95 + shift, 0.05 - shift

    @property
    def penalty_sign(self) -> int:
        """+1, -1, or 0 for no penalty (MS-02)."""
        if self.options.penalty == "released":
            return 1 if self.options.loss == "log" else -1
        return {"plus": 1, "minus": -1, "off": 0}[self.options.penalty]

    def gradient_penalty(self, inputs: method.StepInputs, fake: Tensor) -> Tensor:
        """mean (|grad D| - 1)^2 at random interpolates of real and fake images (:262-270, MS-03)."""
        norms = losses.gradient_norms(self.discriminate, inputs.real, fake, inputs.rng, self.options.penalty_norm)
        return (norms - 1).square().mean()


# loss -> the discriminator's loss of an image that should score as real, and of one that should score as fake
LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "log": losses.DISCRIMINATOR_LOSSES["non_saturating"],
    "hinge_logit": losses.DISCRIMINATOR_LOSSES["hinge"],
    "hinge_sigmoid": (
        lambda logit: losses.hinge_real(logit.sigmoid()),
        lambda logit: losses.hinge_fake(logit.sigmoid()),
    ),
}


class DistGANSS(DistGAN):
    """Dist-GAN + rotation task on N of the 4N rotated images (:273-286).

    L_D += weight_d CE(C(rotated real), r); L_G += weight_g |CE(C(rotated fake), r) - CE(C(rotated real), r)|,
    with the same N of 4N for real and fake. The scripts set weight_g = 0 everywhere, and the paper calls 0 the best for
    this task (MS-06), so this is not SSGAN's rotation task.
    """

    title = "Dist-GAN + SS"
    paper = "Tran et al., Self-supervised GAN: Analysis and Improvement with Multi-class Minimax Game"
    year = 2019
    about = "Dist-GAN + rotation task, as in MSGAN's code"
    Options = TaskOptions
    task_classes = transformations.SIZE
    has_rotation_head = True

    def discriminator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """weight_d CE(C(rotated real), r)."""
        del fake
        weight, rotated = self.options.weight_d, self.transformations.batch(BATCHES, real, rng)
        return Task((rotated.samples,), lambda logits: {"task": weight * cross_entropy(logits, rotated.labels)})

    def generator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """weight_g |CE(C(rotated fake), r) - CE(C(rotated real), r)|. A weight of 0 draws no random numbers."""
        return msgan.generator_task(self.transformations, "released", self.options.weight_g, BATCHES, real, fake, rng)

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The first four class logits; a fifth class, 'fake', is left out."""
        return transformations.real_class_logits(self.discriminate(images).class_logits)


class DistGANMSOptions(TaskOptions):
    """`fake_class` and `generator_loss`: as for `msgan`; the defaults are those of the code that made the numbers."""

    fake_class: msgan.FakeClass = Field(
        default="upright", description=f"{CODE}:289-302; the paper's Eq. 8 is `rotated` (MS-05)"
    )
    generator_loss: msgan.GeneratorLoss = Field(
        default="released", description=f"{CODE}:299-302; the paper's are `eq9` and `eq34` (MS-05)"
    )


class DistGANMS(DistGANSS):
    """Dist-GAN + multi-class minimax task: a fifth class, "fake". The task is that of `msgan`, in its released form.

    D classifies N images drawn from 4N rotated real and N upright fake ones (:289-302): on average 51.2 and 12.8 for
    N = 64. G's term is that of the rotation task, with a five-way softmax (:299-302).
    """

    title = "Dist-GAN + MS"
    about = "Dist-GAN + multi-class minimax task, as in MSGAN's code: the paper's own method"
    Options = DistGANMSOptions
    task_classes = transformations.SIZE + 1

    def discriminator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """weight_d task_D."""
        o = self.options
        return msgan.discriminator_task(self.transformations, o.fake_class, o.weight_d, BATCHES, real, fake, rng)

    def generator_task(self, real: Tensor, fake: Tensor, rng: Rng) -> Task:
        """weight_g task_G."""
        o = self.options
        return msgan.generator_task(self.transformations, o.generator_loss, o.weight_g, BATCHES, real, fake, rng)
