"""The benchmark of the parts of fine-tuning, on a tiny store."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from brainssl.data.store import ImageStore
from brainssl.evaluation.predictions import Predictions
from brainssl.models.encoder import load_encoder
from brainssl.settings import load_settings

FILE = Path(__file__).parents[2] / "benchmarks" / "what_helps.py"
FAST = (
    "encoder.name=test_resnet",
    "pretrain.epochs=1",
    "finetune.epochs=2",
    "finetune.min_epoch_steps=0",
    "evaluation.draws=40",
    "run.accelerator=cpu",
)
COMBINED = "both=layer-decay,finetune.test_views=2"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("what_helps", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["what_helps"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def called(bench: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    sets = [word for setting in FAST for word in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["what_helps.py", *map(str, arguments), *sets])
    bench.main()


def test_every_part_is_of_settings_that_there_are_and_changes_them(bench: Any) -> None:
    plain = load_settings("quick")[0]
    changed = [load_settings("quick", list(part))[0] for part in bench.PARTS.values()]
    assert changed[0] == plain
    assert all(one.finetune != plain.finetune for one in changed[1:])
    assert len({one.model_dump_json() for one in changed}) == len(changed)


def test_figures_are_of_all_folds_and_validation_alone_chooses(
    bench: Any, shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "helps.json"
    own = ("--method", "simclr", "--only", "label-smoothing", "--combine", COMBINED)
    some = ("--folds", 2, "--label-fractions", "1.0", "--out", out)
    called(bench, monkeypatch, shared_store.path, *own, *some)
    found = json.loads(out.read_text())
    assert list(found["parts"]) == ["default", "label-smoothing", "both"]
    assert found["parts"]["both"]["settings"] == [
        "finetune.layer_decay=0.7",
        "finetune.test_views=2",
    ]
    figures = {name: part["fractions"]["1"] for name, part in found["parts"].items()}
    steps = tmp_path / "helps" / "steps"
    assert len(list(steps.iterdir())) == 6
    for name, told in figures.items():
        files = sorted(steps.glob(f"{name}-*-f1-k*-s0/predictions.parquet"))
        for split, key in (("val", "validation"), ("test", "test")):
            parts = [Predictions.load(file).of(split) for file in files]
            labels = np.concatenate([one.labels for one in parts])
            p = np.concatenate([one.probabilities() for one in parts])
            f1 = f1_score(labels, p.argmax(1), average="macro", labels=np.unique(labels))
            nll = log_loss(labels, p, labels=range(p.shape[1]))
            assert told[key]["f1_macro"] == pytest.approx(f1, abs=2e-5)
            assert told[key]["nll"] == pytest.approx(nll, abs=2e-5)
        assert (
            len(
                {
                    image
                    for file in files
                    for image in Predictions.load(file).of("test").frame["image_id"]
                }
            )
            == (shared_store.labels >= 0).sum()
        )
        for metric, pair in told.get("minus_default", {}).items():
            expected = told["validation"][metric] - figures["default"]["validation"][metric]
            assert pair["difference"] == pytest.approx(expected, abs=3e-5)
            assert pair["interval"][0] <= pair["interval"][1]
    assert "minus_default" not in figures["default"]
    assert set(figures["both"]["minus_default"]) == {"f1_macro", "nll", "accuracy"}
    best = found["chosen_on_validation"]["1"]
    validation = {name: told["validation"] for name, told in figures.items()}
    assert validation[best["f1_macro"]]["f1_macro"] == max(
        v["f1_macro"] for v in validation.values()
    )
    assert validation[best["nll"]]["nll"] == min(v["nll"] for v in validation.values())

    # Called again with one part more, it trains that alone.
    trained: list[Any] = []
    stage = bench.finetune_stage
    monkeypatch.setattr(
        bench, "finetune_stage", lambda *a, **k: (trained.append(a[2].name), stage(*a, **k))
    )
    own = ("--method", "simclr", "--only", "mixup,label-smoothing", "--combine", COMBINED)
    called(bench, monkeypatch, shared_store.path, *own, *some)
    assert {name.split("-")[0] for name in trained} == {"mixup"}
    assert len(trained) == 2
    again = json.loads(out.read_text())
    assert again["parts"]["both"] == found["parts"]["both"]
    with pytest.raises(SystemExit, match="begun with other settings or data"):
        called(
            bench, monkeypatch, shared_store.path, *own, *some, "--set", "finetune.batch_size=16"
        )

    # The same encoders, given: one a fold, and refused where they know the test images.
    encoders = sorted((tmp_path / "helps").glob("pretrain-k*"))
    other = (*some[:-1], tmp_path / "given.json", "--only", "default", "--encoders")
    called(bench, monkeypatch, shared_store.path, *other, *encoders)
    given = json.loads((tmp_path / "given.json").read_text())
    assert given["method"] == "simclr"
    assert given["parts"]["default"]["fractions"]["1"]["test"] == figures["default"]["test"]
    turned = (*some[:-1], tmp_path / "turned.json", "--only", "default", "--encoders")
    with pytest.raises(SystemExit, match="may hold images that it has learnt"):
        called(bench, monkeypatch, shared_store.path, *turned, *reversed(encoders))


def test_a_method_that_learns_from_labels_is_pretrained_with_those_of_each_training(
    bench: Any, shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("--method", "supcon", "--only", "default", "--label-fractions", "0.5", "--seeds", 2)
    out = tmp_path / "helps.json"
    called(bench, monkeypatch, shared_store.path, *own, "--folds", 2, "--out", out)
    facts = [load_encoder(made).facts for made in sorted((tmp_path / "helps").glob("pretrain-k*"))]
    assert [(one["label_fraction"], one["seed"]) for one in facts] == [(0.5, 0), (0.5, 1)] * 2
    assert len({one["split_digest"] for one in facts}) == 2
    assert list(json.loads(out.read_text())["parts"]["default"]["fractions"]) == ["0.5"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--only", "mixupp"), "no part mixupp"),
        (("--combine", "x=mixup,nothing"), "no part x"),
        (("--combine", "mixup=cutmix"), "mixup is the name of a part"),
        (("--encoders", "a", "b"), "not allowed with"),
    ],
)
def test_bad_use_is_refused_at_once(
    bench: Any,
    wrong: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        called(bench, monkeypatch, "x", "--method", "simclr", "--out", tmp_path / "a.json", *wrong)
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
