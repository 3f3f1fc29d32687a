"""Methods for a pretraining that two processes share; each finds them here by name."""

from torch import Tensor, distributed

from brainssl.methods.dino import DINO


class Lopsided(DINO):
    """DINO, but for 100 on top of the second process's loss; no gradient changes by that."""

    def loss(self, views: list[Tensor]) -> Tensor:
        return super().loss(views) + 100 * distributed.get_rank()
