"""The command line: the contract of names, exits and errors."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
from oracles.heads import bids
from PIL import Image
from typer.testing import CliRunner

from brainssl.cli import app
from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal

pytestmark = pytest.mark.usefixtures("hasty")

COMMANDS = (
    "phantom",
    "audit",
    "prepare",
    "pretrain",
    "probe",
    "finetune",
    "evaluate",
    "explain",
    "study",
    "predict",
    "embed",
    "export",
)
SETTINGS = {
    "encoder.name": "test_resnet",
    "pretrain.epochs": 1,
    "pretrain.batch_size": 8,
    "probe.epochs": 3,
    "finetune.epochs": 1,
    "finetune.batch_size": 8,
    "evaluation.draws": 20,
    "split.val_fraction": 0.2,
    "split.test_fraction": 0.2,
    "run.accelerator": "cpu",
}
FAST = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def said(*words: object) -> Any:
    """Run with `--json` and return the answer."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def prepared(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("cli") / "store"
    said("prepare", shared_folder, store, "--size", 32)
    return store


@pytest.fixture(scope="module")
def pretrained(prepared: Path) -> Path:
    out = prepared.parent / "ssl"
    answer = said("pretrain", prepared, out, "--method", "simclr", *FAST)
    assert Path(answer["encoder"]).is_file()
    return out


def test_every_command_has_help_with_an_example() -> None:
    for command in COMMANDS:
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"Example: brainssl {command}" in " ".join(result.output.split())


def test_help_is_light() -> None:
    """`--help` imports nothing heavy, so it answers at once."""
    code = (
        "import sys; from brainssl.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'lightning', 'pandas', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_from_a_folder_to_a_prediction(
    prepared: Path, pretrained: Path, shared_folder: Path
) -> None:
    folder = prepared.parent
    linear = said("probe", prepared, pretrained, folder / "linear", *FAST)
    tuned = said(
        "finetune",
        prepared,
        folder / "tuned",
        "--encoder",
        pretrained,
        "--label-fraction",
        0.5,
        *FAST,
    )
    scratch = said("finetune", prepared, folder / "scratch", "--logger", "tensorboard", *FAST)
    assert list((folder / "scratch" / "tensorboard").glob("events.*"))
    for rows, stage, method in (
        (linear, "linear", "simclr"),
        (tuned, "finetune", "simclr"),
        (scratch, "supervised", "supervised"),
    ):
        assert {row["split"] for row in rows} == {"train", "val", "test"}
        assert {(row["stage"], row["method"]) for row in rows} == {(stage, method)}
    assert tuned[0]["n"] < scratch[0]["n"]

    again = said("evaluate", prepared, folder / "tuned", folder / "again", *FAST[-4:])
    key = "accuracy"
    assert [r["metrics"][key] for r in again] == [r["metrics"][key] for r in tuned]

    explained = said("explain", prepared, folder / "tuned", folder / "explained", "--images", 3)
    assert explained["images"] == 3
    assert (folder / "explained" / "explanations.html").is_file()
    unknown = run("explain", prepared, folder / "tuned", folder / "no", "--maps", "scorecam")
    assert unknown.exit_code == 2
    assert "'scorecam' is none of gradcam, gradcampp, eigencam, layercam" in unknown.stderr

    image = next(shared_folder.rglob("*.png"))
    out = folder / "predictions.json"
    assert run("predict", folder / "tuned", image, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["predictions"][0]["file"] == str(image)
    told = run("predict", folder / "tuned", image.parent, "--patients", "folders", "--json")
    answer = json.loads(told.stdout)
    assert [(one["patient"], one["slices"]) for one in answer["patients"]] == [
        (image.parent.name, 8)
    ]
    assert "Each folder is a patient" in told.stderr


@pytest.mark.parametrize("asked", [True, False])
def test_a_collapse_ends_a_pretraining_only_where_it_is_asked_to(
    asked: bool, prepared: Path, tmp_path: Path
) -> None:
    """A rate that leaves no finite weight after a step: the sentinel speaks after two epochs."""
    sabotaged = [*FAST, "--set", "pretrain.learning_rate=1e30", "--set", "pretrain.epochs=4"]
    stop = ["--stop-on-collapse"] if asked else []
    result = run("pretrain", prepared, tmp_path / "ssl", *sabotaged, *stop)
    assert result.exit_code == 1
    fault = "simclr: since epoch 1, embeddings are not finite: lower the learning rate"
    told = " ".join(result.stderr.split())
    assert f"warning: {fault}" in told
    assert (f"stopped, as asked: {fault}" in told) == asked
    seen = json.loads((tmp_path / ".ssl.partial" / "collapse.json").read_text())
    assert seen["verdict"] == fault
    assert [row["epoch"] for row in seen["epochs"]] == list(range(3 if asked else 5))
    assert not (tmp_path / "ssl").exists()


def test_models_go_out_as_features_and_as_onnx(
    prepared: Path, pretrained: Path, tmp_path: Path
) -> None:
    embedded = said("embed", prepared, pretrained, tmp_path / "features.parquet")
    assert embedded["images"] == len(pd.read_parquet(tmp_path / "features.parquet")) == 24
    exported = said("export", pretrained, tmp_path / "encoder.onnx")
    assert exported["kind"] == "encoder"
    assert exported["facts"]["method"] == "simclr"
    assert (tmp_path / "encoder.onnx").stat().st_size > 100_000
    for command in (["embed", prepared, pretrained], ["export", pretrained]):
        again = run(*command, tmp_path / "encoder.onnx")
        assert again.exit_code == 1
        assert "exists already" in again.stderr


def test_models_go_out_for_timm_and_for_monai(
    prepared: Path, pretrained: Path, tmp_path: Path
) -> None:
    made = said("export", pretrained, "--hub", tmp_path / "hub")
    assert made == {"hub": str(tmp_path / "hub")}
    assert timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).num_classes == 0
    refused = run("export", pretrained, "--monai", tmp_path / "bundle")
    assert (refused.exit_code, "give a classifier" in refused.stderr) == (1, True)
    nothing = run("export", pretrained)
    assert (nothing.exit_code, "--hub" in nothing.stderr) == (2, True)
    again = run("export", pretrained, tmp_path / "encoder.onnx", "--hub", tmp_path / "hub")
    assert "exists already" in again.stderr
    assert not (tmp_path / "encoder.onnx").exists()


def test_all_stages_share_the_split_of_the_pretraining(prepared: Path, pretrained: Path) -> None:
    out = prepared.parent / "linear-other-seed"
    said("probe", prepared, pretrained, out, "--seed", 5, *FAST)
    assert (out / "split.json").read_bytes() == (pretrained / "split.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "exit_code", "needle"),
    [
        (["prepare", "nowhere", "out"], 1, "nowhere"),
        (["audit", "nowhere"], 1, "nowhere"),
        (["study", "nowhere", "out"], 1, "nowhere"),
        (["pretrain", "nowhere", "out"], 1, "nowhere"),
        (["predict", "nowhere", "x.png"], 1, "nowhere"),
        (["export", "nowhere", "x.onnx"], 1, "nowhere is missing"),
        (["embed", "nowhere", "gone", "x.parquet"], 1, "gone is missing"),
        (["study", "x", "out", "--methods", "simclr,simsiam"], 2, "simsiam"),
        (["study", "x", "out", "--protocols", "random"], 2, "random"),
        (["study", "x", "out", "--label-fractions", "0,2"], 2, "label fraction"),
        (["study", "x", "out", "--set", "pretrain.epoch=3"], 2, "pretrain.epochs"),
        (["study", "x", "out", "--preset", "slow"], 2, "quick"),
        (["study", "x", "out", "--logger", "paper"], 2, "tensorboard, mlflow, wandb"),
        (["finetune", "x", "out", "--logger", "neptune"], 2, "tensorboard, mlflow, wandb"),
        (["finetune", "x", "out", "--label-fraction", "2"], 1, "x"),
        (["phantom", "out", "--patients", "0"], 2, "patients"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_bad_use_is_one_clear_line(
    words: list[str], exit_code: int, needle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == exit_code, result.output
    assert needle in result.stderr
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_finished_work_is_never_overwritten(prepared: Path, pretrained: Path) -> None:
    before = (pretrained / "encoder.safetensors").read_bytes()
    result = run("pretrain", prepared, pretrained, *FAST)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (pretrained / "encoder.safetensors").read_bytes() == before


def test_a_classifier_of_another_store_is_not_measured(
    prepared: Path, pretrained: Path, shared_folder: Path, tmp_path: Path
) -> None:
    linear = prepared.parent / "linear-for-other"
    said("probe", prepared, pretrained, linear, *FAST)
    said("prepare", shared_folder, tmp_path / "store48", "--size", 48)
    result = run("evaluate", tmp_path / "store48", linear, tmp_path / "out")
    assert result.exit_code == 1
    assert "48 px" in result.stderr


def test_a_store_decides_the_image_size(prepared: Path) -> None:
    """The quick preset says 64 px; the store holds 32 px and wins, unless one insists."""
    refused = run(
        "finetune", prepared, prepared.parent / "no", *FAST, "--set", "encoder.image_size=64"
    )
    assert refused.exit_code == 1
    assert "--size 64" in refused.stderr


def test_an_encoder_is_not_measured_on_another_split(
    prepared: Path, pretrained: Path, tmp_path: Path
) -> None:
    """Without its split.json, another seed would draw a test set that pretraining has seen."""
    moved = tmp_path / "encoder.safetensors"
    moved.write_bytes((pretrained / "encoder.safetensors").read_bytes())
    result = run("probe", prepared, moved, tmp_path / "out", "--seed", 5, *FAST)
    assert result.exit_code == 1
    assert "another store or split" in result.stderr
    assert said("probe", prepared, moved, tmp_path / "same", *FAST)


def test_the_balanced_protocol_is_for_studies(prepared: Path, tmp_path: Path) -> None:
    result = run("finetune", prepared, tmp_path / "out", "--protocol", "paper")
    assert result.exit_code == 2


def test_a_store_is_not_audited(prepared: Path) -> None:
    result = run("audit", prepared)
    assert result.exit_code == 1
    assert "prepared store" in result.stderr


def study_words(source: Path, out: Path) -> list[object]:
    return [
        "study",
        source,
        out,
        "--methods",
        "simclr",
        "--label-fractions",
        "1",
        "--seeds",
        "1",
        "--no-classical",
        *FAST,
    ]


def test_a_study_tells_beforehand_what_it_would_do(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = said(*study_words(prepared, out), "--dry-run", "--jobs", 2)
    assert [step["step"] for step in told["steps"]] == [
        "linear-untrained-grouped-f1-s0",
        "linear-random_labels-grouped-f1-s0",
        "pretrain-simclr-grouped-s0",
        "linear-simclr-grouped-f1-s0",
        "finetune-simclr-grouped-f1-s0",
        "supervised-grouped-f1-s0",
    ]
    assert told["seconds"] > 0
    assert not out.exists()
    assert "6 steps, 0 finished" in run(*study_words(prepared, out), "--dry-run").stdout


@pytest.mark.parametrize(
    "jobs", [1, pytest.param(2, marks=pytest.mark.thorough)], ids=["alone", "shared"]
)
def test_a_study_is_whole_and_damage_is_mended(prepared: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    answer = said(*study_words(prepared, out), "--jobs", jobs)
    assert answer["failed"] == []
    assert Path(answer["report"]).is_file()
    rows = json.loads(Path(answer["results"]).read_text())["rows"]
    assert len(rows) == 5 * 3  # arms and splits
    file = out / "steps" / "linear-untrained-grouped-f1-s0" / "classifier.safetensors"
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again = run(*study_words(prepared, out))
    assert again.exit_code == 0
    assert f"warning: {file} is not what was written" in again.stderr
    done = re.findall(r"^(?:\[\S+\] )?(.+): done in", again.stderr, re.MULTILINE)
    assert done == [
        "linear-untrained-grouped-f1-s0",
        "maps of features",
        "explanations",
        "analysis",
        "report",
    ]


@pytest.mark.parametrize(
    "words", [("audit", ""), ("audit", "x", "--labels="), ("predict", "c", "")]
)
def test_an_empty_word_names_no_folder(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "an empty word was given" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--folds", 3, "--leave-out", "site"), "--folds and --leave-out both divide the images"),
        (("--folds", 0), "--folds"),
        (("--leave-out", "site"), "the column site is not known"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    prepared: Path, tmp_path: Path, words: tuple[object, ...], told: str
) -> None:
    result = run("study", prepared, tmp_path / "out", *words)
    assert result.exit_code in (1, 2)
    assert told in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_package_runs_as_a_module() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "brainssl", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("brainssl ")


def test_a_terminal_that_cannot_show_a_name_does_not_cost_the_answer(tmp_path: Path) -> None:
    """A class `ż` on a terminal of another code page, a folder whose name is not UTF-8."""
    generator = np.random.default_rng(0)
    home = tmp_path / os.fsdecode(b"odd-\xe9")
    for name in ("ż", "glioma"):
        (home / name).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 255, (48, 48), dtype=np.uint8)
            Image.fromarray(pixels).save(home / name / f"{number}.png")
    beside = {name: Path(f"{home}-{name}") for name in ("audit", "store", "study")}
    commands = (
        ["audit", home, "--out", beside["audit"]],
        ["prepare", home, beside["store"], "--size", "32"],
        ["study", home, beside["study"], "--dry-run", "--methods", "simclr", *FAST],
    )
    words = [[os.fsencode(word) for word in command] for command in commands]
    code = (
        "import os; from brainssl.cli import app; from brainssl.hardware import speed\n"
        "speed._SECONDS = 0.02  # as `hasty`\n"
        f"for words in {words!r}: app([*map(os.fsdecode, words)], standalone_mode=False)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_results_are_not_written_among_the_images(image_folder: Path) -> None:
    for words in (
        ("study", image_folder, image_folder / "runs/study", "--dry-run"),
        ("prepare", image_folder, image_folder / "store"),
        ("audit", image_folder, "--out", image_folder / "audit"),
    ):
        result = run(*words)
        assert result.exit_code == 2
        assert "choose one outside of it" in result.stderr


@pytest.mark.parametrize("key", ["pretrain.batch_size", "finetune.batch_size"])
def test_a_batch_of_one_is_refused(prepared: Path, tmp_path: Path, key: str) -> None:
    result = run("pretrain", prepared, tmp_path / "out", *FAST, "--set", f"{key}=1")
    assert result.exit_code == 2
    assert f"{key} = 1: input should be greater than or equal to 2" in result.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--slices", "many"), "--slices: 'many' is no number of slices"),
        (("--plane", "axail"), "did you mean axial?"),
        (("--label-by", "scanner"), "--label-by: 'scanner' is none of sequence, plane"),
        (("--classes-at", "1"), "--classes-at is of folders of pictures"),
        (("--reader", "1"), "volumes are read by version 2"),
    ],
)
def test_bad_options_of_volumes_are_one_line(
    tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    answer = run("prepare", bids(tmp_path / "bids", 1), tmp_path / "out", *words)
    assert answer.exit_code == 2
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("brainssl: ")
    assert reason in last
    assert not (tmp_path / "out").exists()


def test_a_key_lies_neither_among_images_nor_among_results(tmp_path: Path) -> None:
    source, out = bids(tmp_path / "bids", 1), tmp_path / "out"
    for key in (source / "a.key", out / "a.key"):
        answer = run("prepare", source, out, "--key", key)
        assert answer.exit_code == 2
        assert "choose another place" in answer.stderr


def test_an_archive_is_told_and_prepared(tmp_path: Path) -> None:
    source, store = bids(tmp_path / "bids", 3), tmp_path / "store"
    held = said("scan", source, "--slices", "4")
    assert (held["kind"], held["patients"], held["images"]) == ("bids", 3, 24)
    assert "To be read: 6 series" in run("scan", source).stdout
    options = ("--slices", "every:3", "--plane", "coronal", "--label-by", "sequence")
    made = said("prepare", source, store, "--size", "32", *options)
    assert made["classes"] == 2
    assert made["groups"] == 3
    manifest = ImageStore.open(store).manifest
    assert set(manifest["plane"]) == {"coronal"}


@pytest.mark.parametrize(
    ("number", "told", "code"),
    [
        (signal.SIGTERM, "brainssl: ended by SIGTERM; finished steps are kept", 143),
        (signal.SIGINT, "brainssl: interrupted; finished steps are kept", 130),
    ],
)
def test_a_signal_ends_a_command_with_one_line(
    number: signal.Signals, told: str, code: int, store: ImageStore, tmp_path: Path
) -> None:
    """In the middle of a training, after which Lightning would exit in its own way."""

    def tell(done: int, total: int) -> None:
        if done == 1:
            assert signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN)
            os.kill(os.getpid(), number)

    # In the background Ctrl-C is ignored; Ray leaves a handler of its own to later tests.
    began = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    had = {one: signal.signal(one, handler) for one, handler in began.items()}
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Terminal, "task", lambda *_: nullcontext(tell))
            result = run("pretrain", store.path, tmp_path / "out", "--method", "simclr", *FAST)
        assert result.exit_code == code
        assert result.stderr.strip().splitlines()[-1] == told
        assert {one: signal.getsignal(one) for one in began} == began
        assert not (tmp_path / "out").exists()
    finally:
        for one, handler in had.items():
            signal.signal(one, handler)
