"""SSGAN: the discriminator also predicts the rotation of real images, and the generator is rewarded for fakes
whose rotation it can predict.

Chen et al., "Self-Supervised GANs via Auxiliary Rotation Loss", CVPR 2019 (arXiv 1811.11212v2). Losses and weights from
compare_gan at 19922d3, gans/ssgan.py:46-51 and :206-216:

    L_D = game_D + 1.0 CE(rotation | real)        L_G = game_G + 0.2 CE(rotation | fake)

The discriminator is never trained on the rotation of fakes. The paper rotates 16 of the 64 images of a batch in all
four directions and adds no new image: `batches: quarter_four_ways`. It tried 0.2, 0.5 and 1 for weight_g; 1 was best on
CIFAR-10, 0.2 on ImageNet. No configuration of the paper was released (SS-01), and other codes rotate other images, so
`batches` is a switch. The paper's loss is the hinge, that of the nearest released configuration non-saturating: `game`.
compare_gan adds 1e-10 inside the logarithm of the cross-entropy; this implementation has the exact log-softmax.
compare_gan passes all images through D at once; here only those that a loss uses pass through it, which is equivalent
as long as D has no batch norm.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.common import losses, method, transformations
from baselines.common.random_streams import Rng
from baselines.methods.gan import GAN, GANOptions, PenalisedGANOptions, Task

CODE = "google/compare_gan@19922d3 gans/ssgan.py"


class SSGANOptions(PenalisedGANOptions):
    """`batches`: which images are rotated (SS-01). `weight_d`, `weight_g`: weights of the rotation task."""

    game: losses.GameName = Field(
        default="non_saturating", description="compare_gan's nearest configuration; the paper plays hinge (SS-01)"
    )
    batches: transformations.BatchRecipe = Field(
        default="quarter_four_ways", description=f"arXiv 1811.11212v2: 16 of 64 images; {CODE}:133-202 (SS-01)"
    )
    weight_d: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False, description=f"{CODE}:46-51")
    weight_g: float = Field(default=0.2, strict=True, ge=0, allow_inf_nan=False, description=f"{CODE}:46-51")


class SSGAN(GAN):
    """GAN + rotation task with a four-way head."""

    title = "SSGAN"
    paper = "Chen et al., Self-Supervised GANs via Auxiliary Rotation Loss"
    year = 2019
    about = "GAN + rotation task: D predicts the rotation of real images, G makes fakes whose rotation D can predict"
    Options: ClassVar[type[GANOptions]] = SSGANOptions
    task_classes = transformations.SIZE
    has_rotation_head = True

    @classmethod
    def check_config(cls, options: dict[str, Any], batch_size: int, num_classes: int = 0) -> str | None:
        """Some batch recipes need a batch size that is divisible by four."""
        del num_classes
        recipe = options.get("batches", cls.Options.model_fields["batches"].default)
        return transformations.check_batch_size(recipe, batch_size)

    def transformed(self, samples: Tensor, rng: Rng) -> transformations.TransformedBatch:
        """The samples of the task, rotated by the chosen batch recipe; or shifted, if they are points."""
        return self.transformations.batch(self.options.batches, samples, rng)

    def rotation_task(self, batch: transformations.TransformedBatch, weight: float) -> Task:
        """weight CE(C(rotated images), rotation)."""
        return Task((batch.samples,), lambda logits: {"rotation": weight * cross_entropy(logits, batch.labels)})

    def discriminator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_d CE(rotation | real)."""
        del fake
        return self.rotation_task(self.transformed(inputs.real, inputs.rng), self.options.weight_d)

    def generator_task(self, inputs: method.StepInputs, fake: Tensor) -> Task:
        """weight_g CE(rotation | fake)."""
        return self.rotation_task(self.transformed(fake, inputs.rng), self.options.weight_g)

    def rotation_logits(self, images: Tensor) -> Tensor:
        """The first four class logits; a fifth class, 'fake', is left out."""
        return transformations.real_class_logits(self.discriminate(images).class_logits)
