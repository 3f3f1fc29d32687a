"""The collapse sentinel: looks at a pretraining after each epoch and says what it sees."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from brainssl.data.indices import Indices
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_json
from brainssl.methods import Method
from brainssl.training.batches import seeded
from brainssl.training.collapse import Health, knn_accuracy, largest_k, measure, verdict
from brainssl.views.recipes import ViewRecipe, to_unit

COLLAPSE = "collapse.json"


@dataclass(frozen=True)
class Watched:
    """The images that a sentinel looks at, as rows of a store; the test set is not among them.

    Attributes:
        rows: of the pretraining, of which two views are drawn.
        labelled: of the training set and of the validation set.
        labels: of every image of the store.
    """

    rows: Indices
    labelled: tuple[Indices, Indices]
    labels: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, store: ImageStore, split: Split, *, images: int, seed: int) -> "Watched":
        """Choose at most `images` of each kind."""
        generator = np.random.default_rng(np.random.SeedSequence([seed, 6]))

        def some(rows: Indices) -> Indices:
            return np.sort(generator.permutation(rows)[:images])

        manifest = store.manifest
        return cls(
            rows=some(split.pretraining(manifest)),
            labelled=(some(split.indices(manifest, "train")), some(split.indices(manifest, "val"))),
            labels=store.labels,
        )


class Sentinel(Callback):
    """Measures before training and after each epoch; writes `collapse.json`.

    It draws nothing from the training's random numbers: the weights are those of a training that
    nobody watches.

    Args:
        path: of the file.
        name: of the method.
        watched: the images to look at.
        recipe: of the views.
        size: of the views, in pixels.
        seed: of the views, which are the same in each epoch.
        stop: end the training with an error when it has collapsed.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        watched: Watched,
        recipe: ViewRecipe,
        *,
        size: int,
        seed: int,
        stop: bool = False,
    ) -> None:
        self.path, self.name, self.watched, self.recipe = path, name, watched, recipe
        self.size, self.seed, self.stop = size, seed, stop
        self.history: list[Health] = []
        self.verdict: str | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the untrained network."""
        if not self.history:
            self._look(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, log and judge.

        Raises:
            BrainsslError: it has collapsed, and is to stop.
        """
        self._look(trainer, pl_module, epoch=trainer.current_epoch + 1)
        if self.stop and self.verdict:
            raise BrainsslError(f"stopped, as asked: {self.verdict}")

    def _look(self, trainer: Trainer, pl_module: LightningModule, *, epoch: int) -> None:
        if not trainer.is_global_zero:
            return
        training = cast("Any", pl_module)
        method: Method = training.method
        method.eval()
        with torch.no_grad():
            health, k = self._measure(trainer, method, training.pixels, epoch)
        method.train()
        self.history.append(health)
        rows = [each.as_json() for each in self.history]
        if epoch:
            seen = {f"watch/{name}": value for name, value in rows[-1].items()}
            pl_module.log_dict({name: value for name, value in seen.items() if value is not None})
        before, self.verdict = self.verdict, verdict(self.history, self.name)
        if self.verdict and not before:
            training.say(f"warning: {self.verdict}")
        told = {"method": self.name, "k": k, "verdict": self.verdict, "epochs": rows}
        write_json(self.path, told)

    def _measure(
        self, trainer: Trainer, method: Method, pixels: Integer[Tensor, "n h w"], epoch: int
    ) -> tuple[Health, int | None]:
        generator = seeded(self.seed, 5)
        images = pixels[torch.from_numpy(self.watched.rows)]
        first, second = (self.recipe.draw(images, self.size, generator) for _ in range(2))
        parts = [to_unit(pixels[torch.from_numpy(rows)]) for rows in self.watched.labelled]
        # The networks compute as in training; the measures in float32.
        with trainer.precision_plugin.forward_context():
            answers = method.answers(first)
            embedded = [method.embed(view) for view in (first, second)]
            features = [method.trained(part) for part in parts] if all(map(len, parts)) else None
        knn, k = self._knn(features) if features else (None, None)
        health = measure(
            embedded[0].float(),
            embedded[1].float(),
            None if answers is None else answers.float(),
            epoch=epoch,
            step=trainer.global_step,
            knn=knn,
        )
        return health, k

    def _knn(self, features: list[Float[Tensor, "_ dim"]]) -> tuple[float, int]:
        labels = torch.from_numpy(self.watched.labels).to(features[0].device)
        of_train, of_val = (labels[torch.from_numpy(rows)] for rows in self.watched.labelled)
        k = largest_k(of_train)
        train, val = (part.float() for part in features)
        return knn_accuracy(train, of_train, val, of_val, k=k), k

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen, for the checkpoint."""
        return {"history": [asdict(health) for health in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after what was seen before a checkpoint."""
        self.history = [Health(**row) for row in state_dict["history"]]
        self.verdict = verdict(self.history, self.name)
