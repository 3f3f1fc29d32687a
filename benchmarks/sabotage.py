"""Does the collapse sentinel speak of a method that is sabotaged, and of no other?

DINO whose centre never moves, and BYOL without predictor, stop-gradient and teacher, are pretrained
with the preset `quick` beside the same methods as they are. For each run the figures are the epoch
after which the sentinel first spoke and its sentence (null if it never did), and what it saw then.
A run ends when it speaks, which it does after 50 optimiser steps at the earliest.

    python benchmarks/sabotage.py stores/phantom --out results/sabotage-phantom.json
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torch.nn import functional

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, working_folder
from brainssl.methods import METHODS
from brainssl.methods.byol import BYOL
from brainssl.settings import load_settings
from brainssl.training.pretrain import pretrain
from brainssl.training.sentinel import COLLAPSE


class Sabotaged(BYOL):
    """Nothing keeps it from the constant answer, which is the best one to predict."""

    def loss(self, views: list[Tensor]) -> Tensor:
        """Return the distance of the online network's own projections."""
        first, second = (self.embed(view).float() for view in views)
        cosine: Tensor = functional.cosine_similarity(first, second, dim=1)
        return 2 * (2 - 2 * cosine).mean()


RUNS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "dino": ("dino", {}, []),
    "dino without centring": ("dino", {}, ["dino.centre_momentum=1"]),
    "byol": ("byol", {}, []),
    "byol without predictor and stop-gradient": ("byol", {"byol": Sabotaged}, []),
}


def main() -> None:
    """Pretrain each and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.store)
    shared = [f"encoder.image_size={store.size}", f"pretrain.epochs={arguments.epochs}"]
    split_settings = load_settings("quick", arguments.set)[0].split.model_dump()
    split = make_split(store.manifest, protocol="grouped", seed=arguments.seed, **split_settings)
    data = Data(store, split)
    result = {
        "what": "when the collapse sentinel spoke of sabotaged and of healthy pretrainings",
        "command": shlex.join(["python", *sys.argv]),
        "images": len(split.pretraining(store.manifest)),
        "runs": {
            name: watched(data, name, [*shared, *arguments.set], arguments.seed) for name in RUNS
        },
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def watched(data: Data, name: str, overrides: list[str], seed: int) -> dict[str, Any]:
    """Pretrain until the sentinel speaks, or to the end; return what it said and saw."""
    method, replaced, own = RUNS[name]
    settings = load_settings("quick", [*overrides, *own])[0]
    run: dict[str, Any] = {"method": method, "settings": settings, "seed": seed}
    with tempfile.TemporaryDirectory() as folder, patch.dict(METHODS, replaced):
        out = Path(folder) / "run"
        try:
            pretrain(data.store, data.split, out, stop_on_collapse=True, **run)
        except BrainsslError as error:
            if not str(error).startswith("stopped, as asked"):
                raise
            out = working_folder(out)
        seen = read_json(out / COLLAPSE, "what the sentinel saw")
    last, said = seen["epochs"][-1], seen["verdict"]
    print(f"{name}: {said or 'nothing is said'}", file=sys.stderr, flush=True)
    return {"epoch": last["epoch"] if said else None, "sentence": said, "last": last}


if __name__ == "__main__":
    main()
