"""GAN: the plain game of a generator and a discriminator.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014: the non-saturating form of section 3; or the
hinge form of Miyato et al., "Spectral Normalization for GANs", ICLR 2018, eqs. 16-17.
"""

import torch
from torch import Tensor

from baselines import base, games


class GANOptions(base.Options):
    """`game`: the real/fake losses."""

    game: games.GameName = "non_saturating"


class GAN(base.Method):
    """min_D game_D(D(x), D(G(z))); min_G game_G(D(G(z)))."""

    title = "GAN"
    paper = "Goodfellow et al., Generative Adversarial Nets"
    year = 2014
    about = "the plain game, non-saturating or hinge"
    Options = GANOptions

    def loss(self, player: str, turn: base.Turn) -> dict[str, Tensor]:
        """The game, and what a subclass's self-supervised task adds to it."""
        latents = self.latents(len(turn.real), turn.rng)
        if player == "discriminator":
            with torch.no_grad():
                fake = self.generator(latents)
            game = games.DISCRIMINATOR[self.options.game]
            terms = {"game": game(self.judge(turn.real).logit, self.judge(fake).logit)}
            return terms | self.discriminator_task(turn.real, fake)
        fake = self.generator(latents)
        terms = {"game": games.GENERATOR[self.options.game](self.judge(fake).logit)}
        return terms | self.generator_task(fake)

    def discriminator_task(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Weighted terms that the self-supervised task adds to the discriminator's loss."""
        del real, fake
        return {}

    def generator_task(self, fake: Tensor) -> dict[str, Tensor]:
        """Weighted terms that the self-supervised task adds to the generator's loss."""
        del fake
        return {}
