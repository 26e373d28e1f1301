"""The self-labelling GAN: a classifier learns artificial labels of latents from fakes, and labels the real images.

Watanabe & Favaro, "A Unified Generative Adversarial Network Training via Self-Labeling and Self-Attention", ICML 2021.
No code was published, and only the abstract was available, so this implements the abstract. The abstract states:
artificial labels are defined on the latent space, where nearby latents are easily mapped to similar images; generated
images with their labels train a classifier, which labels the real images; a moving average of the classifier makes the
labels more accurate; "self-attention" means that a real image's label is used only if its class is highly probable;
manual labels, in any number, can be used too. Everything else is an assumption, and every assumption with alternatives
has a switch:

    prototypes c_1 .. c_K     drawn once from the prior, then fixed
    y(z)                      the nearest prototype of z (`latent_label: nearest`), or a uniform draw, z = c_y + e with
                              e from the prior (`mixture`)
    G(z, y), D(x, y)          conditional batch norm and projection, as in the conditional GAN
    L_P = CE(P(G(z, y)), y) + CE(P(x), label) over labelled real images     then  P' <- m P' + (1 - m) P
    q(x), y(x) = max, argmax P'(x), or 1 and the manual label where there is one;   w(x) = [q(x) > threshold]
    L_D = mean w r(D(x, y(x))) + (1 - w) r(psi(f(x)))  +  mean v f(D(x', y)) + (1 - v) f(psi(f(x')))
    L_G = mean v g(D(x', y)) + (1 - v) g(psi(f(x')))  +  weight_classifier CE(P(x'), y)        x' = G(z, y)

r, f and g are the adversarial losses of a real image, of a fake one and of the generator; psi(f(x)) is D without a
label. v is the weight of a fake image's label. With `fakes: balanced` and label y, v is the sum of w over the real
images with label y, divided by the number of fake ones, at most 1, so that no label is trained on more fake images than
real ones; v is 1 if all real images have manual labels. With `as_real`, v is the mean of w over the batch of real
images, whatever their labels. With `always`, v is 1: then fake images always have a label and uncertain real ones never
do, so the discriminator can separate them by the label alone, through a V_y that no real image ever corrects. With L
manual classes, the first L prototypes correspond to them. One prototype gives the plain GAN, a threshold of 1 or more
leaves unlabelled images unconditional, and a threshold of 0 labels all images: self-labelling without self-attention.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from baselines.common import losses, method, random_streams
from baselines.common.ema import EMA
from baselines.common.random_streams import Rng
from baselines.networks.base import DiscriminatorOutput, Network
from baselines.networks.layers.precision import autocast_disabled

ASSUMED = "an assumption; the abstract does not say"


class SelfLabellingOptions(method.Options):
    """All defaults are assumptions.

    `latent_label`, `distance`: how a latent gets its label. `uncertain`: whether a real image below the threshold is
    used without its label or left out. `fakes`: the weight of a fake image's label. `weighting`: whether an accepted
    label has weight 1 or its probability. `labelled`: the fraction of real images whose manual label is known.
    `classifier_steps`: updates of the classifier per update of the discriminator.
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
    """Classifier, discriminator and generator, updated in this order."""

    title = "Self-labelling GAN"
    paper = "Watanabe et al., A Unified Generative Adversarial Network Training via Self-Labeling and Self-Attention"
    year = 2021
    about = (
        "latents are labelled by prototypes; a classifier learns the labels from fakes and labels confident real images"
    )
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
        """One condition per artificial class; a single class is no condition."""
        return self.options.prototypes if self.options.prototypes > 1 else 0

    @classmethod
    def label_fraction(cls, options: dict[str, Any]) -> float:
        """The option `labelled`."""
        return float(options.get("labelled", 0.0))

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Every manual class needs a prototype."""
        del batch_size
        config = SelfLabellingOptions.model_validate(options)
        if config.labelled and config.prototypes < num_classes:
            return (
                f"prototypes is {config.prototypes}, too few for {num_classes} manual classes; labelled: 0.0 uses none"
            )
        return None

    def updates_per_step(self, player: str, discriminator_steps: int) -> int:
        """`classifier_steps` updates of the classifier per update of the discriminator."""
        if player == "classifier":
            return int(self.options.classifier_steps) * discriminator_steps
        return super().updates_per_step(player, discriminator_steps)

    def after_update(self, player: str) -> None:
        """P' <- m P' + (1 - m) P."""
        if player == "classifier":
            self.teacher.update_parameters(self.classifier)

    def labelled_latents(self, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
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
        """(n, latent_dim) latents and, for a conditional generator, their (n,) labels."""
        return self._with_condition(*self.labelled_latents(n, rng))

    def _with_condition(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (z, y) if self.num_conditions and self.options.conditional_generator else (z,)

    def generate(self, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """(n, C, H, W) images G(z, y) and (n,) labels y."""
        z, y = self.labelled_latents(n, rng)
        return self.generator(*self._with_condition(z, y)), y

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
        """Cross-entropy on fake images, and on the labelled real ones."""
        terms = {"fake": cross_entropy(self.classifier(fake).class_logits, y)}
        if self.options.labelled:
            labels = inputs.require_labels()
            logits = self.classifier(inputs.real).class_logits
            total = cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
            terms["labelled"] = total / (labels >= 0).sum().clamp(min=1)
        return terms

    def discriminator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """L_D: every image with its label, at the label's weight, and without it at the remaining weight.

        Logged: `accepted`, the fraction of real images whose label has a weight, and `label_entropy`, the entropy in
        nats of the batch's mean class probabilities.
        """
        probabilities = self.class_probabilities(inputs.real)
        labels, weight = self.self_labels(probabilities, inputs)
        inputs.logged["accepted"] = (weight > 0).to(weight.dtype).mean()
        inputs.logged["label_entropy"] = torch.special.entr(probabilities.mean(0)).sum()
        on_real, on_fake = self.discriminate_batches(inputs.real, fake)
        real_loss, fake_loss = losses.DISCRIMINATOR_LOSSES[self.options.game]
        v = self.fake_weight(labels, weight, y)
        terms = {
            "labelled": (weight * real_loss(self.logit(on_real, labels))).mean(),
            "fake": (v * fake_loss(self.logit(on_fake, y)) + (1 - v) * fake_loss(on_fake.logit)).mean(),
        }
        if self.options.uncertain == "unconditional":
            terms["unlabelled"] = ((1 - weight) * real_loss(on_real.logit)).mean()
        return terms

    def generator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """L_G: the adversarial loss and, if it has a weight, the classifier's cross-entropy."""
        output, loss = self.discriminate(fake), losses.GENERATOR_LOSSES[self.options.game]
        v = self.fake_weight(*self.self_labels(self.class_probabilities(inputs.real), inputs), y)
        terms = {"game": (v * loss(self.logit(output, y)) + (1 - v) * loss(output.logit)).mean()}
        if self.options.weight_classifier:
            classifier_loss = cross_entropy(self.classifier(fake).class_logits, y)
            terms["classifier"] = self.options.weight_classifier * classifier_loss
        return terms

    def fake_weight(self, labels: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        """v: (N,) weights in [0, 1] of the labels y of fake images, given the labels and weights of the real ones."""
        if self.options.fakes == "always" or self.options.labelled == 1:
            return torch.ones_like(weight)
        if self.options.fakes == "as_real":
            return weight.mean().expand_as(weight)
        # index_add, unlike bincount, does not wait for a GPU
        real_weight = weight.new_zeros(len(self.prototypes)).index_add(0, labels, weight)
        fake_count = weight.new_zeros(len(self.prototypes)).index_add(0, y, torch.ones_like(weight))
        return (real_weight[y] / fake_count[y]).clamp(max=1.0)

    @torch.no_grad()
    def class_probabilities(self, real: Tensor) -> Tensor:
        """(N, K) probabilities of the artificial classes of (N, C, H, W) images, by the moving average P'."""
        probabilities: Tensor = self.teacher(real).class_logits.softmax(1)
        return probabilities

    def self_labels(self, probabilities: Tensor, inputs: method.StepInputs) -> tuple[Tensor, Tensor]:
        """(N,) labels of the real images, manual ones where given, and (N,) weights of the labels in [0, 1]."""
        confidence, labels = probabilities.max(1)
        accepted = (confidence > self.options.threshold).to(confidence.dtype)
        weight = accepted * confidence if self.options.weighting == "confidence" else accepted
        if self.options.labelled:
            manual = inputs.require_labels()
            labels = torch.where(manual >= 0, manual, labels)
            weight = torch.where(manual >= 0, 1.0, weight)
        return labels, weight

    def logit(self, output: DiscriminatorOutput, y: Tensor) -> Tensor:
        """(N,) real/fake logits under the labels y, or the unconditional logits if there is a single prototype."""
        return output.logit_given(y) if self.num_conditions else output.logit
