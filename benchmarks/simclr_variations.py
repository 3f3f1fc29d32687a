"""What would make SimCLR better? One factor at a time from a base, judged on the validation set.

The base is SimCLR with ResNet-10-T, 20 epochs and a temperature of 0.2, on a prepared store (mri44
at 48 px is meant). Each variation changes one thing: longer pretraining, another temperature,
milder views, larger crops, another rate of fine-tuning. Its encoder gets a linear probe and a
fine-tuning with a tenth of the labels and with all, beside supervised training once. The figures
are accuracies on the validation set and their differences to the base and to supervised training,
in the mean over training seeds, with 95 % intervals of the paired cluster bootstrap, not widened
for the number of comparisons.

The test set is neither predicted nor scored: it is for what is chosen here. The validation set also
chooses each probe's penalty and each fine-tuning's epoch, so all accuracies are somewhat too high.

What is done is written after each variation and kept beside it in a folder: called again, the
command goes on where it was interrupted.

    python benchmarks/simclr_variations.py stores/mri44-48 --out results/simclr-variations.json
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from brainssl.data.dataset import Data
from brainssl.data.indices import Indices
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.storage import read_json, write_json
from brainssl.hardware.device import device_of
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import Encoder, build_encoder, load_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.finetune import finetune
from brainssl.training.pretrain import pretrain
from brainssl.training.probe import Labelled, fit_probe
from brainssl.training.stages import predict_parts

BASE = [
    "encoder.name=resnet10t",
    "split.test_fraction=0.2",  # the split of results/mri44-methods.json, whose test set is known
    "simclr.temperature=0.2",
    "pretrain.epochs=20",
    "finetune.epochs=15",
]
VARIATIONS = {
    "base": [],
    "epochs-60": ["pretrain.epochs=60"],
    "epochs-100": ["pretrain.epochs=100"],
    "temperature-0.1": ["simclr.temperature=0.1"],
    "temperature-0.5": ["simclr.temperature=0.5"],
    "milder-views": [
        "views.brightness=[0.9, 1.1]",
        "views.contrast=[0.9, 1.1]",
        "views.jitter=0.5",
    ],
    "crops-from-half": ["views.crop_area=[0.5, 1.0]"],
    "rate-1e-4": ["simclr.finetune.learning_rate=1e-4"],
    "rate-1e-3": ["simclr.finetune.learning_rate=1e-3"],
}
SUPERVISED = "supervised"
FRACTIONS = (0.1, 1.0)
METRIC = "accuracy"


def main() -> None:
    """Train every variation that is asked for and write the figures after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--only", default=",".join(VARIATIONS), help="names, comma-separated")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--epochs", type=float, default=1.0, help="factor on all epochs, for trials"
    )
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    if not arguments.out.suffix:
        parser.error("--out is a file such as variations.json: its stem names the folder beside it")
    names = ["base", *(name for name in arguments.only.split(",") if name != "base")]
    if unknown := set(names) - set(VARIATIONS):
        parser.error(f"no variation {', '.join(unknown)}: choose of {', '.join(VARIATIONS)}")
    bench = Bench.of(arguments.store, arguments.set, arguments.epochs, arguments.out)
    supervised = bench.arms(SUPERVISED, arguments.seeds)
    result: dict[str, Any] = {
        "what": f"{METRIC} on the validation set of variations of SimCLR",
        "command": shlex.join(["python", *sys.argv]),
        "split": {"protocol": "grouped", "seed": 0, "digest": bench.data.split.digest},
        "validation_images": len(bench.data.split.val),
        "seeds": arguments.seeds,
        "base": [*BASE, *arguments.set],
        SUPERVISED: {"scores": scores(supervised, {})},
        "variations": {},
    }
    base: Arms = {}
    for name in names:
        arms = bench.arms(name, arguments.seeds)
        base = base or arms
        others = {SUPERVISED: supervised} | ({} if name == "base" else {"base": base})
        result["variations"][name] = {
            "settings": VARIATIONS[name],
            "scores": scores(arms, others),
        }
        write_json(arguments.out, result)
        print(json.dumps({name: result["variations"][name]}), flush=True)


Arms = dict[tuple[str, float], list[Predictions]]  # by stage and label fraction, one a seed


@dataclass(frozen=True)
class Bench:
    """What all variations share.

    Attributes:
        data: store and split.
        overrides: set by hand for all.
        factor: on all epochs.
        folder: where encoders and predictions are kept.
    """

    data: Data
    overrides: list[str]
    factor: float
    folder: Path

    @classmethod
    def of(cls, path: Path, overrides: list[str], factor: float, out: Path) -> "Bench":
        """Open the store and draw the split."""
        store = ImageStore.open(path)
        shared = [*BASE, f"encoder.image_size={store.size}", *overrides]
        fractions = load_settings("quick", shared)[0].split.model_dump()
        split = make_split(store.manifest, protocol="grouped", seed=0, **fractions)
        data, folder = Data(store, split), out.with_suffix("")
        asked = data.facts() | {"settings": shared, "epochs": factor}
        if (folder / "asked.json").exists():
            if read_json(folder / "asked.json", "what was asked for") != asked:
                raise SystemExit(f"{folder} was begun with other settings or data: name another")
        else:
            write_json(folder / "asked.json", asked)
        return cls(data, shared, factor, folder)

    def settings(self, name: str) -> Settings:
        """Return the settings of a variation, with its epochs scaled."""
        chosen = [*self.overrides, *VARIATIONS.get(name, [])]
        whole = load_settings("quick", chosen)[0]
        scaled = [
            f"{stage}.epochs={max(1, round(self.factor * getattr(whole, stage).epochs))}"
            for stage in ("pretrain", "finetune")
        ]
        settings = load_settings("quick", [*chosen, *scaled])[0]
        return settings.of(SUPERVISED if name == SUPERVISED else "simclr")

    def arms(self, name: str, seeds: int) -> Arms:
        """Return predictions of the validation set for every arm of a variation."""
        arms: Arms = {}
        settings = self.settings(name)
        for seed in range(seeds):
            for stage in _stages(name):
                for fraction in FRACTIONS:
                    file = self.folder / name / f"{stage}-f{fraction:g}-s{seed}.parquet"
                    if not file.exists():
                        start = self.start(name, settings, seed)
                        train = _TRAIN[stage]
                        model = train(self.data, start, settings, fraction, seed)
                        rows = {"val": self.data.rows(fraction, seed)["val"]}
                        predict_parts(model, self.data, rows).save(file)
                        print(f"{name}: {file.stem} is done", file=sys.stderr, flush=True)
                    arms.setdefault((stage, fraction), []).append(Predictions.load(file))
        return arms

    def start(self, name: str, settings: Settings, seed: int) -> Encoder:
        """Return the encoder that a variation begins with: fresh, or pretrained when first asked.

        Variations of fine-tuning take the base's.
        """
        if name == SUPERVISED:
            return build_encoder(**settings.encoder.model_dump(), seed=seed)
        out = self.folder / ("base" if _of_fine_tuning(name) else name) / f"encoder-s{seed}"
        if not out.exists():
            run: dict[str, Any] = {"method": "simclr", "settings": settings, "seed": seed}
            pretrain(self.data.store, self.data.split, out, resume=True, **run)
        return load_encoder(out)


def _stages(name: str) -> list[str]:
    if name == SUPERVISED:
        return [SUPERVISED]
    if name != "base" and _of_fine_tuning(name):
        return ["finetune"]  # the probe would be the base's
    return ["linear", "finetune"]


def _of_fine_tuning(name: str) -> bool:
    return all(".finetune." in override for override in VARIATIONS[name])


def probed(
    data: Data, encoder: Encoder, settings: Settings, fraction: float, seed: int
) -> Classifier:
    """Fit a linear probe with a share of the labels."""
    encoder = encoder.eval().to(device_of(settings.run))
    rows, labels = data.rows(fraction, seed), data.store.labels

    def part(own: Indices) -> Labelled:
        return Labelled(run_in_batches(encoder, data.store.images, own), labels[own])

    probe = fit_probe(
        part(rows["train"]),
        part(rows["val"]),
        classes=len(data.store.classes),
        settings=settings.probe,
        seed=seed,
    )
    return _classifier(encoder, probe.head, data, settings)


def tuned(
    data: Data, encoder: Encoder, settings: Settings, fraction: float, seed: int
) -> Classifier:
    """Train the encoder and a new head with a share of the labels."""
    rows = data.rows(fraction, seed)
    options: dict[str, Any] = {"encoder": encoder, "settings": settings, "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        head = finetune(data.store, rows["train"], rows["val"], Path(folder), **options).head
    return _classifier(encoder, head, data, settings)


def _classifier(encoder: Encoder, head: nn.Linear, data: Data, settings: Settings) -> Classifier:
    classifier = Classifier(encoder, head, data.store.classes, {})
    return classifier.eval().to(device_of(settings.run))


_TRAIN: dict[str, Callable[[Data, Encoder, Settings, float, int], Classifier]] = {
    "linear": probed,
    "finetune": tuned,
    SUPERVISED: tuned,
}


def scores(arms: Arms, others: dict[str, Arms]) -> dict[str, Any]:
    """Return for each arm its accuracy by seed, and how far it is above the same arm of others.

    Both stages are compared with supervised training at the same label fraction.
    """
    told: dict[str, Any] = {}
    for (stage, fraction), ours in arms.items():
        row: dict[str, Any] = {
            METRIC: [round(float((one.predicted == one.labels).mean()), 4) for one in ours]
        }
        for name, other in others.items():
            theirs = other[SUPERVISED if name == SUPERVISED else stage, fraction]
            [compared] = compare_all({"this": ours, name: theirs}, metrics=[METRIC])
            row[f"minus {name}"] = {
                "difference": round(compared.difference, 4),
                "interval": [round(end, 4) for end in compared.interval],
            }
        told[f"{stage} {fraction:g}"] = row
    return told


if __name__ == "__main__":
    main()
