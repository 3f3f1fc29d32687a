"""Every command has a function of the same name, with the same parameters, defaults and errors."""

import inspect
import json
import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import typer
from oracles.small_plan import small_plan
from typer.testing import CliRunner

import brainssl
from brainssl.api.answers import Answer, Rows
from brainssl.api.options import settings_of
from brainssl.cli import app
from brainssl.data.folds import Fold, split_name
from brainssl.data.prepare import write_store
from brainssl.data.scan import scan
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.storage import write_json
from brainssl.studies.grid import Step
from brainssl.studies.identity import identity

pytestmark = pytest.mark.usefixtures("hasty")

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
ONLY_COMMANDS = {"as_json"}  # a function returns what it would print
ONLY_FUNCTIONS = {"quiet"}  # of those that show how far they are
SMALL = [
    "encoder.name=test_resnet",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "probe.epochs=3",
    "finetune.epochs=1",
    "finetune.batch_size=8",
    "evaluation.draws=20",
    "split.val_fraction=0.2",
    "split.test_fraction=0.2",
    "run.accelerator=cpu",
]


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def said(*words: object) -> Any:
    """Run a command with `--json` and return the answer."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def as_json(answer: Any) -> Any:
    return json.loads(json.dumps(answer))


@pytest.mark.parametrize("name", COMMANDS)
def test_parameters_and_defaults_are_those_of_the_command(name: str) -> None:
    ours = dict(inspect.signature(getattr(brainssl, name)).parameters)
    theirs = dict(inspect.signature(COMMANDS[name].callback).parameters)
    for extra in ONLY_FUNCTIONS:
        ours.pop(extra, None)
    for extra in ONLY_COMMANDS:
        del theirs[extra]
    theirs.pop("form", None)  # likewise: how it is printed
    assert list(ours) == list(theirs)
    arguments = [p.name for p in COMMANDS[name].params if p.param_type_name == "argument"]
    for parameter in ours.values():
        default = theirs[parameter.name].default
        if isinstance(default, Path):
            default = str(default)
        # A label fraction may be `8-shot`: on the command line its default is a text.
        assert parameter.default == default or str(parameter.default) == default
        positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert positional == (parameter.name in arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_says_what_its_command_says(name: str) -> None:
    ours = inspect.getdoc(getattr(brainssl, name)) or ""
    theirs = inspect.getdoc(COMMANDS[name].callback) or ""
    assert ours.splitlines()[0].split(" all ")[0].rstrip(".") in " ".join(theirs.split())
    for parameter in inspect.signature(getattr(brainssl, name)).parameters:
        assert f"{parameter}: " in ours


def ranges() -> Iterator[tuple[str, str, str, int]]:
    """Yield each number that is out of a range: command, parameter, option, number."""
    for name, command in COMMANDS.items():
        hints = get_type_hints(command.callback, include_extras=True)
        for option in command.params:
            [info] = getattr(hints[option.name], "__metadata__", [None])
            for end, step in (("min", -1), ("max", 1)):
                if (limit := getattr(info, end, None)) is not None:
                    yield name, option.name, option.opts[0], limit + step


@pytest.mark.parametrize(("name", "parameter", "option", "value"), ranges())
def test_ranges_are_those_of_the_command(
    name: str,
    parameter: str,
    option: str,
    value: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(brainssl, name)
    needed = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is inspect.Parameter.empty
    ]
    with pytest.raises(BadUseError) as fault:
        function(*needed, **{parameter: value})
    told, reason = str(fault.value).split(": ", 1)
    assert told == option
    result = run(name, *needed, option, value)  # Typer refuses it, in words of its own
    assert result.exit_code == 2
    [limit] = [word for word in re.findall(r"\d+", result.stderr) if word in reason]
    assert int(limit) in (value - 1, value + 1)
    assert f"'{option}'" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "given", "options"),
    [
        ("audit", ["nowhere"], {}),
        ("audit", ["store"], {}),
        ("prepare", ["nowhere", "out"], {}),
        ("prepare", ["nowhere", "store"], {}),
        ("prepare", ["images", "out"], {"labels": "gone.csv"}),
        ("pretrain", ["nowhere", "out"], {}),
        ("pretrain", ["store", "out"], {"method": "simsiam"}),
        ("pretrain", ["store", "out"], {"protocol": "paper"}),
        ("probe", ["store", "gone", "out"], {}),
        ("finetune", ["store", "out"], {"logger": "neptune"}),
        ("finetune", ["store", "out"], {"overrides": ["encoder.image_size=64"]}),
        ("finetune", ["store", "out"], {"label_fraction": 2.0, "overrides": SMALL}),
        ("finetune", ["store", "out"], {"label_fraction": "few", "overrides": SMALL}),
        ("finetune", ["store", "out"], {"semi_supervised": "mixmatch", "overrides": SMALL}),
        ("evaluate", ["store", "gone", "out"], {}),
        ("explain", ["store", "gone", "out"], {"maps": "scorecam"}),
        ("predict", ["gone", "slice.png"], {}),
        ("external", ["gone", "images", "out"], {}),
        ("embed", ["store", "gone", "out"], {}),
        ("export", ["gone", "store"], {}),
        ("study", ["nowhere", "out"], {}),
        ("study", ["store", "out"], {"methods": "simclr,simsiam"}),
        ("study", ["store", "out"], {"protocols": "random"}),
        ("study", ["store", "out"], {"label_fractions": "half"}),
        ("study", ["store", "out"], {"label_fractions": "0,2"}),
        ("study", ["store", "out"], {"overrides": ["pretrain.epoch=3"]}),
        ("study", ["store", "out"], {"preset": "slow"}),
        ("report", ["nowhere"], {}),
        ("compare", [["nowhere"]], {}),
        ("compare", [["nowhere", "store"]], {}),
    ],
)
def test_faults_are_told_in_the_words_of_the_command(
    name: str,
    given: list[Any],
    options: dict[str, Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    words: list[object] = [*given[0]] if name == "compare" else [*given]
    names = {p.name: p.opts[0] for p in COMMANDS[name].params}
    for key, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [names[key], one]
    result = run(name, *words)
    with pytest.raises(BrainsslError) as fault:
        getattr(brainssl, name)(*given, **options)
    assert result.stderr.splitlines()[-1] == f"brainssl: {fault.value}"
    assert result.exit_code == (2 if isinstance(fault.value, BadUseError) else 1)
    assert not (folder / "out").exists()


@pytest.fixture(scope="module")
def folder(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a link to the images, `store`, and what a training makes of it in `runs`."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "images").symlink_to(shared_folder)
    brainssl.prepare(shared_folder, str(folder / "store"), size=32, quiet=True)
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Answer:
    made = brainssl.pretrain(folder / "store", folder / "ssl", overrides=SMALL, quiet=True)
    assert isinstance(made, Answer)
    return made


@pytest.fixture(scope="module")
def tuned(folder: Path, encoder: Answer) -> Path:
    store, out = str(folder / "store"), folder / "tuned"
    rows = brainssl.finetune(store, out, encoder=encoder["encoder"], overrides=SMALL, quiet=True)
    assert isinstance(rows, Rows)
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    assert repr(rows).splitlines()[-1] == f"Classifier, predictions and history are in {out}"
    return out


def test_a_semi_supervised_training_has_no_encoder_to_begin_with(
    folder: Path, encoder: Answer
) -> None:
    store, out = folder / "store", folder / "fixmatch"
    asked: dict[str, Any] = {"semi_supervised": "FixMatch", "overrides": SMALL, "quiet": True}
    with pytest.raises(BadUseError, match="leave out --encoder"):
        brainssl.finetune(store, out, encoder=encoder["encoder"], **asked)
    rows = brainssl.finetune(store, out, **asked)
    assert {(row["method"], row["stage"]) for row in rows} == {("fixmatch", "supervised")}


@pytest.fixture(scope="module")
def studied(folder: Path) -> Answer:
    made = brainssl.study(
        folder / "store",
        folder / "study",
        methods=["simclr"],
        label_fractions=[1],
        seeds=1,
        explained=2,
        classical=False,
        overrides=SMALL,
        quiet=True,
    )
    assert isinstance(made, Answer)
    return made


def test_data_are_judged_and_prepared(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    audited = brainssl.audit("images", out=tmp_path / "audit")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "audit: done in" in shown.err
    assert as_json(audited) == said("audit", "images", "--out", tmp_path / "again")
    assert audited.text.endswith(f"See {tmp_path / 'audit' / 'audit.html'}")
    assert audited._repr_html_().startswith("<iframe srcdoc=")
    silent = brainssl.audit("images", out=None, quiet=True)
    assert silent == audited
    assert silent._repr_html_() is None
    assert capsys.readouterr().err == ""
    made = brainssl.prepare(scan(folder / "images"), tmp_path / "store", size=32)
    assert made["checksum"] == ImageStore.open(folder / "store").checksum
    assert repr(made) == f"24 images, 3 classes, 24 groups in {tmp_path / 'store'}"
    with pytest.raises(BadUseError, match="a scan has its labels"):
        brainssl.prepare(scan(folder / "images"), tmp_path / "no", labels="map.csv")
    told = brainssl.scan(folder / "images", quiet=True)
    assert as_json(told) == said("scan", folder / "images")
    with pytest.raises(BadUseError, match="holds no images"):
        brainssl.prepare(told, tmp_path / "no")


def test_patients_are_simulated(tmp_path: Path) -> None:
    made = brainssl.phantom(tmp_path / "phantom", patients=2, size=64, quiet=True)
    assert made == {"phantom": str(tmp_path / "phantom")}
    assert list((tmp_path / "phantom" / "images").rglob("*.png"))
    with pytest.raises(BrainsslError, match="exists and is not empty"):
        brainssl.phantom(tmp_path / "phantom")


def test_a_model_is_trained_measured_and_explained(
    folder: Path, encoder: Answer, tuned: Path, tmp_path: Path
) -> None:
    store = folder / "store"
    assert encoder["method"] == "simclr"
    out = tmp_path / "linear"
    linear = brainssl.probe(store, folder / "ssl", out, overrides=SMALL, seed=0, quiet=True)
    words = [word for one in SMALL for word in ("--set", one)]
    again = said("probe", store, folder / "ssl", tmp_path / "again", *words)
    assert [row["metrics"] for row in as_json(linear)] == [row["metrics"] for row in again]
    measured = brainssl.evaluate(
        store, tuned, tmp_path / "measured", overrides="evaluation.draws=9"
    )
    assert [row["stage"] for row in measured] == ["finetune"] * 3
    explained = brainssl.explain(
        store, tuned, tmp_path / "explained", maps=["gradcam"], images=2, quiet=True
    )
    assert explained["maps"] == ["gradcam"]
    assert "Gallery: " in explained.text
    assert "<iframe" in explained._repr_html_()


def test_a_model_is_used(folder: Path, tuned: Path, tmp_path: Path) -> None:
    images = sorted((folder / "images" / "Glioma T1").iterdir())
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    answer = brainssl.predict(tuned, [*map(str, images), bad], out=tmp_path / "said.json")
    assert json.loads((tmp_path / "said.json").read_text()) == as_json(answer)
    assert json.loads(run("predict", tuned, *images, bad).stdout) == as_json(answer)
    assert "error" in answer["predictions"][-1]
    # Alone and among others it differs by the rounding of float32: a batch sums in another order.
    [alone], first = brainssl.predict(tuned, images[0])["predictions"], answer["predictions"][0]
    assert alone.pop("probabilities") == pytest.approx(first["probabilities"], rel=1e-6)
    assert (alone["file"], alone["label"]) == (first["file"], first["label"])
    line = " ".join(answer.text.splitlines()[0].split())
    assert line.startswith(f"{images[0]}: {answer['predictions'][0]['label']}")

    features = brainssl.embed(folder / "store", tuned, tmp_path / "features.parquet", quiet=True)
    assert len(pd.read_parquet(features["features"])) == features["images"] == 24
    opened = brainssl.ImageStore.open(folder / "store"), brainssl.load_model(tuned)
    same = brainssl.embed(*opened, tmp_path / "again.parquet", quiet=True)
    np.testing.assert_array_equal(
        np.stack(pd.read_parquet(same["features"])["features"]),
        np.stack(pd.read_parquet(features["features"])["features"]),
    )
    exported = brainssl.export(tuned, str(tmp_path / "model.onnx"), quiet=True)
    assert exported["kind"] == "classifier"
    assert Path(exported["onnx"]).is_file()
    with pytest.raises(BrainsslError, match="of 24 labelled images are among those"):
        brainssl.external(tuned, folder / "store", tmp_path / "other", quiet=True)
    own = opened[0]
    facts = {"reader": own.reader}
    write_store(
        tmp_path / "mirrored", own.manifest, iter(own.images[:, :, ::-1]), size=32, facts=facts
    )
    other = brainssl.external(tuned, tmp_path / "mirrored", tmp_path / "other", quiet=True)
    assert other["images"] == 24
    assert "24 images of 24 groups, classes: accuracy" in other.text


def test_a_study_returns_its_results_and_shows_its_report(folder: Path, studied: Answer) -> None:
    out = folder / "study"
    held = json.loads((out / "results.json").read_text())
    assert {key: studied[key] for key in held} == held
    assert set(studied) - set(held) == {"report", "results", "failed"}
    assert studied["failed"] == []
    assert studied["results"] == str(out / "results.json")
    shown = studied._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    before, after = escape((out / "report.html").read_text()).split(escape("<head>"))
    assert f"{before}{escape('<head>')}" in shown
    assert after in shown
    assert shown.count("<") == 2  # all of the page is in the attribute
    best = out / studied["study"]["best"]["classifier"]
    assert best.is_file()
    told = [f"Results: {out / 'results.json'}", f"Report:  {out / 'report.html'}"]
    assert repr(studied).splitlines() == [*told, f"Best on validation: {best}"]
    words = studied["study"]["command"].split()
    assert words[:6] == [
        "brainssl",
        "study",
        *map(str, (folder / "store", out)),
        "--methods",
        "simclr",
    ]
    assert words.count("--set") == len(SMALL)
    assert "--no-classical" in words
    again = said(*words[1:])
    assert again == {"report": studied["report"], "results": studied["results"], "failed": []}


def test_a_study_is_foreseen_reported_and_compared(folder: Path, studied: Answer) -> None:
    del studied
    out = folder / "study"
    foreseen = brainssl.study(folder / "store", folder / "no", methods="byol", dry_run=True, jobs=2)
    assert foreseen["jobs"] == 2
    assert not (folder / "no").exists()
    published = brainssl.report(out, quiet=True)
    assert {row["method"] for row in published["rows"]} >= {"simclr", "supervised"}
    assert published.text == f"Report: {published['report']}"
    compared = brainssl.compare([str(out), out])
    assert as_json(compared) == said("compare", out, out)
    assert compared["models"][0]["scores"][1]["difference"] == 0


def test_without_a_wish_folds_test_every_image(folder: Path, tmp_path: Path) -> None:
    def divided(source: Path = folder / "store", **asked: object) -> set[str]:
        more: dict[str, Any] = {"methods": "simclr", "overrides": SMALL, "dry_run": True, **asked}
        steps = brainssl.study(source, tmp_path / "no", quiet=True, **more)["steps"]
        names = {str(one["step"]) for one in steps}
        return {name[23:] for name in names if name.startswith("finetune-simclr-grouped")} - {
            name[23:] for name in names if "-f0.1" in name
        }

    assert divided() == {f"-k{fold}of5-f1-s0" for fold in range(1, 6)}
    assert divided(seeds=1) == {"-f1-s0"}
    assert divided(folds=1) == {"-f1-s0", "-f1-s1"}
    assert divided(folds=2) == {"-k1of2-f1-s0", "-k2of2-f1-s0"}
    given = tmp_path / "given"
    for file in (folder / "images").rglob("*.png"):
        part = "Testing" if file.stem.endswith("1") else "Training"
        moved = given / part / file.parent.name / file.name
        moved.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, moved)
    # A given test set stays what it is.
    assert divided(given) == {"-f1-s0", "-f1-s1"}


def test_a_study_that_has_begun_goes_on_as_it_was_divided(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = folder / "store"
    plan = small_plan(store, settings=settings_of("quick", SMALL, store)[0])
    more: dict[str, Any] = {"methods": "simclr", "overrides": SMALL, "label_fractions": 1.0}

    def steps(out: Path, **asked: object) -> set[str]:
        answer = brainssl.study(plan.source, out, dry_run=True, **more, **asked)
        return {one["step"][23:] for one in answer["steps"] if "finetune-simclr" in one["step"]}

    def begun(name: str, *folds: Fold | None) -> Path:
        """Leave what an interrupted study of these folds does."""
        out = tmp_path / name
        write_json(out / "study.json", identity(plan))
        for fold in folds:
            write_json(out / "splits" / f"{split_name('grouped', fold)}.json", {})
            step = Step("linear", "untrained", "grouped", 0, 1.0, fold)
            (out / "steps" / step.name).mkdir(parents=True)
        return out

    five = begun("five", *(Fold(n, 5) for n in range(1, 6)))
    three = {f"-k{n}of5-f1-s{seed}" for n in range(1, 6) for seed in range(3)}
    capsys.readouterr()
    assert steps(five, seeds=3) == three
    said = " ".join(capsys.readouterr().err.split())
    assert "begun with 5 folds and goes on so" in said
    assert steps(five) == {name for name in three if name.endswith("s0")}
    assert "goes on so" not in capsys.readouterr().err
    assert steps(five, seeds=2, folds=1) == {"-f1-s0", "-f1-s1"}
    assert steps(five, folds=2) == {"-k1of2-f1-s0", "-k2of2-f1-s0"}
    one = begun("one", None)
    assert steps(one) == {"-f1-s0", "-f1-s1"}
    assert steps(one, seeds=1) == {"-f1-s0"}
    assert steps(one, folds=2) == {"-k1of2-f1-s0", "-k2of2-f1-s0"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"budget": 15}, "give a time such as 10m"),
        ({"seeds": "2"}, "--seeds: '2' is no whole number"),
        ({"seeds": 1.5}, r"--seeds: 1\.5 is no whole number"),
        ({"label_fractions": [None]}, "are no shares"),
        ({"label_fractions": "8-shots"}, "are no shares or shots"),
        ({"methods": "simlcr"}, "did you mean simclr"),
        ({"methods": "SimCLR,byol,simclr"}, "--methods: simclr stands there twice: name it once"),
        ({"protocols": ["image", "image"]}, "--protocols: image stands there twice"),
        ({"label_fractions": "0.1,8-shot,0.10"}, r"--label-fractions: 0\.1 stands there twice"),
        ({"starts": "random,random"}, "--starts: random: the same weights twice"),
        ({"jobs": 2, "cluster": "auto"}, "--jobs and --cluster both share the steps"),
        ({"storage": "s3://b/f"}, "--storage is between the machines of a cluster: give --cluster"),
    ],
)
def test_values_of_another_type_are_told_before_anything_is_measured(
    shared_folder: Path, tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(brainssl.BadUseError, match=told):
        brainssl.study(shared_folder, tmp_path / "out", dry_run=True, **asked)


def test_methods_may_be_written_as_they_are_called(shared_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = {"methods": "SimCLR,MoCoV3", "label_fractions": "0.5,2-shot", "seeds": 1}
    asked["overrides"] = SMALL
    foreseen = brainssl.study(shared_folder, out, dry_run=True, quiet=True, **asked)
    names = [one["step"] for one in foreseen["steps"]]
    assert "finetune-simclr-grouped-f0.5-s0" in names
    assert "finetune-simclr-grouped-f2-shot-s0" in names
    assert "pretrain-mocov3-grouped-s0" in names
    out.write_text("a file")
    with pytest.raises(brainssl.BrainsslError, match="out is a file"):
        brainssl.study(shared_folder, out, dry_run=True, quiet=True, **asked)
