"""The self-labelling GAN: artificial labels of latents, learnt by a classifier, label the real images.

Watanabe & Favaro, "A Unified Generative Adversarial Network Training via Self-Labeling and Self-Attention", ICML 2021.
No code was published, and only the abstract has been read, so this is an implementation of the abstract. It says:
artificial labels are defined on the latent space, nearby latents being easily mapped to similar images; generated
images with their labels train a classifier, which labels the real ones; a moving average of it makes the labels more
accurate; "self-attention" is that a real image's label is used only when its class is highly probable; manual labels,
in any number, are built in. Everything else is an assumption, and each that could be otherwise has a switch:

    prototypes c_1 .. c_K     drawn once from the prior, and kept
    y(z)                      the nearest prototype of z (`latent_label: nearest`), or a uniform draw, z = c_y + e with
                              e from the prior (`mixture`)
    G(z, y), D(x, y)          conditional batch norm and projection, as in the conditional GAN
    L_P = CE(P(G(z, y)), y) + CE(P(x), label) over labelled real images     then  P' <- m P' + (1 - m) P
    q(x), y(x) = max, argmax P'(x), or 1 and the manual label where there is one;   w(x) = [q(x) > threshold]
    L_D = mean w r(D(x, y(x))) + (1 - w) r(psi(f(x)))  +  mean v f(D(x', y)) + (1 - v) f(psi(f(x')))
    L_G = mean v g(D(x', y)) + (1 - v) g(psi(f(x')))  +  weight_classifier CE(P(x'), y)        x' = G(z, y)

r, f and g are what the chosen game costs a real image, a fake one and the generator; psi(f(x)) is D without a label.
v says how much a fake image's label counts. With `fakes: balanced` it is, for label y, the sum of w over real images of
label y by the number of fake ones, at most 1, so that no label is judged on more fake images than real ones; it is 1
where all real images have manual labels. With `as_real` it is the mean of w over the batch of real images, whatever
their labels. With `always` it is 1: then fake images always have a label and unsure real ones never, so the
discriminator can tell them by that alone, through a V_y that no real image ever corrects. With L manual classes the
first L prototypes stand for them. One prototype is the plain game; a threshold of 1 or more leaves unlabelled images
unconditional; 0 labels them all, which is self-labelling without self-attention.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from baselines.common import losses, method, random_streams
from baselines.common.ema import EMA
from baselines.common.random_streams import Rng
from baselines.networks.base import Network, autocast_disabled

ASSUMED = "an assumption; the abstract does not say"


class SelfLabellingOptions(method.Options):
    """All are assumptions.

    `latent_label`, `distance`: how a latent gets its label. `uncertain`: a real image below the threshold counts
    without its label, or not at all. `fakes`: how much a fake image's label counts. `weighting`: an accepted label
    counts fully, or as much as it is probable. `labelled`: the share of real images whose manual label is known.
    `classifier_steps`: for each of the discriminator.
    """

    game: losses.GameName = Field(default="hinge", description=ASSUMED)
    prototypes: int = Field(default=10, strict=True, ge=1, le=10_000, description=ASSUMED)
    latent_label: Literal["nearest", "mixture"] = Field(default="nearest", description=ASSUMED)
    distance: Literal["euclidean", "cosine"] = Field(default="euclidean", description=ASSUMED)
    conditional_generator: bool = Field(default=True, strict=True, description="'conditioning labels' in the abstract")
    threshold: float = Field(default=0.9, strict=True, ge=0, allow_inf_nan=False, description=ASSUMED)
    uncertain: Literal["unconditional", "left_out"] = Field(default="unconditional", description=ASSUMED)
    fakes: Literal["balanced", "as_real", "always"] = Field(default="balanced", description=ASSUMED)
    weighting: Literal["threshold", "confidence"] = Field(default="threshold", description=ASSUMED)
    decay: float = Field(default=0.999, strict=True, ge=0, lt=1, description=ASSUMED)
    labelled: float = Field(default=0.0, strict=True, ge=0, le=1, description="the abstract: any share")
    classifier_steps: int = Field(default=1, strict=True, ge=1, le=100, description=ASSUMED)
    weight_classifier: float = Field(default=0.0, strict=True, ge=0, allow_inf_nan=False, description=ASSUMED)


class SelfLabelling(method.Method):
    """Classifier, discriminator, generator, in this order."""

    title = "Self-labelling GAN"
    paper = "Watanabe et al., A Unified Generative Adversarial Network Training via Self-Labeling and Self-Attention"
    year = 2021
    about = "latents are labelled by prototypes, a classifier learns them from fakes and labels what it is sure of"
    basis = "derived-from-abstract"
    Options = SelfLabellingOptions
    players = ("classifier", "discriminator", "generator")
    roles = frozenset({"generator", "discriminator", "conditions"})
    prototypes: Tensor

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        super().__init__(network, distribution, options, num_classes)
        if not options.conditional_generator:
            self.generator = network.generator()
        self.classifier = network.classifier(options.prototypes)
        self.teacher = EMA(self.classifier, options.decay)
        self.register_buffer("prototypes", self.latents(options.prototypes, torch.default_generator))

    @property
    def num_conditions(self) -> int:
        """The artificial classes; a single one is none."""
        return self.options.prototypes if self.options.prototypes > 1 else 0

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """As chosen."""
        return float(options.get("labelled", 0.0))

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Every manual class needs a prototype."""
        del batch_size
        chosen = SelfLabellingOptions.model_validate(options)
        if chosen.labelled and chosen.prototypes < num_classes:
            return (
                f"prototypes is {chosen.prototypes}, too few for {num_classes} manual classes; labelled: 0.0 uses none"
            )
        return None

    def updates_per_step(self, player: str, discriminator_steps: int) -> int:
        """So many of the classifier for each of the discriminator."""
        if player == "classifier":
            return int(self.options.classifier_steps) * discriminator_steps
        return super().updates_per_step(player, discriminator_steps)

    def after_update(self, player: str) -> None:
        """P' <- m P' + (1 - m) P."""
        if player == "classifier":
            self.teacher.update_parameters(self.classifier)

    def draw(self, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """(n, latent_dim) latents z and (n,) labels y(z)."""
        z = self.latents(n, rng)
        if self.options.latent_label == "mixture":
            y = random_streams.integers(rng, len(self.prototypes), n)
            return self.prototypes[y] + z, y
        if self.options.distance == "cosine":
            with autocast_disabled(z):
                return z, (z @ normalize(self.prototypes).T).argmax(1)
        return z, torch.cdist(z, self.prototypes).argmin(1)

    def generator_input(self, n: int, rng: Rng) -> tuple[Tensor, ...]:
        """Latents, and their labels for a conditional generator."""
        return self.told(*self.draw(n, rng))

    def told(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """What the generator sees of latents and their labels."""
        return (z, y) if self.num_conditions and self.options.conditional_generator else (z,)

    def generate(self, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """(n, C, H, W) images G(z, y) and (n,) labels y."""
        z, y = self.draw(n, rng)
        return self.generator(*self.told(z, y)), y

    def loss(self, player: str, inputs: method.StepInputs) -> dict[str, Tensor]:
        """L_P, L_D or L_G."""
        if player == "generator":
            return self.generator_loss(inputs, *self.generate(len(inputs.real), inputs.rng))
        with torch.no_grad():
            fake, y = self.generate(len(inputs.real), inputs.rng)
        if player == "classifier":
            return self.classifier_loss(inputs, fake, y)
        return self.discriminator_loss(inputs, fake, y)

    def classifier_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """CE on fake images, and on the labelled real ones."""
        terms = {"fake": cross_entropy(self.classifier(fake).class_logits, y)}
        if self.options.labelled:
            labels = inputs.require_labels()
            total = cross_entropy(self.classifier(inputs.real).class_logits, labels, ignore_index=-1, reduction="sum")
            terms["labelled"] = total / (labels >= 0).sum().clamp(min=1)
        return terms

    def discriminator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Real images under the label that they were given, as far as it counts, and fake ones under theirs.

        Watched: the share of images whose label counts, and the entropy, in nats, of a batch's mean probabilities.
        """
        probabilities = self.probabilities(inputs.real)
        own, weight = self.self_labels(probabilities, inputs)
        inputs.logged["accepted"] = (weight > 0).to(weight.dtype).mean()
        inputs.logged["label_entropy"] = torch.special.entr(probabilities.mean(0)).sum()
        of_real, of_fake = self.discriminate_batches(inputs.real, fake)
        as_real, as_fake = losses.DISCRIMINATOR_LOSSES[self.options.game]
        told = self.fake_weight(own, weight, y)
        terms = {
            "labelled": (weight * as_real(self.logit(of_real, own))).mean(),
            "fake": (told * as_fake(self.logit(of_fake, y)) + (1 - told) * as_fake(of_fake.logit)).mean(),
        }
        if self.options.uncertain == "unconditional":
            terms["unlabelled"] = ((1 - weight) * as_real(of_real.logit)).mean()
        return terms

    def generator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The game, and the classifier's error where it has a weight."""
        judgement, cost = self.discriminate(fake), losses.GENERATOR_LOSSES[self.options.game]
        told = self.fake_weight(*self.self_labels(self.probabilities(inputs.real), inputs), y)
        terms = {"game": (told * cost(self.logit(judgement, y)) + (1 - told) * cost(judgement.logit)).mean()}
        if self.options.weight_classifier:
            error = cross_entropy(self.classifier(fake).class_logits, y)
            terms["classifier"] = self.options.weight_classifier * error
        return terms

    def fake_weight(self, own: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        """v: how much the labels of fake images, (N,) y, count, in [0, 1], where those of real ones count `weight`."""
        if self.options.fakes == "always" or self.options.labelled == 1:
            return torch.ones_like(weight)
        if self.options.fakes == "as_real":
            return weight.mean().expand_as(weight)
        of_real = weight.new_zeros(len(self.prototypes)).index_add(0, own, weight)
        of_fake = weight.new_zeros(len(self.prototypes)).index_add(0, y, torch.ones_like(weight))  # waits for no GPU
        return (of_real[y] / of_fake[y]).clamp(max=1.0)

    @torch.no_grad()
    def probabilities(self, real: Tensor) -> Tensor:
        """(N, K) probabilities of the artificial classes of (N, C, H, W) images, by the moving average P'."""
        found: Tensor = self.teacher(real).class_logits.softmax(1)
        return found

    def self_labels(self, probabilities: Tensor, inputs: method.StepInputs) -> tuple[Tensor, Tensor]:
        """(N,) labels of real images, manual ones first, and (N,) how much each counts, in [0, 1]."""
        confidence, own = probabilities.max(1)
        accepted = (confidence > self.options.threshold).to(confidence.dtype)
        weight = accepted * confidence if self.options.weighting == "confidence" else accepted
        if self.options.labelled:
            manual = inputs.require_labels()
            own = torch.where(manual >= 0, manual, own)
            weight = torch.where(manual >= 0, 1.0, weight)
        return own, weight

    def logit(self, judgement: Any, y: Tensor) -> Tensor:
        """(N,) real/fake logits under labels y; with a single prototype there are no conditions."""
        found: Tensor = judgement.logit_given(y) if self.num_conditions else judgement.logit
        return found
