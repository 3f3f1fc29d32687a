"""Methods for a pretraining that two processes share; each finds them here by name."""

import os
import signal

from torch import Tensor, distributed

from brainssl.methods.dino import DINO


class Lopsided(DINO):
    """DINO, but for 100 on top of the second process's loss; no gradient changes by that."""

    def loss(self, views: list[Tensor]) -> Tensor:
        return super().loss(views) + 100 * distributed.get_rank()


class Killed(Lopsided):
    """The same, but for a SIGKILL that the first process gets in its fifth step."""

    def loss(self, views: list[Tensor]) -> Tensor:
        if self.moment.step == 4 and distributed.get_rank() == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(views)
