"""What the training step is measured against: the same algorithms as straightforward eager loops.

`PlainSSGAN` has the structure of mimicry's SSGAN for 32x32 (kwotsin/mimicry, torch_mimicry/nets/ssgan): the
discriminator sees real, fake and turned images in calls of their own, images are turned one by one, maps are made
larger and smaller by layers beside the convolutions, the generator's turn also reckons the gradients of the
discriminator's weights. `PlainDistGANMS` has the structure of this project's own first version of Dist-GAN + MS on its
nets for Stacked-MNIST: a call for every batch, SAME padding by copies, torch's transposed convolutions and a crop.
Both keep torch's default layout and torch's default Adam. They compute the same losses; parameters come in the same
order as ours, so that `same_weights` can make the two sides start alike.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

Losses = dict[str, Tensor]


class Plain(nn.Module, ABC):
    """A GAN that trains itself: `loss` of a player, and `step`, one turn of each."""

    players: tuple[str, ...]

    def start(self, lr: float, betas: tuple[float, float], seed: int) -> None:
        """Optimisers and random numbers. Call it when all weights are in place, and on their device."""
        self.rng = torch.Generator(next(self.parameters()).device).manual_seed(seed)
        self.optimizers = {
            name: torch.optim.Adam([p for m in self.moved_by(name) for p in m.parameters()], lr=lr, betas=betas)
            for name in self.players
        }

    @abstractmethod
    def moved_by(self, player: str) -> tuple[nn.Module, ...]:
        """The modules whose parameters a player moves."""

    @abstractmethod
    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """The terms that a player minimises the sum of, on (N, C, H, W) real images."""

    def step(self, real: Tensor) -> None:
        """Every player once, on (N, C, H, W) images in the networks' range."""
        for name in self.players:
            self.prepare(name)
            self.optimizers[name].zero_grad()
            sum(self.loss(name, real, self.rng).values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
            self.optimizers[name].step()

    def prepare(self, player: str) -> None:
        """What precedes a player's turn: here nothing, so gradients of all weights are reckoned."""


def same_weights(theirs: nn.Module, ours: nn.Module) -> None:
    """Give a plain network the weights and buffers of ours."""
    with torch.no_grad():
        for parameter, of in zip(theirs.parameters(), ours.parameters(), strict=True):
            parameter.copy_(of)
        for buffer, of_ours in zip(theirs.buffers(), ours.buffers(), strict=True):
            buffer.copy_(of_ours)


# --- SSGAN as in mimicry ---------------------------------------------------------------------------------


def up(x: Tensor) -> Tensor:
    """Twice the side."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class BlockUp(nn.Module):
    """norm-ReLU-up-conv3-norm-ReLU-conv3, and up-conv1."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(maps), nn.Conv2d(maps, maps, 3, padding=1)
        self.norm2, self.conv2 = nn.BatchNorm2d(maps), nn.Conv2d(maps, maps, 3, padding=1)
        self.shortcut = nn.Conv2d(maps, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        body = self.conv2(F.relu(self.norm2(self.conv1(up(F.relu(self.norm1(x)))))))
        total: Tensor = body + self.shortcut(up(x))
        return total


class BlockDown(nn.Module):
    """conv3-ReLU-conv3 with spectral norm; all but the first see rectified maps, on both paths."""

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
        beside = self.shortcut(F.avg_pool2d(x, 2)) if self.first else F.avg_pool2d(self.shortcut(x), 2)
        total: Tensor = F.avg_pool2d(body, 2) + beside
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
        """Both heads on the sum-pooled maps."""
        pooled = F.relu(self.blocks(x)).sum((2, 3))
        return self.logit(pooled).squeeze(1), self.classes(pooled)


class PlainSSGAN(Plain):
    """Hinge losses, rotation weights 1.0 and 0.2, each image of a batch turned once, one quarter each way."""

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

    def moved_by(self, player: str) -> tuple[nn.Module, ...]:
        """Each its own network."""
        return (self.generator if player == "generator" else self.discriminator,)

    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """game + rotation."""
        fake = self.generator(torch.randn(len(real), self.latent_dim, generator=rng, device=rng.device))
        if player == "generator":
            game = -self.discriminator(fake)[0].mean()
            return {"game": game, "rotation": 0.2 * self.rotation_error(fake)}
        fake = fake.detach()
        of_real, of_fake = self.discriminator(real)[0], self.discriminator(fake)[0]
        game = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
        return {"game": game, "rotation": self.rotation_error(real)}

    def rotation_error(self, images: Tensor) -> Tensor:
        """Of images turned one by one."""
        labels = [4 * i // len(images) for i in range(len(images))]
        turned = torch.stack([torch.rot90(image, r, (1, 2)) for image, r in zip(images, labels, strict=True)])
        return F.cross_entropy(self.discriminator(turned)[1], torch.tensor(labels, device=images.device))


# --- Dist-GAN + MS, K/4 Stacked-MNIST -------------------------------------------------------------------


class PaddedConv(nn.Conv2d):
    """5x5 with SAME padding by a copy."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2) -> None:
        super().__init__(inputs, outputs, 5, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, H) -> (N, outputs, ceil(H / stride), ceil(H / stride))."""
        total = max((-(-x.shape[2] // self.stride[0]) - 1) * self.stride[0] + 5 - x.shape[2], 0)
        return super().forward(F.pad(x, (total // 2, total - total // 2) * 2))


class CroppedDeconv(nn.ConvTranspose2d):
    """5x5 to twice the side; the row and the column too many are cut off."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, 2H, 2W)."""
        return super().forward(x, output_size)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]


class Crop(nn.Module):
    """The first seven rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 7, 7)."""
        return x[:, :, :7, :7]


class View(NamedTuple):
    """Of N images: (N,) logits, (N, 5) class logits, (N, F) features."""

    logit: Tensor
    classes: Tensor
    features: Tensor


class DistGANDiscriminator(nn.Module):
    """(N, 3, 28, 28) -> View."""

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

    def forward(self, x: Tensor) -> View:
        """All heads on the flat maps."""
        features = self.body(x)
        return View(self.logit(features).squeeze(1), self.classes(features), features)


class PlainDistGANMS(Plain):
    """The log loss with its penalty, the encoder's turn moving the generator too."""

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

    def moved_by(self, player: str) -> tuple[nn.Module, ...]:
        """The encoder's turn moves the generator too."""
        if player == "encoder":
            return self.encoder, self.generator
        return (self.generator if player == "generator" else self.discriminator,)

    def prepare(self, player: str) -> None:
        """Gradients for the player's own parameters."""
        own = {id(p) for module in self.moved_by(player) for p in module.parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in own)

    def loss(self, player: str, real: Tensor, rng: torch.Generator) -> Losses:
        """Of one player, every batch judged by itself."""
        latents = torch.rand(len(real), self.latent_dim, generator=rng, device=rng.device) * 2 - 1
        fake = self.generator(latents)
        if player == "encoder":
            return self.encoder_loss(real, latents, fake)
        if player == "discriminator":
            return self.discriminator_loss(real, fake.detach(), rng)
        difference = self.discriminator(real).logit.sigmoid() - self.discriminator(fake).logit.sigmoid()
        index = torch.randperm(4 * len(real), generator=rng, device=rng.device)[: len(real)]
        errors = [self.class_error(turned[index], labels[index]) for turned, labels in map(all_turns, (fake, real))]
        return {"score": difference.mean().abs(), "task": self.weight_g * (errors[0] - errors[1]).abs()}

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
        """Three batches of images, the gradient penalty and the class task."""
        with torch.no_grad():
            reconstructed = self.generator(self.encoder(real))
        terms = {
            "real": 0.95 * F.softplus(-self.discriminator(real).logit).mean(),
            "reconstructed": 0.05 * F.softplus(-self.discriminator(reconstructed).logit).mean(),
            "fake": F.softplus(self.discriminator(fake).logit).mean(),
        }
        share = torch.rand(len(real), 1, 1, 1, generator=rng, device=rng.device)
        between = (real + share * (fake - real)).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).logit.sum(), between, create_graph=True)
        terms["penalty"] = self.lambda_p * (slope.square().flatten(1).mean(1).sqrt() - 1).square().mean()
        turned, labels = all_turns(real)
        images, labels = torch.cat([turned, fake]), torch.cat([labels, labels.new_full((len(fake),), 4)])
        index = torch.randperm(len(labels), generator=rng, device=rng.device)[: len(real)]
        return terms | {"task": self.weight_d * self.class_error(images[index], labels[index])}

    def class_error(self, images: Tensor, labels: Tensor) -> Tensor:
        """CE of the class head."""
        return F.cross_entropy(self.discriminator(images).classes, labels)


def all_turns(images: Tensor) -> tuple[Tensor, Tensor]:
    """Every image in four turns, and the number of its turn."""
    turned = torch.cat([torch.rot90(images, r, (2, 3)) for r in range(4)])
    return turned, torch.arange(4, device=images.device).repeat_interleave(len(images))
