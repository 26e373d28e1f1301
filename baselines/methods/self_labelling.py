"""The self-labelling GAN: a classifier learns artificial labels of latents from fakes, and labels the real images.

Watanabe & Favaro, "A Unified Generative Adversarial Network Training via Self-Labeling and Self-Attention", ICML 2021.
No code was published, and the full text was not available: this follows the abstract and the settings that others quote
from the text. Both are facts of the paper below; everything else is an assumption, and every assumption with
alternatives has a switch. docs/methods/self_labelling.md has the two side by side.

    Repeat:
      1. Draw latents z with their artificial labels y(z), one of K = 10, and make fake images x' = G(z, y).
      2. Teacher P, by SGD:      L_P = CE(P(A(x')), y) + CE(P(A(x)), label) over real images with manual labels
                                 P' <- 0.999 P' + 0.001 P
      3. Label the real images:  q(x), y(x) = max, argmax P'(x), or 1 and the manual label where there is one
                                 w(x) = [q(x) > 0.95]
      4. Discriminator, by Adam: L_D = mean w r(D(x, y(x))) + mean v f(D(x', y))                  128 images
                                     + mean (1 - w) r(D(x)) + mean (1 - v) f(D(x'))               64 images
                                     + 10 mean (|grad D(x + u (x' - x))|_2 - 1)^2, as in `gan`   64 images
      5. Generator, by Adam:     L_G = mean v g(D(x', y)) + mean (1 - v) g(D(x'))

A is RandAugment. r, f and g are the adversarial losses of a real image, of a fake one and of the generator; D(x) is the
logit without a label, D(x, y) the one with a label, by projection; u is uniform on [0, 1]. Artificial labels come from
prototypes c_1 .. c_K, drawn once from the prior: y(z) is the nearest prototype of z (`latent_label: nearest`), or a
uniform draw, z = c_y + e with e from the prior (`mixture`). With L manual classes, the first L prototypes correspond to
them.

v is the weight of a fake image's label. With `fakes: balanced` and label y, v is the sum of w over the real images with
label y, divided by the number of fake ones, at most 1, so that no label is trained on more fake images than real ones;
v is 1 if all real images have manual labels. With `as_real`, v is the mean of w over the batch of real images, whatever
their labels. With `always`, v is 1: then fake images always have a label and uncertain real ones never do, so the
discriminator can separate them by the label alone, through a V_y that no real image ever corrects.

One prototype gives the plain GAN, a threshold of 1 or more leaves unlabelled images unconditional, and a threshold of 0
labels all images: self-labelling without self-attention.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from baselines.common import losses, method, random_streams
from baselines.common.ema import EMA
from baselines.common.randaugment import WHITE, RandAugment
from baselines.common.random_streams import Rng
from baselines.methods.gan import PENALTY_OFFSET
from baselines.networks.base import DiscriminatorOutput, Network
from baselines.networks.layers.precision import autocast_disabled, to_float32
from baselines.networks.resnet18 import resnet18

ABSTRACT = "arXiv:2106.09914, abstract"
QUOTED = "arXiv:2106.09914, quoted in kevincoakley/the-shift-toward-open@9020a49, ICML_2021.json"
ASSUMED = "an assumption; neither the abstract nor the quotations say"


class SelfLabellingOptions(method.Options):
    """`QUOTED` and `ABSTRACT` are the paper; every other default is an assumption.

    `latent_label`, `distance`: how a latent gets its label. `uncertain`: whether a real image below the threshold is
    used without its label or left out. `fakes`: the weight of a fake image's label. `weighting`: whether an accepted
    label has weight 1 or its probability. `labelled`: the fraction of real images whose manual label is known.
    `other_losses`: the fraction of a batch that all losses but those with artificial labels see: 64 of 128 in the
    paper. `teacher`: the classifier, ResNet18 as in the paper or the layers of the suite's discriminator.
    `teacher_width`: maps of the first stage of ResNet18. `augmentation`: of the classifier's images.
    `classifier_steps`: updates of the classifier per update of the discriminator.
    """

    game: losses.GameName = Field(default="hinge", description=QUOTED)
    prototypes: int = Field(default=10, strict=True, ge=1, le=10_000, description=f"{QUOTED}: K = 10")
    latent_label: Literal["nearest", "mixture"] = Field(default="nearest", description=ASSUMED)
    distance: Literal["euclidean", "cosine"] = Field(default="euclidean", description=ASSUMED)
    conditional_generator: bool = Field(default=True, strict=True, description=f"{ABSTRACT}: 'conditioning labels'")
    threshold: float = Field(default=0.95, strict=True, ge=0, allow_inf_nan=False, description=f"{QUOTED}: Th = 0.95")
    uncertain: Literal["unconditional", "left_out"] = Field(default="unconditional", description=ASSUMED)
    fakes: Literal["balanced", "as_real", "always"] = Field(default="balanced", description=ASSUMED)
    weighting: Literal["threshold", "confidence"] = Field(default="threshold", description=ASSUMED)
    decay: float = Field(default=0.999, strict=True, ge=0, lt=1, description=f"{QUOTED}: EMA decay 0.999")
    labelled: float = Field(default=0.0, strict=True, ge=0, le=1, description=f"{ABSTRACT}: any share")
    other_losses: float = Field(default=1.0, strict=True, gt=0, le=1, description="ours: all losses see one batch")
    lambda_gp: float = Field(
        default=10.0, strict=True, ge=0, allow_inf_nan=False, description=f"{QUOTED}; its form is an assumption"
    )
    teacher: Literal["network", "resnet18"] = Field(
        default="network", description="ours: the layers of the suite's discriminator; the paper has ResNet18"
    )
    teacher_width: int = Field(default=64, strict=True, ge=1, le=1024, description="He et al. 2016, Table 1: ResNet18")
    augmentation: Literal["none", "randaugment"] = Field(
        default="none", description="ours: images as they are; the paper has RandAugment"
    )
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
    uses_gradient_penalty = True
    prototypes: Tensor

    def __init__(self, network: Network, distribution: str, options: Any, num_classes: int = 0) -> None:
        super().__init__(network, distribution, options, num_classes)
        if not options.conditional_generator:
            self.generator = network.generator()
        self.classifier = self.build_classifier(network)
        self.teacher = EMA(self.classifier, options.decay)
        self.image_range = network.image_range
        self.augment = RandAugment(*network.shape[1:]) if options.augmentation == "randaugment" else None
        self.register_buffer("prototypes", self.latents(options.prototypes, torch.default_generator))

    def build_classifier(self, network: Network) -> nn.Module:
        """P: (N, C, H, W) images -> DiscriminatorOutput with (N, K) class logits."""
        if self.options.teacher == "resnet18":
            return resnet18(network.shape[0], self.options.prototypes, self.options.teacher_width)
        return network.classifier(self.options.prototypes)

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
        batch = self.other_size(inputs) if player == "classifier" else len(inputs.real)
        if player == "generator":
            return self.generator_loss(inputs, *self.generate(batch, inputs.rng))
        with torch.no_grad():
            fake, y = self.generate(batch, inputs.rng)
        if player == "classifier":
            return self.classifier_loss(inputs, fake, y)
        return self.discriminator_loss(inputs, fake, y)

    def other_size(self, inputs: method.StepInputs) -> int:
        """Number of images of the batch in losses without artificial labels; the first ones, as all are independent."""
        share: float = self.options.other_losses
        return max(1, round(share * len(inputs.real)))

    def classifier_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """L_P: cross-entropy on fake images, and on the labelled real ones."""
        terms = {"fake": cross_entropy(self.classifier(self.augmented(fake, inputs.rng)).class_logits, y)}
        if self.options.labelled:
            n = self.other_size(inputs)
            real, labels = self.augmented(inputs.real[:n], inputs.rng), inputs.require_labels()[:n]
            logits = self.classifier(real).class_logits
            total = cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
            terms["labelled"] = total / (labels >= 0).sum().clamp(min=1)
        return terms

    @torch.no_grad()
    def augmented(self, images: Tensor, rng: Rng) -> Tensor:
        """A: (N, C, H, W) images, rounded to bytes and augmented, in the network's range."""
        if self.augment is None or self.image_range is None:
            return images
        low, high = self.image_range
        pixels = ((to_float32(images) - low) * (WHITE / (high - low))).clamp(0, WHITE).round()
        augmented: Tensor = self.augment(pixels, rng) * ((high - low) / WHITE) + low
        return augmented

    def discriminator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """L_D: every image with its label, at the label's weight, and without it at the remaining weight; the penalty.

        Logged: `accepted`, the fraction of real images whose label has a weight, and `label_entropy`, the entropy in
        nats of the batch's mean class probabilities.
        """
        probabilities = self.class_probabilities(inputs.real)
        labels, w = self.self_labels(probabilities, inputs)
        inputs.logged["accepted"] = (w > 0).to(w.dtype).mean()
        inputs.logged["label_entropy"] = torch.special.entr(probabilities.mean(0)).sum()
        on_real, on_fake = self.discriminate_batches(inputs.real, fake)
        real_loss, fake_loss = losses.DISCRIMINATOR_LOSSES[self.options.game]
        n, v = self.other_size(inputs), self.fake_weight(labels, w, y)
        terms = {
            "labelled": (w * real_loss(self.logit(on_real, labels))).mean(),
            "fake": self.with_and_without_label(fake_loss, on_fake, y, v, n),
        }
        if self.options.uncertain == "unconditional":
            terms["unlabelled"] = ((1 - w) * real_loss(on_real.logit))[:n].mean()
        if self.options.lambda_gp:
            norms = losses.gradient_norms(
                self.discriminate, inputs.real[:n], fake[:n], inputs.rng, offset=PENALTY_OFFSET
            )
            terms["penalty"] = self.options.lambda_gp * (norms - 1).square().mean()
        return terms

    def generator_loss(self, inputs: method.StepInputs, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """L_G: the adversarial loss and, if it has a weight, the classifier's cross-entropy."""
        output, loss = self.discriminate(fake), losses.GENERATOR_LOSSES[self.options.game]
        n = self.other_size(inputs)
        v = self.fake_weight(*self.self_labels(self.class_probabilities(inputs.real), inputs), y)
        terms = {"game": self.with_and_without_label(loss, output, y, v, n)}
        if self.options.weight_classifier:
            classifier_loss = cross_entropy(self.classifier(fake[:n]).class_logits, y[:n])
            terms["classifier"] = self.options.weight_classifier * classifier_loss
        return terms

    def with_and_without_label(
        self, loss: Callable[[Tensor], Tensor], output: DiscriminatorOutput, y: Tensor, v: Tensor, n: int
    ) -> Tensor:
        """The loss of fake images with labels y, weighted by v, and of the first n without them, weighted by 1 - v."""
        return (v * loss(self.logit(output, y))).mean() + ((1 - v) * loss(output.logit))[:n].mean()

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
        """(N, K) probabilities of the artificial classes of (N, C, H, W) images, by the moving average P'.

        Batch norm uses its moving averages, so that the label of an image does not depend on its batch.
        """
        self.teacher.eval()
        probabilities: Tensor = self.teacher(real).class_logits.softmax(1)
        self.teacher.train()
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
