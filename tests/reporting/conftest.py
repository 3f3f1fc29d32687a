"""A finished study made up: random predictions of a plausible shape, and everything beside them."""

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from brainssl.data.audit import audit_scan
from brainssl.data.scan import scan
from brainssl.data.shots import LabelFraction
from brainssl.evaluation.metrics import evaluate, per_class
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.projection import PROJECTIONS, Projections
from brainssl.evaluation.unlabelled import UNLABELLED, Unlabelled
from brainssl.explanation.scorecard import LOCALISATION, MEASURES
from brainssl.explanation.side_by_side import EXPLANATIONS, FOLDER, INDEX, MAPS_FILE
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.analysis import analyse

CLASSES = [
    "Glioma T1",
    "Glioma T1C+",
    "Glioma T2",
    "Meningioma T1",
    "Meningioma T1C+",
    "Meningioma T2",
    "Neurocitoma (Central - Intraventricular, Extraventricular) T1",
    "Neurocitoma (Central - Intraventricular, Extraventricular) T1C+",
    "Neurocitoma (Central - Intraventricular, Extraventricular) T2",
    "Normal T1",
    "Normal T2",
    "Outros Tipos de Lesões (Abscessos, Cistos, Encefalopatias Diversas) T1",
    "Outros Tipos de Lesões (Abscessos, Cistos, Encefalopatias Diversas) T1C+",
    "Outros Tipos de Lesões (Abscessos, Cistos, Encefalopatias Diversas) T2",
    "Schwannoma T1",
    "Schwannoma T1C+",
    "Schwannoma T2",
]
_OWN_SETTINGS = {
    "byol": {"half_life": 1.0, "momentum": None, "pretrain": {"learning_rate": 0.0005}},
    "dino": {"half_life": 1.0, "momentum": None, "output_dim": 1024, "local_area": [0.2, 0.4]},
}
METHODS = ("simclr", "byol", "dino", "mocov3", "barlowtwins", "nnclr")
SIZES = {"train": 300, "val": 60, "test": 120}


def fabricate(
    folder: Path,
    *,
    classes: Sequence[str] = CLASSES,
    methods: Sequence[str] = ("simclr",),
    protocols: Sequence[str] = ("grouped",),
    fractions: Sequence[LabelFraction] = (0.1, 1.0),
    seeds: int = 2,
    source: str = "mri44",
    patients: bool = False,
    group_size: int = 3,
    extras: bool = True,
    collapsed: Sequence[str] = (),
    analysed: bool = False,
) -> Path:
    """Write a study folder; without `extras`, `results.json` alone.

    With `analysed` there is a control on random labels, what `analyse` finds, what fine-tuned
    models say of images without label, maps of features, and explanations of the first seed.

    Linear probes keep no history, as those that are solved and not trained. Of the `collapsed`
    methods the last seed has collapsed.
    """
    rng = np.random.default_rng(0)
    truth = _truth(rng, len(classes))
    rows: list[dict[str, Any]] = []
    arms = [(m, s) for m in methods for s in ("linear", "finetune")]
    others = [("untrained", "linear"), ("supervised", "supervised")]
    control = [("random_labels", "linear")] * analysed
    for protocol in protocols:
        for fraction in fractions:
            labelled = round(SIZES["train"] * fraction) if isinstance(fraction, float) else 8
            for method, stage in (
                arms + others + control * (analysed and fraction == max(fractions))
            ):
                for seed in range(seeds):
                    name = method if method == stage else f"{stage}-{method}"
                    step = f"{name}-{protocol}-f{fraction:g}-s{seed}"
                    skill = (
                        1.2
                        + 1.6 * (labelled / SIZES["train"]) ** 0.5
                        + (0.6 if stage == "finetune" else 0.0)
                    )
                    skill *= 0.3 if method == "untrained" else 1.0
                    skill *= 0.0 if method == "random_labels" else 1.0
                    skill += 0.8 if protocol != "grouped" else 0.0
                    predictions = _predictions(rng, truth, classes, skill, group_size)
                    if extras:
                        place = folder / "steps" / step
                        place.mkdir(parents=True)
                        predictions.save(place / "predictions.parquet")
                        if stage != "linear":
                            _history(rng, validated=True).to_csv(place / "history.csv", index=False)
                    key = {
                        "method": method,
                        "stage": stage,
                        "protocol": protocol,
                        "label_fraction": fraction,
                        "label_share": labelled / SIZES["train"],
                        "labelled": labelled,
                        "seed": seed,
                        "seconds": 12.5,
                        "step": f"steps/{step}",
                    }
                    rows += [key | _scores(rng, predictions, split) for split in SIZES]
    if extras:
        _pretrained(rng, folder, methods, protocols, seeds, collapsed)
        _beside(rng, folder, classes)
    facts = _facts(classes, methods, protocols, fractions, seeds, source, truth)
    facts["audit"] = audited(patients=patients)
    for split in facts["splits"].values():
        split["groups"] = {name: n // group_size for name, n in SIZES.items()}
    folder.mkdir(parents=True, exist_ok=True)
    analysis: dict[str, Any] = {}
    if analysed:
        _explained(rng, folder, [*arms, ("supervised", "supervised")], protocols[0])
        _strange(rng, folder, classes)
        _mapped(rng, folder, methods, protocols[0]).save(folder / PROJECTIONS)
        analysis = analyse(folder, rows, EvaluationSettings(draws=100))
    held = {"study": facts, "rows": rows, "analysis": analysis}
    text = json.dumps(held, indent=1, allow_nan=False)
    (folder / "results.json").write_text(text, encoding="utf-8")
    return folder


@cache
def audited(*, patients: bool) -> dict[str, Any]:
    """Audit a folder of two classes: near-duplicates, a picture under both, an unreadable file."""
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images"
        paths = [f"{label}/{i}.png" for label in ("Glioma T1", "Normal T1") for i in range(8)]
        for place, path in enumerate(paths):
            rng = np.random.default_rng(place // 2)
            smooth = gaussian_filter(rng.standard_normal((48, 48)), 2)
            # Every other picture is the one before it, a little brighter.
            levels = (128 + 40 * smooth / smooth.std()) * (1.05 if place % 2 else 1.0)
            (images / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(images / path)
        (images / "Normal T1" / "same.png").write_bytes((images / paths[0]).read_bytes())
        (images / "Normal T1" / "broken.png").write_bytes(b"nonsense")
        if patients:
            owners = [f"{path},p{place // 4}" for place, path in enumerate(paths)]
            table = "\n".join(["path,patient", *owners, "Normal T1/same.png,p0"])
            (Path(scratch) / "patients.csv").write_text(table, encoding="utf-8")
        return audit_scan(scan(Path(scratch)))


def _truth(rng: np.random.Generator, k: int) -> dict[str, np.ndarray]:
    weights = 1.0 / (1.0 + np.arange(k))
    return {
        split: np.concatenate([np.arange(k), rng.choice(k, n - k, p=weights / weights.sum())])
        for split, n in SIZES.items()
    }


def _predictions(
    rng: np.random.Generator,
    truth: dict[str, np.ndarray],
    classes: Sequence[str],
    skill: float,
    group_size: int,
) -> Predictions:
    labels = np.concatenate(list(truth.values())).astype(np.int64)
    splits = [split for split, part in truth.items() for _ in part]
    logits = rng.normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += skill
    return Predictions.build(
        image_ids=[f"image-{i}" for i in range(len(labels))],
        groups=np.arange(len(labels), dtype=np.int64) // group_size,
        splits=splits,
        labels=labels,
        logits=logits,
        classes=classes,
    )


def _strange(rng: np.random.Generator, folder: Path, classes: Sequence[str]) -> None:
    """Let fine-tuned models say something of images without label."""
    n = 40
    for step in sorted(folder.glob("steps/finetune-*")):
        Unlabelled(
            image_ids=tuple(f"strange-{i}" for i in range(n)),
            groups=np.arange(n, dtype=np.int64) // 2,
            logits=rng.normal(size=(n, len(classes))).astype(np.float32),
            classes=tuple(classes),
        ).save(step / UNLABELLED)


def _scores(rng: np.random.Generator, predictions: Predictions, split: str) -> dict[str, Any]:
    part = predictions.of(split)
    metrics = evaluate(part.labels, part.probabilities())
    by_class = per_class(part.labels, part.probabilities(), part.classes)
    return {
        "split": split,
        "n": len(part),
        "metrics": {name: _known(value) for name, value in metrics.items()},
        "intervals": {name: _around(rng, value) for name, value in metrics.items()},
        "per_class": {
            name: {
                **{metric: _known(value) for metric, value in scores.items()},
                "intervals": {
                    metric: _around(rng, value)
                    for metric, value in scores.items()
                    if metric != "support"
                },
            }
            for name, scores in by_class.items()
        },
    }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _around(rng: np.random.Generator, value: float) -> list[float] | None:
    if not np.isfinite(value):
        return None
    low, high = rng.uniform(0.02, 0.06, 2)
    return [value - low, value + high]


def _history(rng: np.random.Generator, *, validated: bool) -> pd.DataFrame:
    epochs = np.arange(1, 21)
    loss = 0.4 + 2.2 * np.exp(-epochs / 6) + rng.normal(0, 0.03, len(epochs))
    return pd.DataFrame(
        {
            "epoch": epochs,
            "train_loss": loss,
            "val_loss": loss + 0.3 + rng.normal(0, 0.05, len(epochs)) if validated else None,
            "lr": 1e-3,
            "seconds": 4.2,
        }
    )


def _pretrained(
    rng: np.random.Generator,
    folder: Path,
    methods: Sequence[str],
    protocols: Sequence[str],
    seeds: int,
    collapsed: Sequence[str],
) -> None:
    for method in methods:
        for protocol in protocols:
            for seed in range(seeds):
                step = folder / "steps" / f"pretrain-{method}-{protocol}-s{seed}"
                step.mkdir(parents=True)
                _history(rng, validated=False).to_csv(step / "history.csv", index=False)
                failed = method in collapsed and seed == seeds - 1
                seen = _seen(rng, method, failed=failed)
                (step / "collapse.json").write_text(json.dumps(seen), encoding="utf-8")
                own: dict[str, Any] = {"resolved": {}}
                if method in ("byol", "dino", "mocov3"):
                    why = "a half-life of 1 × the 58 steps of an epoch"
                    own["resolved"] = {"momentum": {"value": 0.9881203138880518, "reason": why}}
                (step / "settings.json").write_text(json.dumps(own), encoding="utf-8")


def _seen(rng: np.random.Generator, method: str, *, failed: bool) -> dict[str, Any]:
    """Return what the sentinel would write: health that grows, or ends at epoch 4."""
    epochs = []
    reach = rng.uniform(0.5, 1.0)
    for epoch in range(21):
        grown = reach * (1 - np.exp(-epoch / 5))
        grown *= np.exp(-max(0, epoch - 3)) if failed else 1.0
        noise = rng.normal(0, 0.015, 4)
        teacher = {"teacher_entropy": None, "teacher_information": None, "answers": None}
        if method == "dino":
            teacher = {
                "teacher_entropy": 6.2 - 3 * grown,
                "teacher_information": 0.02 + 2.5 * grown,
                "answers": 1024,
            }
        epochs.append(
            {
                "epoch": epoch,
                "step": 50 * epoch,
                "knn_accuracy": 0.18 + 0.35 * grown + noise[0],
                "spread": 0.08 + 0.8 * grown + noise[1] / 2,
                "effective_rank": 4.0 + 45 * grown + 40 * noise[2],
                "similarity_gap": 0.01 + 0.5 * grown + abs(noise[3]),
                "alignment": 0.02 + 0.6 * grown,
                "uniformity": -0.03 - 2.4 * grown,
                **teacher,
            }
        )
    verdict = f"{method}: since epoch 4, all images get nearly the same embedding: lower the rate"
    return {"method": method, "k": 5, "verdict": verdict if failed else None, "epochs": epochs}


def _beside(rng: np.random.Generator, folder: Path, classes: Sequence[str]) -> None:
    store = folder / "store"
    store.mkdir(parents=True)
    n, side = 6 * len(classes), 48
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radius = rng.uniform(0.6, 0.9, (n, 1, 1))
    head = 160 * (x**2 + y**2 < radius**2) + rng.normal(20, 8, (n, side, side))
    np.save(store / "images.npy", head.clip(0, 255).astype(np.uint8))
    first = sum(SIZES.values()) - n  # the last ones are test images
    pd.DataFrame(
        {
            "image_id": [f"image-{first + i}" for i in range(n)],
            "label": [classes[i % len(classes)] for i in range(n)],
            "group": [i // 2 for i in range(n)],
            "plane": [("axial", "axial", "coronal", None)[i % 4] for i in range(n)],
        }
    ).to_parquet(store / "manifest.parquet")
    (folder / "audit").mkdir()
    (folder / "audit" / "audit.html").write_text("<p>audit</p>", encoding="utf-8")


def _explained(
    rng: np.random.Generator, folder: Path, arms: Sequence[tuple[str, str]], protocol: str
) -> None:
    """Write explanations of eight test images, in two of which no lesion is known."""
    steps: list[dict[str, str]] = []
    names = [f"image-{i}" for i in range(SIZES["train"] + SIZES["val"], sum(SIZES.values()), 15)]
    kinds = ("gradcam", "gradcampp", "eigencam")
    keys = {"image_id": names, "group": [int(n.partition("-")[2]) // 3 for n in names]}
    for method, stage in arms:
        step = f"{method if method == stage else f'{stage}-{method}'}-{protocol}-f1-s0"
        steps.append({"step": step, "method": method, "stage": stage})
        home = folder / FOLDER / step
        (home / "overlays").mkdir(parents=True)
        frames = []
        for kind in (*kinds, "random", "centre"):
            values = {name: rng.uniform(0.1, 0.4, len(names)) for name in MEASURES}
            for name in LOCALISATION:
                values[name] += 0.3 if kind in kinds and stage == "finetune" else 0.0
                values[name][:2] = np.nan
            frames.append(pd.DataFrame(keys | {"map": kind} | values))
        pd.concat(frames, ignore_index=True).to_parquet(home / "measures.parquet")
        for name in names:
            for kind in kinds:
                pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / "overlays" / f"{name}-{kind}.png")
        facts = {
            "images": len(names),
            "groups": len(set(keys["group"])),
            "with_lesion": len(names) - 2,
            "layer": None,
            "grid": [3, 3],
            "empty": dict.fromkeys(kinds, 0.125),
            "cascade": {kind: {"head": 0.8, "layer4": 0.1} for kind in kinds},
            "made_from": {"slices": "digest"},
        }
        raw = {f"{kind}_raw": np.full((len(names), 3, 3), 2.0) for kind in kinds}
        raw["eigencam_raw"] *= 0
        np.savez(home / MAPS_FILE, image_ids=np.array(names), **raw)
        (home / EXPLANATIONS).write_text(json.dumps(facts), encoding="utf-8")
    index = {"protocol": protocol, "label_fraction": 1.0, "seed": 0, "slices": "digest"}
    index |= {"steps": steps, "left_out": []}
    (folder / FOLDER / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _mapped(
    rng: np.random.Generator, folder: Path, methods: Sequence[str], protocol: str
) -> Projections:
    """Return maps of the store's images on which they lie at random."""
    images = pd.read_parquet(folder / "store" / "manifest.parquet")
    n = len(images)
    encoders = [("untrained", "before"), ("supervised", "supervised")]
    encoders += [(method, moment) for method in methods for moment in ("pretrained", "finetuned")]
    maps = [
        images[["image_id", "label"]].assign(
            row=np.arange(n),
            method=method,
            moment=moment,
            start="",
            trust=0.9,
            x=rng.normal(0, 10, n),
            y=rng.normal(0, 10, n),
        )
        for method, moment in encoders
    ]
    made_from = {"protocol": protocol, "label_fraction": 1.0, "seed": 0}
    facts = {"made_from": made_from, "left_out": [], "images": n}
    return Projections(pd.concat(maps, ignore_index=True), facts)


def _facts(
    classes: Sequence[str],
    methods: Sequence[str],
    protocols: Sequence[str],
    fractions: Sequence[LabelFraction],
    seeds: int,
    source: str,
    truth: dict[str, np.ndarray],
) -> dict[str, Any]:
    counts = {
        split: {name: int((labels == i).sum()) for i, name in enumerate(classes)}
        for split, labels in truth.items()
    }
    missing = "Class “Schwannoma T2” has 2 groups: it is not in the validation split."
    split = {
        "file": "splits/grouped.json",
        "digest": "3f0c9e1d" * 8,
        "seed": 0,
        "images": dict(SIZES),
        "unlabelled": 1234,
        "left_out": 2,
        "counts": counts,
        "warnings": [missing],
    }
    return {
        "brainssl": "0.1.0",
        "created": "2025-03-04T05:06:07+00:00",
        "command": f"brainssl study data/{source} runs/{source} --preset quick --seeds {seeds}",
        "source": source,
        "preset": "quick",
        "seed": 0,
        "seeds": seeds,
        "methods": list(methods),
        "protocols": list(protocols),
        "label_fractions": list(fractions),
        "classes": list(classes),
        "settings": {
            "encoder": {"name": "resnet18", "image_size": 96, "pretrained": False},
            "pretrain": {"epochs": 60, "batch_size": 128, "learning_rate": 0.0003},
            "finetune": {"epochs": 30, "patience": 10, "minimum_change": None},
            **{method: _OWN_SETTINGS.get(method, {"hidden_dim": 512}) for method in methods},
        },
        "reasons": {
            "finetune.epochs@0.1": "few labels: an epoch has few steps",
            "pretrain.epochs": "the quick preset fits two cores",
            "byol.half_life": "preset quick",
            "byol.pretrain.learning_rate": "set by hand",
        },
        "splits": dict.fromkeys(protocols, split),
        "environment": {"python": "3.11.2", "torch": "2.6.0", "device": "cpu", "cpus": 2},
        "warnings": [missing, "bf16 is slow on this processor; float32 was used."],
        "failed": [],
        "seconds": 5025.0,
    }


@pytest.fixture(scope="session")
def make_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that fabricates a study in a new folder."""

    def make(**what: Any) -> Path:
        return fabricate(tmp_path_factory.mktemp("study") / "out", **what)

    return make


@pytest.fixture(scope="session")
def study(make_study: Callable[..., Path]) -> Path:
    """Return a study of one method under one protocol, complete; not to be changed."""
    return make_study()


@pytest.fixture(scope="session")
def analysed_study(make_study: Callable[..., Path]) -> Path:
    """Return a study of two methods under two protocols with its analysis; not to be changed."""
    return make_study(
        methods=("simclr", "byol"), protocols=("grouped", "image"), fractions=(1.0,), analysed=True
    )


@pytest.fixture(scope="session")
def grid(make_study: Callable[..., Path]) -> Path:
    """Return a study of all methods at four label fractions; not to be changed.

    DINO's second seed has collapsed.
    """
    fractions = (0.05, 0.1, 0.25, 1.0)
    return make_study(classes=["a", "b"], methods=METHODS, fractions=fractions, collapsed=["dino"])
