"""The baseline of the training-step measurements: the same algorithms as straightforward eager loops.

`PlainSSGAN` has the structure of mimicry's SSGAN for 32x32 (kwotsin/mimicry, torch_mimicry/nets/ssgan): separate
discriminator calls for real, fake and rotated images, images rotated one by one, resampling layers besides the
convolutions, and gradients of the discriminator's weights even in the generator's update. `PlainDistGANMS` has the
structure of this project's first version of Dist-GAN + MS on the Stacked-MNIST networks: a call for every batch, SAME
padding by copies, torch's transposed convolutions and a crop. Both use torch's default memory format and Adam. They
compute the same losses as ours and have their parameters in the same order, as `copy_weights` needs it.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

Losses = dict[str, Tensor]


class PlainGAN(nn.Module, ABC):
    """A GAN with its training loop."""

    players: tuple[str, ...]

    def start(self, lr: float, betas: tuple[float, float], seed: int) -> None:
        """Create optimisers and the random generator. Call it once the weights are final and on their device."""
        self.rng = torch.Generator(next(self.parameters()).device).manual_seed(seed)
        self.optimizers = {
            name: torch.optim.Adam([p for m in self.modules_of(name) for p in m.parameters()], lr=lr, betas=betas)
            for name in self.players
        }

    @abstractmethod
    def modules_of(self, player: str) -> tuple[nn.Module, ...]:
        """The modules whose parameters a player updates."""

    @abstractmethod
    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """The terms whose sum a player minimises, for (N, C, H, W) real images."""

    def step(self, real: Tensor) -> None:
        """Update every player once, on (N, C, H, W) real images in the networks' range."""
        for name in self.players:
            self.prepare(name)
            self.optimizers[name].zero_grad()
            sum(self.loss(name, real, self.rng).values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
            self.optimizers[name].step()

    def prepare(self, player: str) -> None:
        """Called before a player's update. By default gradients of all weights are computed."""


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters and buffers, which are matched by their order."""
    with torch.no_grad():
        for parameter, value in zip(target.parameters(), source.parameters(), strict=True):
            parameter.copy_(value)
        for buffer, state in zip(target.buffers(), source.buffers(), strict=True):
            buffer.copy_(state)


# --- SSGAN as in mimicry ---------------------------------------------------------------------------------


def upsample(x: Tensor) -> Tensor:
    """Bilinear upsampling by a factor of 2."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class BlockUp(nn.Module):
    """Residual block: norm-ReLU-upsample-conv3-norm-ReLU-conv3, and upsample-conv1 as shortcut."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(maps), nn.Conv2d(maps, maps, 3, padding=1)
        self.norm2, self.conv2 = nn.BatchNorm2d(maps), nn.Conv2d(maps, maps, 3, padding=1)
        self.shortcut = nn.Conv2d(maps, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        body = self.conv2(F.relu(self.norm2(self.conv1(upsample(F.relu(self.norm1(x)))))))
        total: Tensor = body + self.shortcut(upsample(x))
        return total


class BlockDown(nn.Module):
    """Residual block: conv3-ReLU-conv3 with spectral norm; all blocks but the first apply ReLU to their input."""

    def __init__(self, inputs: int, outputs: int, first: bool, down: bool) -> None:
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(inputs, outputs, 1)) if down else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, H, W), or half of H and W."""
        x = x if self.first else F.relu(x)
        body = self.conv2(F.relu(self.conv1(x)))
        if self.shortcut is None:
            return body + x  # type: ignore[no-any-return]
        shortcut = self.shortcut(F.avg_pool2d(x, 2)) if self.first else F.avg_pool2d(self.shortcut(x), 2)
        total: Tensor = F.avg_pool2d(body, 2) + shortcut
        return total


class SSGANDiscriminator(nn.Module):
    """(N, 3, 32, 32) -> (N,) real/fake and (N, 4) rotation logits."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            BlockDown(3, maps, first=True, down=True),
            BlockDown(maps, maps, first=False, down=True),
            BlockDown(maps, maps, first=False, down=False),
            BlockDown(maps, maps, first=False, down=False),
        )
        self.logit, self.classes = spectral_norm(nn.Linear(maps, 1)), spectral_norm(nn.Linear(maps, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads, on sum-pooled maps."""
        pooled = F.relu(self.blocks(x)).sum((2, 3))
        return self.logit(pooled).squeeze(1), self.classes(pooled)


class PlainSSGAN(PlainGAN):
    """SSGAN with hinge losses and rotation weights 1.0 and 0.2; a quarter of the batch is rotated each way."""

    players = ("discriminator", "generator")

    def __init__(self, generator_maps: int = 256, discriminator_maps: int = 128, latent_dim: int = 128) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.generator = nn.Sequential(
            nn.Linear(latent_dim, generator_maps * 16),
            nn.Unflatten(1, (generator_maps, 4, 4)),
            *(BlockUp(generator_maps) for _ in range(3)),
            nn.BatchNorm2d(generator_maps),
            nn.ReLU(),
            nn.Conv2d(generator_maps, 3, 3, padding=1),
            nn.Tanh(),
        )
        self.discriminator = SSGANDiscriminator(discriminator_maps)

    def modules_of(self, player: str) -> tuple[nn.Module, ...]:
        """A player's own network."""
        return (self.generator if player == "generator" else self.discriminator,)

    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """Adversarial loss `game` and rotation loss."""
        fake = self.generator(torch.randn(len(real), self.latent_dim, generator=rng, device=rng.device))
        if player == "generator":
            game = -self.discriminator(fake)[0].mean()
            return {"game": game, "rotation": 0.2 * self.rotation_loss(fake)}
        fake = fake.detach()
        real_logit, fake_logit = self.discriminator(real)[0], self.discriminator(fake)[0]
        game = F.relu(1 - real_logit).mean() + F.relu(1 + fake_logit).mean()
        return {"game": game, "rotation": self.rotation_loss(real)}

    def rotation_loss(self, images: Tensor) -> Tensor:
        """Cross-entropy of the rotation, on images rotated one by one."""
        labels = [4 * i // len(images) for i in range(len(images))]
        rotated = torch.stack([torch.rot90(image, r, (1, 2)) for image, r in zip(images, labels, strict=True)])
        return F.cross_entropy(self.discriminator(rotated)[1], torch.tensor(labels, device=images.device))


# --- Dist-GAN + MS, K/4 Stacked-MNIST -------------------------------------------------------------------


class PaddedConv(nn.Conv2d):
    """5x5 convolution with SAME padding by a copy."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2) -> None:
        super().__init__(inputs, outputs, 5, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, H) -> (N, outputs, ceil(H / stride), ceil(H / stride))."""
        total = max((-(-x.shape[2] // self.stride[0]) - 1) * self.stride[0] + 5 - x.shape[2], 0)
        return super().forward(F.pad(x, (total // 2, total - total // 2) * 2))


class CroppedDeconv(nn.ConvTranspose2d):
    """5x5 transposed convolution to twice the size; one row and one column are cropped."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        return super().forward(x, output_size)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


class Crop(nn.Module):
    """Keeps the first seven rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 7, 7)."""
        return x[:, :, :7, :7]


class DiscriminatorOutput(NamedTuple):
    """For N images: (N,) logits, (N, 5) class logits, (N, F) features."""

    logit: Tensor
    classes: Tensor
    features: Tensor


class DistGANDiscriminator(nn.Module):
    """(N, 3, 28, 28) -> DiscriminatorOutput."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(
                layer
                for pair in pairwise((3, width, 2 * width, 4 * width))
                for layer in (PaddedConv(*pair), nn.LeakyReLU(0.2))
            ),
            nn.Flatten(),
        )
        self.logit, self.classes = nn.Linear(64 * width, 1), nn.Linear(64 * width, 5)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Both heads, on flattened maps."""
        features = self.body(x)
        return DiscriminatorOutput(self.logit(features).squeeze(1), self.classes(features), features)


class PlainDistGANMS(PlainGAN):
    """Dist-GAN + MS with the log loss and its gradient penalty; the encoder's update also updates the generator."""

    players = ("encoder", "discriminator", "generator")
    lambda_p, lambda_r, weight_d, weight_g = 0.5, 0.01, 0.5, 0.2

    def __init__(self, width: int = 2, latent_dim: int = 256) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.generator = nn.Sequential(
            nn.Linear(latent_dim, 1024, bias=False),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Unflatten(1, (64, 4, 4)),
            *(CroppedDeconv(64, 32), nn.BatchNorm2d(32), nn.ReLU(), Crop()),
            *(CroppedDeconv(32, 16), nn.BatchNorm2d(16), nn.ReLU()),
            *(CroppedDeconv(16, 8), nn.BatchNorm2d(8), nn.ReLU()),
            PaddedConv(8, 3, stride=1),
            nn.Sigmoid(),
        )
        self.discriminator = DistGANDiscriminator(width)
        convolutions = (
            layer for pair in pairwise((3, 8, 16, 32, 64)) for layer in (PaddedConv(*pair), nn.ReLU(inplace=True))
        )
        self.encoder = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(256, latent_dim))

    def modules_of(self, player: str) -> tuple[nn.Module, ...]:
        """A player's own network; for the encoder also the generator."""
        if player == "encoder":
            return self.encoder, self.generator
        return (self.generator if player == "generator" else self.discriminator,)

    def prepare(self, player: str) -> None:
        """Enable gradients only for the parameters that the player updates."""
        updated = {id(p) for module in self.modules_of(player) for p in module.parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in updated)

    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """The loss terms of one player, with a discriminator call for every batch."""
        latents = torch.rand(len(real), self.latent_dim, generator=rng, device=rng.device) * 2 - 1
        fake = self.generator(latents)
        if player == "encoder":
            return self.encoder_loss(real, latents, fake)
        if player == "discriminator":
            return self.discriminator_loss(real, fake.detach(), rng)
        difference = self.discriminator(real).logit.sigmoid() - self.discriminator(fake).logit.sigmoid()
        index = torch.randperm(4 * len(real), generator=rng, device=rng.device)[: len(real)]
        losses = [self.class_loss(images[index], labels[index]) for images, labels in map(all_rotations, (fake, real))]
        return {"score": difference.mean().abs(), "task": self.weight_g * (losses[0] - losses[1]).abs()}

    def encoder_loss(self, real: Tensor, latents: Tensor, fake: Tensor) -> Losses:
        """Reconstruction of features, and the distance constraint."""
        encoded = self.encoder(real)
        features = self.discriminator(self.generator(encoded)).features
        lambda_w = (self.latent_dim / features.shape[1]) ** 0.5
        distance = (features - self.discriminator(fake).features).mean() - lambda_w * (encoded - latents).mean()
        return {
            "reconstruction": (self.discriminator(real).features - features).square().mean(),
            "distance": self.lambda_r * distance.square(),
        }

    def discriminator_loss(self, real: Tensor, fake: Tensor, rng: torch.Generator) -> Losses:
        """Log losses of three batches, gradient penalty and classification loss."""
        with torch.no_grad():
            reconstructed = self.generator(self.encoder(real))
        terms = {
            "real": 0.95 * F.softplus(-self.discriminator(real).logit).mean(),
            "reconstructed": 0.05 * F.softplus(-self.discriminator(reconstructed).logit).mean(),
            "fake": F.softplus(self.discriminator(fake).logit).mean(),
        }
        weight = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
        interpolated = (real + weight * (fake - real)).requires_grad_()
        (gradient,) = torch.autograd.grad(self.discriminator(interpolated).logit.sum(), interpolated, create_graph=True)
        terms["penalty"] = self.lambda_p * (gradient.square().flatten(1).mean(1).sqrt() - 1).square().mean()
        rotated, labels = all_rotations(real)
        images, labels = torch.cat([rotated, fake]), torch.cat([labels, labels.new_full((len(fake),), 4)])
        index = torch.randperm(len(labels), generator=rng, device=rng.device)[: len(real)]
        return terms | {"task": self.weight_d * self.class_loss(images[index], labels[index])}

    def class_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the class head."""
        return F.cross_entropy(self.discriminator(images).classes, labels)


def all_rotations(images: Tensor) -> tuple[Tensor, Tensor]:
    """Every image in four rotations, and the index of the rotation."""
    rotated = torch.cat([torch.rot90(images, r, (2, 3)) for r in range(4)])
    return rotated, torch.arange(4, device=images.device).repeat_interleave(len(images))
