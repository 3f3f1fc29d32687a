"""The documentation says what the code does: settings, commands, columns, metrics, figures."""

import ast
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer

import brainssl
from brainssl.cli import app
from brainssl.data.manifest import MANIFEST_COLUMNS
from brainssl.data.store import ImageStore
from brainssl.evaluation.metrics import METRICS
from brainssl.methods import METHODS, build_method
from brainssl.models.encoder import build_encoder
from brainssl.reporting.titles import CLASSICAL
from brainssl.settings import Settings, flat, load_settings, preset_names
from brainssl.settings.starts import FILES
from brainssl.studies.estimate import duration
from brainssl.training.collapse import PATIENCE, SETTLED, Health, verdict

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
SAME = "–"


def tables(text: str) -> list[list[str]]:
    """Return the cells of every row of every table, headers and rules left out."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return [row for row in cells if not set("".join(row)) <= set("-| ")]


def sections(page: str) -> dict[str, str]:
    """Return a page's second-level headings with their text."""
    parts = re.split(r"^## (.+)$", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented_settings() -> dict[str, dict[str, str]]:
    """Return the cells of each setting's row by the heads of its table."""
    documented, heads = {}, []
    for page in ("reference/settings.md", "reference/method-settings.md"):
        for row in tables((DOCS / page).read_text("utf-8")):
            if row[0] == "Setting":
                heads = row
            else:
                documented[row[0].strip("`")] = dict(zip(heads, row, strict=True))
    return documented


def as_written(settings: Settings) -> dict[str, Any]:
    return dict(flat(settings.written()))


def read_cell(cell: str) -> Any:
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return None if value == "none" else value


DEFAULTS = as_written(Settings())
PRESETS = {name: as_written(load_settings(name)[0]) for name in preset_names()}
# What presets say of one method beside what they say of all.
OF_ONE_METHOD = {key for values in PRESETS.values() for key in values if key not in DEFAULTS}


def test_every_setting_is_documented_and_no_other() -> None:
    documented = list(documented_settings())
    assert documented[: len(DEFAULTS)] == list(DEFAULTS)
    assert set(documented[len(DEFAULTS) :]) == OF_ONE_METHOD
    assert len(documented) == len(DEFAULTS) + len(OF_ONE_METHOD)


@pytest.mark.parametrize("key", DEFAULTS)
def test_documented_values_are_those_of_the_code(key: str) -> None:
    row, default = documented_settings()[key], DEFAULTS[key]
    assert read_cell(row["Default"]) == default
    for preset, values in PRESETS.items():
        if values[key] == default:
            assert row[preset] == SAME
        else:
            assert read_cell(row[preset]) == values[key]


@pytest.mark.parametrize("key", sorted(OF_ONE_METHOD))
def test_documented_values_of_one_method_are_those_of_the_presets(key: str) -> None:
    row = documented_settings()[key]
    for preset, values in PRESETS.items():
        if key in values:
            assert read_cell(row[preset]) == values[key]
        else:
            assert row[preset] == SAME


def test_every_method_is_documented_and_no_other() -> None:
    titles = sections("reference/methods.md")
    assert [title.replace(" ", "").lower() for title in titles] == list(METHODS)
    commands = sections("reference/commands.md")["brainssl pretrain"]
    assert [name for name in METHODS if f"`{name}`" not in commands] == []


@pytest.mark.parametrize("name", METHODS)
def test_diagrams_are_those_of_the_script_and_show_the_networks_that_there_are(name: str) -> None:
    script = loaded(DOCS / "images" / "methods.py")
    assert list(script.METHODS) == list(METHODS)
    drawn = (DOCS / "images" / f"{name}.svg").read_text("utf-8")
    assert drawn == script.draw(script.METHODS[name])
    ET.fromstring(drawn)
    [shown] = [text for text in sections("reference/methods.md").values() if f"{name}.svg" in text]
    assert shown.strip().startswith(f"![{script.METHODS[name].title}: ")
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    method = build_method(name, encoder, getattr(Settings(), name))
    assert ('class="box teacher"' in drawn) == hasattr(method, "teacher")
    assert ("predictor q" in drawn) == hasattr(method, "predictor")
    branches = script.METHODS[name].branches
    assert all(branch.stopped for branch in branches if branch.teacher)


def test_the_method_of_the_manual_needs_no_more_than_it_says(
    tmp_path: Path, shared_store: ImageStore
) -> None:
    page = (DOCS / "how-to/add-a-method.md").read_text("utf-8")
    section, written = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [field] = re.findall(r"^    simsiam: .*$", page, re.MULTILINE)
    [line] = re.findall(r'^    "simsiam": .*$', page, re.MULTILINE)
    copy = tmp_path / "brainssl"
    shutil.copytree(ROOT / "src/brainssl", copy)
    sections_of_methods = copy / "settings/methods.py"
    with sections_of_methods.open("a", encoding="utf-8") as file:
        file.write(f"\n\n{section}")
    whole = copy / "settings/settings.py"
    put(whole, "    nnclr: NNCLRSettings = NNCLRSettings()\n", after=f"{field}\n")
    put(whole, "    SimCLRSettings,\n", after="    SimSiamSettings,\n")
    (copy / "methods/simsiam.py").write_text(written, "utf-8")
    put(copy / "methods/__init__.py", '    "nnclr": NNCLR,\n', after=f"{line}\n")
    put(
        copy / "methods/__init__.py",
        "from brainssl.methods.simclr import SimCLR\n",
        after="from brainssl.methods.simsiam import SimSiam\n",
    )
    own = ["pretrain.epochs=1", "simsiam.pretrain.batch_size=16", "simsiam.bottleneck_dim=8"]
    own += ["simsiam.hidden_dim=32", "simsiam.output_dim=32"]
    own += ["encoder.name=test_resnet", "encoder.image_size=32", "run.accelerator=cpu"]
    out = tmp_path / "out"
    store = str(shared_store.path)
    command = [sys.executable, "-c", "from brainssl.cli import app; app()", "pretrain", store]
    command += [str(out), "--method", "simsiam", *(word for o in own for word in ("--set", o))]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    saved = json.loads((out / "settings.json").read_text("utf-8"))
    assert saved["simsiam"]["bottleneck_dim"] == 8
    assert saved["pretrain"]["batch_size"] == 16
    watched = json.loads((out / "collapse.json").read_text("utf-8"))
    assert [row["epoch"] for row in watched["epochs"]] == [0, 1]


def put(file: Path, line: str, *, after: str) -> None:
    """Write `after` behind a line of a file."""
    text = file.read_text("utf-8")
    assert text.count(line) == 1
    file.write_text(text.replace(line, line + after), "utf-8")


def loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"again_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_of_weights_are_documented() -> None:
    rows = dict(row[:2] for row in tables((DOCS / "how-to/starting-weights.md").read_text("utf-8")))
    assert tuple(re.findall(r"`(.+?)`", rows["a file"])) == FILES


def test_measures_of_the_sentinel_are_documented() -> None:
    text = sections("why/collapse.md")["What is looked at"]
    named = {row[0].strip("`") for row in tables(text)[1:]}
    assert named == {field.name for field in fields(Health)} - {"epoch"}


def spoken(**measures: float) -> str:
    """Return what the sentinel says when epochs show these measures, and are healthy otherwise."""
    healthy = Health(
        epoch=1,
        step=SETTLED,
        knn_accuracy=0.5,
        spread=0.8,
        effective_rank=30.0,
        similarity_gap=0.4,
        alignment=0.5,
        uniformity=-2.0,
    )
    history = [replace(healthy, epoch=epoch, **measures) for epoch in range(1, PATIENCE + 1)]
    return verdict(history, "a method") or ""


def taught(*, told: float, used: float, share: float = 0.5) -> dict[str, float]:
    """Measures of a teacher: nats told of an image, answers used, share of the full entropy."""
    answers = round((used / math.exp(told)) ** (1 / share))
    return {
        "teacher_entropy": math.log(used) - told,
        "teacher_information": told,
        "answers": answers,
    }


def test_what_the_sentinel_says_is_documented_with_its_limits() -> None:
    text = sections("why/collapse.md")["What the sentinel says, and what to do"]
    rows = {row[0].strip('"'): re.findall(r"\d[\d.]*\b", row[1]) for row in tables(text)[1:]}
    same, undecided, alike, apart, infinite = rows
    assert PATIENCE == 2
    assert "two epochs in a row" in text
    assert f"Before step {SETTLED} " in text
    assert not spoken()
    assert infinite in spoken(spread=float("nan"))
    assert infinite in spoken(spread=float("nan"), step=SETTLED - 1)
    teacher = taught(told=1.0, used=50.0)
    for name, sentence in (("spread", alike), ("similarity_gap", apart)):
        for limit, others in zip(map(float, rows[sentence]), ({}, teacher), strict=True):
            assert sentence in spoken(**{name: 0.99 * limit}, **others)
            assert not spoken(**{name: 1.01 * limit}, **others)
            assert not spoken(**{name: 0.99 * limit}, **others, step=SETTLED - 1)
    nats, fewest = map(float, rows[same])
    assert not spoken(**taught(told=1.01 * nats, used=1.01 * fewest))
    assert same in spoken(**taught(told=0.99 * nats, used=1.01 * fewest))
    assert same in spoken(**taught(told=1.01 * nats, used=0.99 * fewest))
    [share] = map(float, rows[undecided])
    assert same in spoken(**taught(told=0.0, used=1000.0, share=0.98 * share))
    assert undecided in spoken(**taught(told=0.0, used=1000.0, share=1.02 * share))


def documented_commands() -> dict[str, str]:
    pages = ("commands", "commands-for-studies", "commands-for-models")
    return {k: v for page in pages for k, v in sections(f"reference/{page}.md").items()}


def test_every_command_is_documented_and_no_other() -> None:
    assert list(documented_commands()) == [f"brainssl {name}" for name in COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_documented_options_are_those_of_the_command(name: str) -> None:
    text = documented_commands()[f"brainssl {name}"]
    documented = {row[0].strip("`"): row[1].strip("`") for row in tables(text)[1:]}
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    words = {"None": "none", "False": "off", "True": "on"}
    assert documented == {p.opts[0]: words.get(str(p.default), str(p.default)) for p in options}
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            assert f"`{parameter.name.upper()}`" in text


def shown_commands() -> list[tuple[str, str]]:
    """Return each `brainssl ...` line of the shell blocks, with its page."""
    shown = []
    for page in PAGES:
        blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        shown += [(page.name, line) for line in lines if line.startswith("brainssl ")]
    return shown


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_shown_commands_exist_with_their_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    command = COMMANDS[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, page
    overrides = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    load_settings("quick", overrides)


def test_manifest_columns_and_metrics_are_documented() -> None:
    files = sections("reference/files.md")["Store"]
    assert [column for column in MANIFEST_COLUMNS if f"`{column}`" not in files] == []
    metrics = (DOCS / "reference/metrics.md").read_text("utf-8")
    assert [name for name in METRICS if f"`{name}`" not in metrics] == []


def test_near_duplicate_figures_are_the_measured_ones() -> None:
    text = (DOCS / "why/near-duplicates.md").read_text("utf-8")
    block = text.partition("<!-- near-duplicates:")[2].partition("<!-- near-duplicates: end -->")[0]
    measured = json.loads((ROOT / "results/near-duplicates-2cores.json").read_text("utf-8"))
    by_name = {
        (row["measure"], row["linkage"], row["threshold"]): row
        for row in measured["accuracy"]["rows"]
    }
    for measure, linkage, threshold, *figures in tables(block)[1:]:
        row = by_name[measure, linkage, None if threshold == SAME else float(threshold)]
        names = ("precision_patient", "recall_patient", "recall_series")
        assert figures == [str(row["largest"]), *(f"{row[name]:.2f}" for name in names)]


def test_scaling_figures_are_the_measured_ones() -> None:
    text = (DOCS / "why/near-duplicates.md").read_text("utf-8")
    block = text.partition("<!-- scaling:")[2].partition("<!-- scaling: end -->")[0]
    measured = json.loads((ROOT / "results/near-duplicates-2cores.json").read_text("utf-8"))
    assert tables(block)[1:] == [
        [
            f"{row['images']:,}",
            f"{row['seconds']:.0f}",
            f"{row['peak_gib']:.2f}",
            f"{row['precision_patient']:.2f}",
            f"{row['recall_patient']:.2f}",
        ]
        for row in measured["scaling"]["rows"]
    ]


def test_figures_of_changed_copies_are_the_measured_ones() -> None:
    text = (DOCS / "why/near-duplicates.md").read_text("utf-8")
    block = text.partition("<!-- turned:")[2].partition("<!-- turned: end -->")[0]
    measured = json.loads((ROOT / "results/turned-copies-2cores.json").read_text("utf-8"))
    sources = [{row["kind"]: row for row in one["kinds"]} for one in measured["sources"].values()]
    for kind, *figures in tables(block)[1:]:
        shares = [
            rows[kind][how]["in_its_group"] for rows in sources for how in ("without", "with")
        ]
        assert figures == [f"{100 * share:.0f}" for share in shares], kind
    assert all(
        one["with"].get("near_duplicates_of_two_patients", 0) == 0
        for one in measured["sources"].values()
    )
    _, fewer, more = measured["processor_seconds"]
    told = " ".join(text.split())
    assert f"{fewer['images']:,} took {fewer['with']:.0f} seconds instead of " in told
    assert f" instead of {fewer['without']:.0f}, and {more['images']:,} took " in told
    assert f" took {more['with']:.0f} instead of {more['without']:.0f}." in told


def test_burned_in_text_is_found_as_was_measured() -> None:
    text = (DOCS / "why/privacy.md").read_text("utf-8")
    block = text.partition("<!-- text:")[2].partition("<!-- text: end -->")[0]
    measured = json.loads((ROOT / "results/burned-in-text.json").read_text("utf-8"))["sources"]
    assert [row[1:] for row in tables(block)[1:]] == [
        [
            f"{one['as_they_are']}",
            f"{one['as_they_are_called_text']}",
            f"{100 * one['recall_in_air']['all']:.0f} %",
            f"{100 * one['recall_on_the_head']:.0f} %",
        ]
        for one in measured.values()
    ]


def test_divisions_are_as_near_as_was_measured() -> None:
    measured = json.loads((ROOT / "results/division-mri44.json").read_text("utf-8"))
    text = (DOCS / "why/training-with-labels.md").read_text("utf-8")
    block = text.partition("<!-- fractions:")[2].partition("<!-- fractions: end -->")[0]
    assert tables(block)[1:] == [
        [
            f"{100 * float(asked):g} %",
            f"{100 * got['share']:.1f} %",
            f"{100 * got['furthest_class']:.1f} points",
            f"{got['groups']:.0f}",
        ]
        for asked, got in measured["label_fractions"].items()
    ]
    both, alone = (measured["splits"][how] for how in ("groups counted", "images alone"))
    told = " ".join((DOCS / "why/splits.md").read_text("utf-8").split())
    figures = [round(100 * way[what]) for way in (both, alone) for what in ("groups", "images")]
    assert (
        "by {} % in the mean, its images by {} %; were images alone to count, by {} and {} %"
    ).format(*figures) in told


def test_what_folds_bring_is_what_was_measured() -> None:
    text = (DOCS / "why/folds.md").read_text("utf-8")
    block = text.partition("<!-- folds:")[2].partition("<!-- folds: end -->")[0]
    measured = json.loads((ROOT / "results/folds-2cores.json").read_text("utf-8"))["stores"]
    for (_, *cells), store in zip(tables(block)[1:], measured.values(), strict=True):
        one, folds = store["one_split"], store["folds"]
        assert cells == [
            f"{one['test_groups']:.0f} / {folds['test_groups']:.0f}",
            f"{one['width']['accuracy']:.1f} / {folds['width']['accuracy']:.1f}",
            f"{one['width']['f1_macro']:.1f} / {folds['width']['f1_macro']:.1f}",
            f"{100 * one['told_apart']['accuracy']:.0f} / "
            f"{100 * folds['told_apart']['accuracy']:.0f}",
        ]


def test_what_folds_bring_to_networks_is_what_was_measured() -> None:
    text = (DOCS / "why/folds.md").read_text("utf-8")
    block = text.partition("<!-- networks in folds:")[2].partition("<!-- networks in folds: end")[0]
    arms = {("untrained", "linear"), ("simclr", "linear"), ("simclr", "finetune")}
    arms |= {("supervised", "supervised")}
    found = []
    for collection in ("mri44", "phantom"):
        for fraction in (0.1, 1.0):
            cells = []
            for way in ("split", "folds"):
                study = json.loads((ROOT / f"results/{collection}-{way}-small.json").read_text())
                own = [
                    pair["interval"]
                    for pair in study["comparisons"]
                    if pair["label_fraction"] == fraction
                    if {(pair[s]["method"], pair[s]["stage"]) for s in ("first", "second")} <= arms
                ]
                assert len(own) == 6
                width = sum(100 * (high - low) for low, high in own) / 6
                told = sum(not low <= 0 <= high for low, high in own)
                groups = study["study"]["splits"]["grouped"]["groups"]["test"]
                cells.append((str(groups), f"{width:.1f}", str(told)))
            found.append([" / ".join(pair) for pair in zip(*cells, strict=True)])
    assert [row[2:] for row in tables(block)[1:]] == found


def test_the_coverage_of_intervals_is_the_measured_one() -> None:
    text = (DOCS / "reference/metrics.md").read_text("utf-8")
    block = text.partition("<!-- coverage:")[2].partition("<!-- coverage: end -->")[0]
    measured = json.loads((ROOT / "results/coverage.json").read_text("utf-8"))
    targets = ("accuracy", "f1_macro", "difference_accuracy", "difference_f1_macro")
    assert tables(block)[1:] == [
        [name, *(" / ".join(f"{100 * way[t]:.0f}" for way in found.values()) for t in targets)]
        for name, found in measured["settings"].items()
    ]


@pytest.mark.parametrize("name", sorted(brainssl.__all__))
def test_public_names_can_be_imported_and_are_documented(name: str) -> None:
    assert getattr(brainssl, name) is not None
    text = (DOCS / "reference/python.md").read_text("utf-8")
    assert name == "__version__" or f"`{name}`" in text


def test_snippets_import_what_there_is() -> None:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
    ]
    statements = [
        node
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("brainssl")
    ]
    assert statements
    for statement in statements:
        module = importlib.import_module(str(statement.module))
        unknown = {name.name for name in statement.names if not hasattr(module, name.name)}
        assert unknown <= {"SimSiamSettings"}  # of the method that a reader is shown how to add


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_stay_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= 150


NAMES = {"simclr": "SimCLR", "byol": "BYOL", "dino": "DINO", "mocov3": "MoCo v3"}
STAGES = {"linear": "linear probe", "finetune": "fine-tuned"}


def test_the_results_in_folds_are_those_of_the_committed_study() -> None:
    """Each score, difference and width on the page is one of all folds pooled."""
    study = json.loads((ROOT / "results" / "mri44-folds.json").read_text("utf-8"))
    page = (ROOT / "docs" / "why" / "results.md").read_text("utf-8")
    folds = study["study"]["splits"]["grouped"]["folds"]
    assert all(f"`{fold['digest'][:12]}`" in page for fold in folds)
    accuracy: dict[str, dict[float, str]] = {}
    for row in study["rows"]:
        if row["fold"] == "all":
            cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
            accuracy.setdefault(in_folds(row), {})[row["label_fraction"]] = cell
    assert len(accuracy) == 14
    for name, cells in accuracy.items():
        assert f"| {name} | {cells[0.1]} | {cells[1.0]} |" in page
    gains: dict[str, dict[float, str]] = {}
    for pair in study["comparisons"]:
        models = [in_folds(pair[end]) for end in ("first", "second")]
        if "supervised" not in models or "ensemble" in models:
            continue
        sign = 1 if models[1] == "supervised" else -1
        ends = sorted(sign * end for end in pair["interval"])
        told = gained({"difference": sign * pair["difference"], "interval": ends})
        bold = f"**{told}**" if ends[0] > 0 or ends[1] < 0 else told
        cell = f"{bold}, p = {pair['p_holm']:.3f}"
        gains.setdefault(models[models[0] == "supervised"], {})[pair["label_fraction"]] = cell
    told_of = {name: cells for name, cells in gains.items() if len(cells) == 2}
    assert len(told_of) == 10
    for name, cells in told_of.items():
        assert f"| {name} | {cells[0.1]} | {cells[1.0]} |" in page
    few, every = (
        told_of["SimCLR, fine-tuned"][share].strip("*").partition("**")[0].replace("+", "")
        for share in (0.1, 1.0)
    )
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert (
        f"**SimCLR is {few.replace(' (', ' points (')} ahead of labels alone with a tenth of the "
        f"labels** and {every} with all, where it has "
        f"{float(accuracy['SimCLR, fine-tuned'][1.0].split()[0]):.0f} %." in readme
    )
    small = json.loads((ROOT / "results" / "mri44-folds-small.json").read_text("utf-8"))
    alone = next(
        row["metrics"]["accuracy"]
        for row in small["rows"]
        if (row["method"], row["fold"], row["label_fraction"]) == ("supervised", "all", 1.0)
    )
    assert f"network with labels alone has {100 * alone:.0f}," in readme
    assert f"have {100 * alone:.1f} % with all labels, as much as" in " ".join(page.split())
    for pair in small["comparisons"]:
        ends = [(pair[end]["method"], pair[end]["stage"]) for end in ("first", "second")]
        if ends == [("simclr", "finetune"), ("supervised", "supervised")]:
            assert gained(pair) in page
    width = {(one["of"], one["label_fraction"]): one["width"] for one in study["widths"]}
    text = " ".join(page.split())
    assert (
        f"between networks are {width['all', 0.1]:.1f} and {width['all', 1.0]:.1f} points wide; in "
        f"a single fold, with a third of the groups, {width['single folds', 0.1]:.1f} and "
        f"{width['single folds', 1.0]:.1f}." in text
    )


def test_what_ended_the_baseline_early_is_told() -> None:
    study = json.loads((ROOT / "results" / "mri44-folds.json").read_text("utf-8"))
    page = (ROOT / "docs" / "why" / "results.md").read_text("utf-8")
    patience = load_settings("quick")[0].finetune.patience
    ended: dict[float, set[int]] = {}
    for row in study["rows"]:
        if row["method"] == "supervised" and row["fold"] != "all":
            kept = int(re.search(r"epoch (\d+)", row["chosen"])[1])  # type: ignore[index]
            ended.setdefault(row["label_fraction"], set()).add(kept + patience)
    # With all labels 29 epochs were the most: one training went that far.
    assert ended == {0.1: {23, 24}, 1.0: {23, 25, 29}}
    assert "after 23 to 25 of 29 epochs with all labels and 23 or 24 of 59 to 62 with a tenth" in (
        " ".join(page.split())
    )


def test_what_one_split_had_with_all_labels_is_as_measured() -> None:
    study = json.loads((ROOT / "results" / "mri44-methods.json").read_text("utf-8"))
    found: dict[str, list[float]] = {}
    for row in study["rows"]:
        if (row["split"], row["label_fraction"]) == ("test", 1) and row["method"] != "untrained":
            found.setdefault(row["stage"], []).append(100 * row["metrics"]["accuracy"])
    ends = {stage: (min(own), max(own)) for stage, own in found.items()}
    page = " ".join((DOCS / "why" / "results-on-one-split.md").read_text("utf-8").split())
    assert (
        "the probes had {:.0f} to {:.0f} %, fine-tuned models {:.0f} to {:.0f}, supervised "
        "training {:.1f} and {:.1f}.".format(
            *ends["linear"], *ends["finetune"], *found["supervised"]
        )
        in page
    )


def in_folds(row: dict[str, Any]) -> str:
    """Return what the page calls a model of the study in folds."""
    method = row["method"]
    made = {"decision_tree": "decision tree", "lda": "LDA", "svm": "SVM"}
    made["knn"] = "nearest neighbours"
    if method in made:
        return f"{made[method]}, hand-made features"
    return method if method in ("supervised", "ensemble") else arm(row)


def test_the_differences_are_the_committed_ones() -> None:
    """Each cell is a difference and its interval, bold if that lies above 0."""
    file = ROOT / "results" / "mri44-methods-differences.json"
    cells: dict[tuple[str, str], list[str]] = {}
    for row in json.loads(file.read_text("utf-8"))["differences"]:
        if row["baseline"] != "supervised" or row["method"] == "untrained":
            continue
        bold = f"**{gained(row)}**" if row["interval"][0] > 0 else gained(row)
        cells.setdefault((row["method"], row["stage"]), []).append(bold)
    page = (ROOT / "docs" / "why" / "results-on-one-split.md").read_text("utf-8")
    assert len(cells) == 8
    for (method, stage), numbers in cells.items():
        assert f"| {NAMES[method]}, {STAGES[stage]} | {' | '.join(numbers)} |" in page


def test_the_protocols_are_told_as_measured() -> None:
    """Each row of the three tables, from the committed study under three protocols."""
    study = json.loads((ROOT / "results" / "mri44-protocols.json").read_text("utf-8"))
    page = (ROOT / "docs" / "why" / "protocols.md").read_text("utf-8")
    accuracy: dict[str, list[str]] = {}
    for row in study["rows"]:
        told = (row["split"], row["label_fraction"]) == ("test", 1.0)
        if told and row["method"] != "random_labels":
            cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
            accuracy.setdefault(arm(row), []).append(cell)
    optimism: dict[str, list[str]] = {}
    for row in study["analysis"]["optimism"]:
        if row["label_fraction"] == 1.0:
            optimism.setdefault(arm(row), []).append(gained(row))
    assert set(map(len, accuracy.values())) == {3}
    assert set(map(len, optimism.values())) == {2}
    assert len(accuracy) == len(optimism) == 4
    for name, cells in [*accuracy.items(), *optimism.items()]:
        assert f"| {name} | {' | '.join(cells)} |" in page
    # Guessing in the committed study is to name the most frequent class, as the page says.
    assert "Guessing in this table, and in the committed file, is to name the most frequent" in page
    for row in study["analysis"]["random_labels"]:
        shares = f"{100 * row['accuracy']:.1f} | {100 * row['guessing']:.1f}"
        assert f"| {row['protocol']} | {shares} | {gained(row)} |" in page
        assert row["learnt"] == (row["protocol"] != "grouped")


def test_the_methods_on_the_phantom_are_told_as_measured() -> None:
    study = json.loads((ROOT / "results" / "phantom-methods.json").read_text("utf-8"))
    page = (ROOT / "docs" / "why" / "results-on-one-split.md").read_text("utf-8")
    untrained = {"method": "untrained", "stage": "linear"}
    gains = {
        pair["second"]["method"]: {
            "difference": -pair["difference"],
            "interval": [-end for end in reversed(pair["interval"])],
        }
        for pair in study["analysis"]["comparisons"]
        if pair["first"] == untrained and pair["metric"] == "accuracy"
        if pair["second"]["stage"] == "linear"
    }
    scores = {
        (row["method"], row["stage"]): measured(
            row["metrics"]["accuracy"], row["intervals"]["accuracy"]
        )
        for row in study["rows"]
        if row["split"] == "test"
    }
    titles = NAMES | {"barlowtwins": "Barlow Twins", "nnclr": "NNCLR"}
    assert set(gains) == set(titles)
    for method, gain in gains.items():
        assert gain["difference"] > 0
        cells = [scores[method, "linear"], gained(gain), scores[method, "finetune"]]
        assert f"| {titles[method]} | {' | '.join(cells)} |" in page
    for told in ("untrained", "linear"), ("supervised", "supervised"):
        assert scores[told] in page
    assert study["study"]["command"] in " ".join(page.replace("\\\n", " ").split())
    images = study["study"]["splits"]["grouped"]["images"]
    patients = study["study"]["splits"]["grouped"]["groups"]["test"]
    said = (
        f"{images['train']:,} training, {images['val']} validation and {images['test']} test slices"
    )
    assert f"{said} of {patients} patients" in page
    assert f"`{study['study']['splits']['grouped']['digest'][:12]}`" in page
    behind = {
        pair["first"]["method"]: pair["interval"][1] < 0
        for pair in study["analysis"]["comparisons"]
        if pair["second"]["method"] == "supervised" and pair["first"]["stage"] == "finetune"
    }
    assert {method for method, below in behind.items() if below} == {"dino", "barlowtwins", "nnclr"}
    assert len(behind) == 6


def test_the_sentinel_was_silent_on_the_phantom_after_every_epoch() -> None:
    study = json.loads((ROOT / "results" / "phantom-methods.json").read_text("utf-8"))
    assert len(study["collapse"]) == 6
    for seen in study["collapse"].values():
        history = [Health(**row) for row in seen["epochs"]]
        assert len(history) == 41
        for epochs in range(1, 42):
            assert verdict(history[:epochs], seen["method"]) is None


def test_what_is_said_of_protocols_and_methods_in_words_is_so() -> None:
    study = json.loads((ROOT / "results" / "mri44-protocols.json").read_text("utf-8"))
    gains = [
        100 * row["difference"]
        for row in study["analysis"]["optimism"]
        if row["label_fraction"] == 1 and row["method"] != "untrained"
    ]
    assert f"by {min(gains):.0f} to {max(gains):.0f} points" in (ROOT / "README.md").read_text()
    trained = [
        pair
        for pair in study["analysis"]["comparisons"]
        if (pair["protocol"], pair["label_fraction"]) == ("grouped", 1.0)
        if pair["metric"] == "accuracy"
        if not {pair["first"]["method"], pair["second"]["method"]} & {"untrained", "ensemble"}
    ]
    assert len(trained) == 3
    assert all(low <= 0 <= high for low, high in (pair["interval"] for pair in trained))
    phantom = json.loads((ROOT / "results" / "phantom-methods.json").read_text("utf-8"))
    above = [
        pair
        for pair in phantom["analysis"]["comparisons"]
        if pair["first"]["method"] == "untrained" and pair["metric"] == "accuracy"
        if pair["second"]["stage"] == "linear"
    ]
    assert sum(high < 0 for _, high in (pair["interval"] for pair in above)) == 2
    assert all(pair["p_holm"] > 0.05 for pair in above)


def arm(row: dict[str, Any]) -> str:
    """Return what the pages call a model."""
    if row["method"] == "supervised":
        return "supervised"
    name = {**NAMES, "untrained": "untrained encoder"}[row["method"]]
    return f"{name}, {STAGES[row['stage']]}"


def measured(share: float, interval: list[float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def gained(row: dict[str, Any]) -> str:
    """Return points and their interval, each with its sign."""
    numbers = [f"{100 * n:+.1f}" for n in (row["difference"], *row["interval"])]
    return "{} ({} to {})".format(*numbers).replace("-", "−")


def test_what_a_gpu_measured_is_told() -> None:
    page = (DOCS / "why" / "at-the-studys-size.md").read_text("utf-8")
    text = " ".join(page.split())
    found = json.loads((ROOT / "results" / "mri44-simclr-h100.json").read_text("utf-8"))
    assert all(
        " ".join(command.split()) in text.replace(" \\ ", " ") for command in found["commands"]
    )
    split = found["study"]["splits"]["grouped"]
    images = split["images"]
    for said in (
        f"digest `{split['digest'][:12]}`",
        f"{images['train']:,} training, {images['val']} validation",
        f"and {images['test']} test slices",
        f"({split['groups']['test']} groups), and {split['unlabelled']} without label",
    ):
        assert said in text
    scores: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row["split"] == "test" and row["method"] != "random_labels":
            cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
            scores.setdefault(arm(row), []).append(cell)
    assert len(scores) == 4
    for name, cells in scores.items():
        assert f"| {name} | {' | '.join(cells)} |" in page
    pairs = {
        (arm(pair["first"]), arm(pair["second"]), pair["label_fraction"]): pair
        for pair in found["comparisons"]
        if pair["metric"] == "accuracy" and pair["second"]["method"] != "ensemble"
    }
    probe = "SimCLR, linear probe"
    for name in (probe, "SimCLR, fine-tuned"):
        own = [pairs[name, "supervised", share] for share in (0.1, 1.0)]
        cells = [f"{gained(pair)}, p = {pair['p_holm']:.3f}" for pair in own]
        assert f"| {name} | {' | '.join(cells)} |" in page
    ends = [float(cells[-1].split()[0]) for name, cells in scores.items() if "probe" not in name]
    assert f"give {min(ends):.0f} to {max(ends):.0f} % here" in text
    assert f"{split['groups']['test']} test groups: the intervals are wide" in text
    corrected = [key for key, pair in pairs.items() if key[1:] == ("supervised", 0.1)]
    assert [key[0] for key in corrected if pairs[key]["p_holm"] < 0.05] == [probe]
    assert len([key for key in pairs if key[2] == 0.1]) == 6
    least = pairs["untrained encoder, linear probe", "supervised", 0.1]
    points = [100 * end for end in (least["difference"], *least["interval"])]
    assert f"{-points[0]:.1f} points (−{points[2]:.1f} to +{-points[1]:.1f})" in text
    images, size = found["training_images"]["0.1"], found["study"]["settings"]["finetune"]
    assert f"epoch of {images} slices has {images // size['batch_size']} steps" in text
    behind = pairs[probe, "supervised", 1.0]
    assert f"its probe is {-100 * behind['difference']:.0f} points behind" in text

    epochs, seconds = found["epochs_trained"], found["step_seconds"]
    tuned, fresh = "finetune-simclr-grouped-f{}-s0", "supervised-grouped-f{}-s0"
    asked = found["study"]["settings"]["finetune"]["epochs"]
    assert {epochs[fresh.format(share)] for share in ("0.1", "1")} == {asked}
    assert epochs[tuned.format("0.1")] == epochs[tuned.format("1")]
    assert f"at both label fractions after {epochs[tuned.format('1')]} of {asked} epochs" in text
    assert (
        f"took {sum(seconds.values()):.0f} seconds, shared by three processes: "
        f"{seconds['pretrain-simclr-grouped-s0']:.0f} for pretraining, "
        f"{seconds[tuned.format('1')]:.0f} for the {epochs[tuned.format('1')]} epochs of "
        f"fine-tuning with all labels and {seconds[fresh.format('1')]:.0f} for the {asked} of"
    ) in text
    chosen = {row["chosen"].split(",")[0] for row in found["rows"] if arm_is(row, probe, 1.0)}
    assert chosen == {"epoch 3"}
    assert "validation chose the third epoch" in text
    assert all(seen["verdict"] is None for seen in found["collapse"].values())


def arm_is(row: dict[str, Any], name: str, fraction: float) -> bool:
    known = row["method"] != "random_labels" and row["label_fraction"] == fraction
    return known and arm(row) == name


def test_the_speed_of_a_gpu_is_told_as_measured() -> None:
    page = " ".join((DOCS / "why" / "at-the-studys-size.md").read_text("utf-8").split())
    found = json.loads((ROOT / "results" / "throughput-h100.json").read_text("utf-8"))
    small, large, byol = found["cases"]
    speeds = [case["views_per_second"]["brainssl"] for case in (small, large)]
    shares = [100 * case["share_of_the_limit"] for case in (small, large, byol)]
    assert f"takes {speeds[0]:,.0f} views a second in batches of 32 and {speeds[1]:,.0f}" in page
    assert f"{shares[0]:.0f} and {shares[1]:.0f} % of what the bare model does" in page
    assert f"BYOL in batches of {byol['batch_size']} has {shares[2]:.0f} %" in page


def test_patient_aware_batches_are_told_as_measured() -> None:
    page = (ROOT / "docs" / "why" / "views.md").read_text("utf-8")
    for name in ("phantom", "mri44"):
        found = json.loads((ROOT / f"results/patient-aware-{name}.json").read_text("utf-8"))
        arms = [found["accuracy"][arm] for arm in ("any batches", "one image a group")]
        means = " | ".join(f"{100 * sum(seeds) / len(seeds):.1f} %" for seeds in arms)
        low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in found["interval"])
        low = low.replace("+0.0", "0.0")
        cell = f"{100 * found['difference']:+.1f} ({low} to {high})"
        assert f"{found['test_images']} test images" in page
        assert f"| {means} | {cell} |" in page


def test_classical_baselines_are_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "classical-mri44.json").read_text("utf-8"))
    page = (DOCS / "why" / "the-study.md").read_text("utf-8")
    text = " ".join(page.split())
    few, everything = (found["fractions"][share] for share in ("0.1", "1"))
    assert set(few) == set(everything) == set(CLASSICAL)
    for family, title in CLASSICAL.items():
        cells = [
            measured(own[family][name], own[family]["intervals"][name])
            for own in (few, everything)
            for name in ("accuracy", "f1_macro")
        ]
        seconds = f"{everything[family]['processor_seconds']:.0f}"
        assert f"| {' | '.join([title, *cells, seconds])} |" in page
    digest, cost = found["split"]["digest"], found["features"]
    assert f"digest `{digest[:12]}`, {found['images']['test']} test slices" in text
    assert f"at {found['image_size']} px" in text
    took = 1000 * cost["processor_seconds"] / cost["images"]
    assert f"The features took {took:.0f} ms of a processor an image" in text
    study = json.loads((ROOT / "results" / "mri44-methods.json").read_text("utf-8"))
    assert study["study"]["splits"]["grouped"]["digest"] == digest
    told = []
    for fraction in (0.1, 1.0):
        for method, stage in (("supervised", "supervised"), ("simclr", "linear")):
            place = (method, stage, fraction, "test")
            told += [
                f"{100 * row['metrics']['accuracy']:.1f}"
                for row in study["rows"]
                if (row["method"], row["stage"], row["label_fraction"], row["split"]) == place
            ]
    assert (
        "had {} and {} % and SimCLR's probe {} and {}; with all labels {} and {}, and {} and "
        "{}.".format(*told)
        in text
    )


def test_the_cost_of_maps_is_told_as_measured() -> None:
    bench = json.loads((ROOT / "results" / "explain-2cores.json").read_text("utf-8"))
    page = " ".join((DOCS / "why" / "explanations.md").read_text("utf-8").split())
    assert (bench["encoder"], bench["image_size"], bench["batch"]) == ("resnet50", 224, 64)
    assert all(bench["as_asked"].values())
    times = bench["times_grad_cam"]
    assert f"take {bench['three_maps_of_forward']:.2f} of the time" in page
    assert (
        f"{times['gradcam']:.1f} times as long for Grad-CAM, {times['gradcampp']:.1f} for "
        f"Grad-CAM++ and {times['eigencam']:.1f} for Eigen-CAM" in page
    )


def test_where_models_look_is_told_as_measured() -> None:
    study = json.loads((ROOT / "results" / "phantom-explanations.json").read_text("utf-8"))
    page = (DOCS / "why" / "explanations-measured.md").read_text("utf-8")
    assert f"`{study['study']['splits']['grouped']['digest'][:12]}`" in page
    accuracy = {
        (row["method"], row["stage"]): measured(
            row["metrics"]["accuracy"], row["intervals"]["accuracy"]
        )
        for row in study["rows"]
    }
    models = study["explanations"]["models"]
    assert len(models) == 9
    beaten = []
    for model in models:
        scores = {(score["map"], score["measure"]): score for score in model["scores"]}
        energy, pointing = (scores["gradcam", name] for name in ("energy_inside", "pointing"))
        cells = [
            arm(model),
            accuracy[model["method"], model["stage"]],
            f"{100 * pointing['mean']:.1f}",
            f"{100 * energy['mean']:.1f}",
            gained(energy["over"]["random"]),
            gained(energy["over"]["centre"]),
        ]
        assert f"| {' | '.join(cells)} |" in page
        beaten += [
            (kind, measure)
            for kind in ("gradcam", "gradcampp", "eigencam")
            for measure in ("energy_inside", "pointing")
            if scores[kind, measure]["over"]["centre"]["interval"][0] > 0
        ]
    assert beaten == []  # as the page says
    assert study["study"]["command"] in " ".join(page.replace("\\\n", " ").split())


def test_what_helps_is_told_as_measured() -> None:
    page = (DOCS / "why" / "what-helps.md").read_text("utf-8")
    bench = json.loads((ROOT / "results" / "simclr-variations.json").read_text("utf-8"))
    few, all_of_them = (bench["supervised"]["scores"][f"supervised {f}"] for f in ("0.1", "1"))
    told = f"({100 * few['accuracy'][0]:.1f} % with a tenth of the labels, "
    assert f"{told}{100 * all_of_them['accuracy'][0]:.1f} % with all)" in " ".join(page.split())
    for name, variation in bench["variations"].items():
        for key, found in variation["scores"].items():
            stage, fraction = key.split()
            labels = "all" if fraction == "1" else f"{100 * float(fraction):.0f} %"
            base = gained(found["minus base"]) if "minus base" in found else "–"
            cells = [
                f"{name}, {STAGES[stage]}",
                labels,
                f"{100 * found['accuracy'][0]:.1f}",
                gained(found["minus supervised"]),
                base,
            ]
            assert f"| {' | '.join(cells)} |" in page
    patience = json.loads((ROOT / "results" / "patience-mri44.json").read_text("utf-8"))
    for fraction, found in patience["fractions"].items():
        labels = "all" if fraction == "1" else f"{100 * float(fraction):.0f} %"
        shares = [
            ", ".join(f"{100 * value:.1f}" for value in found[name])
            for name in ("patience of 10", "to the end")
        ]
        assert f"| {labels} | {' | '.join(shares)} | {gained(found)} |" in page
    phantom = json.loads((ROOT / "results" / "patience-phantom.json").read_text("utf-8"))
    stopped, ended = phantom["patience of 10"], phantom["to the end"]
    told = f"{100 * stopped['accuracy']:.0f} % accuracy, and {100 * ended['accuracy']:.0f} % to the"
    assert told in " ".join(page.split())
    smoothed = [sum(stopped["val_loss"][i - 3 : i]) for i in range(3, 14)]
    assert len(stopped["val_loss"]) == 13  # of 20, as the page on fine-tuning says
    assert min(smoothed) == smoothed[0]
    assert len(ended["val_loss"]) == 20


def test_patience_was_chosen_without_the_test_set() -> None:
    page = " ".join((DOCS / "why" / "what-helps.md").read_text("utf-8").split())
    found = json.loads((ROOT / "results" / "patience.json").read_text("utf-8"))
    (own,) = found["stores"].values()
    assert f"and {own['judging']} others judge" in page
    for fraction in ("0.1", "1"):
        assert len(own[fraction]["to the end"]) == found["seeds"] == 3
        assert own[fraction]["patience of 10"] == own[fraction]["to the end"]
        assert own[fraction]["to the end minus patience of 10"]["difference"] == 0


def test_what_the_sentinel_said_of_broken_methods_is_told() -> None:
    page = (DOCS / "why" / "collapse.md").read_text("utf-8")
    runs = json.loads((ROOT / "results" / "sabotage-phantom.json").read_text("utf-8"))["runs"]
    titles = {
        "dino": "DINO",
        "dino without centring": "DINO without centring",
        "byol": "BYOL",
        "byol without predictor and stop-gradient": "BYOL without predictor and stop-gradient",
    }
    assert runs.keys() == titles.keys()
    for name, run in runs.items():
        told = re.fullmatch(r"\w+: since epoch (\d+), ([^(]+) \(.*", run["sentence"] or "")
        cells = (f"{run['epoch']}", told[1], told[2]) if told else ("never", "–", "–")
        assert f"| {titles[name]} | {' | '.join(cells)} |" in page
    broken = runs["dino without centring"]["last"]
    found = json.loads((ROOT / "results" / "dino-temperature-phantom.json").read_text("utf-8"))
    cold, warm = found["runs"]["0.02"], found["runs"]["0.04"]
    for name, run in found["runs"].items():
        cells = [measured(*run["probe"][part].values()) for part in ("val", "test")]
        assert f"| {name} | {' | '.join(cells)} |" in page
    cells = [gained(found["differences"][part]) for part in ("val", "test")]
    assert f"| difference | {' | '.join(cells)} |" in page
    text, last, end = " ".join(page.split()), warm["epochs"][-1], cold["epochs"][-1]
    assert verdict([Health(**row) for row in cold["epochs"]], "dino") is None
    assert "undecided" in (verdict([Health(**row) for row in warm["epochs"]], "dino") or "")
    assert f"entropy {last['teacher_entropy']:.2f} nats of {math.log(last['answers']):.2f}" in text
    assert f"one told {last['teacher_information']:.3f} nats" in text
    assert f"At 0.02 an answer told {end['teacher_information']:.2f} nats" in text
    assert f"{end['effective_rank']:.1f} for {last['effective_rank']:.1f} of the undecided" in text
    start, early = cold["epochs"][0], cold["epochs"][4]
    assert f"after epoch 4 than before it ({early['spread']:.2f}, {start['spread']:.2f})" in text
    assert f"already told {early['teacher_information']:.2f} nats" in text
    judged = [row for row in cold["epochs"] if row["step"] >= SETTLED]
    assert f"lowest gap was {min(row['similarity_gap'] for row in judged):.3f}" in text
    assert f"they were {broken['spread']:.3f} and {broken['similarity_gap']:.5f}" in text


def first_hour(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"results/first-hour-{name}.json").read_text())
    return found


def test_the_first_hour_is_told_as_measured() -> None:
    """In the README and on the page on speed, for both kinds of processor."""
    readme = (ROOT / "README.md").read_text("utf-8")
    page = (DOCS / "why" / "speed.md").read_text("utf-8")
    for name in ("bfloat16", "avx2"):
        found = first_hour(name)
        demo = duration(found["seconds"]["make demo"])
        assert f"| {demo} |" in readme
        spent = found["demo"]["time"]
        training = sum(one["seconds"] for one in spent if one["training"])
        share = 100 * (1 - training / sum(one["seconds"] for one in spent))
        rows = {(row["method"], row["stage"]): row for row in found["demo"]["rows"]}
        told = [
            measured(row["accuracy"], row["interval"])
            for row in (rows["simclr", "linear"], rows["supervised", "supervised"])
        ]
        ratio = found["estimate_over_truth"]
        assert f"| {demo} | {' | '.join(told)} | {share:.0f} % | {ratio:.2f} |" in page
        assert f"split {found['demo']['split_digest'][:12]}, " in " ".join(page.split())
        assert f"most frequent class {100 * found['demo']['most_frequent_class']:.1f} %" in page
        assert found["machine"]["precision"] == {"bfloat16": "bf16-mixed", "avx2": "32-true"}[name]


def test_what_a_processor_trains_with_is_told_as_measured() -> None:
    page = sections("why/speed.md")["Measure your own machine"]
    told = {row[0]: row[1:] for row in tables(page)[1:]}
    for place, name in enumerate(("bfloat16", "avx2")):
        found = json.loads((ROOT / f"results/processor-{name}.json").read_text("utf-8"))
        assert told.keys() == found["answers"].keys()
        for question, answers in found["answers"].items():
            cells = [f"{a['ratio']:.2f} ({a['from']:.2f}–{a['to']:.2f})" for a in answers]
            assert told[question][place] == ", ".join(cells)


def test_the_demo_keeps_within_its_limits_and_learns() -> None:
    """As measured: minutes, an estimate that holds, and models above the most frequent class."""
    limits = {"bfloat16": 240, "avx2": 360}
    for name, limit in limits.items():
        found = first_hour(name)
        demo = found["demo"]
        assert found["seconds"]["make demo"] < limit
        assert 1 / 1.5 < found["estimate_over_truth"] < 1.5
        trained = [row for row in demo["rows"] if row["method"] in ("simclr", "supervised")]
        assert len(trained) == 3
        for row in trained:
            assert row["interval"][0] > max(demo["chance"], demo["most_frequent_class"])


def test_every_page_says_for_whom_it_is_and_is_on_the_map() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in PAGES:
        name = page.relative_to(DOCS).as_posix()
        assert f": {name}\n" in nav
        if name != "index.md":
            title, _, audience, *_ = page.read_text("utf-8").splitlines()
            assert title.startswith("# ")
            assert re.fullmatch(r"\*For who .*\.\*", audience), name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_what_a_start_is_worth_is_told_as_measured() -> None:
    files = [ROOT / "results" / f"frozen-{name}.json" for name in ("starts", "larger")]
    studies = [json.loads(file.read_text("utf-8")) for file in files]
    rows = [row for study in studies for row in study["rows"]]
    page = (DOCS / "why" / "starts.md").read_text("utf-8")
    encoders = {"resnet10t": "ResNet-10-T", "tf_efficientnet_lite0": "EfficientNet-Lite0"}
    weights = {"random": "random weights", "imagenet-lite0.safetensors": "ImageNet"}
    told: dict[str, list[str]] = {}
    for row in rows:
        name = f"{encoders[row['architecture']]}, {weights[row['weights']]} | {row['image_size']}"
        cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
        told.setdefault(name, []).append(cell)
        assert all(f"`{digest}`" in page for digest in row["digests"])
    assert len(told) >= 6
    for name, cells in told.items():
        assert f"| {name} | {' | '.join(cells)} |" in page
    for pair in studies[1]["comparisons"]:
        if pair["metric"] == "accuracy":
            ends = sorted(-end for end in pair["interval"])
            told_gain = gained({"difference": -pair["difference"], "interval": ends})
            assert told_gain in page.replace(" points (", " (")
    study = json.loads((ROOT / "results" / "mri44-folds.json").read_text("utf-8"))
    for stage, share in (("finetune", 1.0), ("linear", 0.1)):
        [row] = [
            row
            for row in study["rows"]
            if (row["method"], row["stage"], row["fold"], row["label_fraction"])
            == ("simclr", stage, "all", share)
        ]
        assert measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"]) in page
    best = max(100 * row["metrics"]["accuracy"] for row in rows if row["image_size"] == 224)
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"(docs/why/starts.md) at 224 px {best:.0f}." in readme
    for found in studies:
        command = " ".join(found["command"].split())
        assert command in " ".join(page.split()).replace(" \\ ", " ")


@pytest.mark.parametrize(
    ("file", "method", "name"),
    [
        ("continued-imagenet", "simclr", "SimCLR"),
        ("continued-imagenet-mocov3", "mocov3", "MoCo v3"),
        ("continued-imagenet-byol", "byol", "BYOL"),
    ],
)
def test_what_self_supervision_adds_to_a_start_is_told_as_measured(
    file: str, method: str, name: str
) -> None:
    found = json.loads((ROOT / "results" / f"{file}.json").read_text("utf-8"))
    page = (DOCS / "why" / "starts.md").read_text("utf-8")
    told: dict[str, list[str]] = {"": [], method: []}
    for row in found["rows"]:
        cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
        told[row["method"]].append(cell)
    if method == "simclr":
        assert f"| ImageNet | {' | '.join(told[''])} |" in page
    gains = [
        (-100 * one["difference"], *(-100 * x for x in reversed(one["interval"])))
        for one in found["comparisons"]
        if one["metric"] == "accuracy"
    ]
    cells = " | ".join(f"{d:+.1f} ({low:+.1f} to {high:+.1f})" for d, low, high in gains)
    rows = [
        f"| ImageNet, then {name} | {' | '.join(told[method])} |",
        f"| difference | {cells.replace('-', '−')} |",
    ]
    assert "\n".join(rows) in page
    command = " ".join(found["command"].split()).replace(f"-{method}", "")
    assert command.replace(method, "simclr") in " ".join(page.split()).replace(" \\ ", " ")
    if method == "simclr":
        readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
        few, every = gains
        assert f"{few[0]:.1f} points ({few[1]:.1f} to {few[2]:.1f})" in readme
        assert f"{every[0]:.1f} ({every[1]:.1f} to {every[2]:.1f}) with all" in readme


def test_what_fine_tuning_makes_of_a_start_is_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "mri44-starts.json").read_text("utf-8"))
    page = (DOCS / "why" / "starts.md").read_text("utf-8")
    names = {"untrained": "as it is", "supervised": "labels alone", "simclr": "SimCLR"}
    told: dict[str, list[str]] = {}
    nll = {}
    for row in found["rows"]:
        if row["fold"] == "all" and row["method"] in names:
            way = "linear probe" if row["stage"] == "linear" else "fine-tuned"
            cell = measured(row["metrics"]["accuracy"], row["intervals"]["accuracy"])
            told.setdefault(f"{names[row['method']]}, {way}", []).append(cell)
            nll[row["method"], row["stage"], row["label_fraction"]] = row["metrics"]["nll"]
    assert len(told) == 4
    for name, cells in told.items():
        assert f"| {name} | {' | '.join(cells)} |" in page
    gains = [
        gained(pair)
        for pair in found["comparisons"]
        if [(pair[end]["method"], pair[end]["stage"]) for end in ("first", "second")]
        == [("simclr", "finetune"), ("supervised", "supervised")]
    ]
    assert f"| fine-tuned: SimCLR minus labels alone | {' | '.join(gains)} |" in page
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"fine-tuned, {gains[0]} and nothing" in readme
    assert gains[1].startswith("−")
    alone, ours = (
        nll[one] for one in (("supervised", "supervised", 1.0), ("simclr", "finetune", 1.0))
    )
    assert f"(NLL {alone:.2f} against {ours:.2f})" in page
    folds = found["study"]["splits"]["grouped"]["folds"]
    assert all(f"`{fold['digest'][:12]}`" in page for fold in folds)
    assert found["study"]["command"] in " ".join(page.split()).replace(" \\ ", " ")


def test_a_store_larger_than_memory_is_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "larger-than-memory-2cores.json").read_text("utf-8"))
    few, tight, many, tightest = found["rows"]
    page = " ".join((DOCS / "why" / "speed.md").read_text("utf-8").split())
    assert many["slices"] == tightest["slices"] == 1_000_000
    assert f"({many['store_mb']:,} MB)" in page
    assert f"needed {(many['private_mb'] - few['private_mb']) / 1000:.1f} GB more private" in page
    assert tight["limit_mb"] == tightest["limit_mb"] < tightest["store_mb"]
    assert f"too, had {tightest['limit_mb']:,} MB" in page
    assert "ended" not in tightest  # by the kernel


def test_what_became_of_odd_files_is_told_as_seen() -> None:
    seen = json.loads((ROOT / "results" / "odd-files.json").read_text("utf-8"))
    page = (DOCS / "how-to" / "serve.md").read_text("utf-8")
    assert seen["predict"]["faults"] == seen["serve"]["faults"] == []
    for one in (seen["predict"], seen["serve"]):
        assert sum(one["outcomes"].values()) == one["files"]
        assert set(one["outcomes"]) == {"answered", "refused"}
    assert f"{seen['serve']['files']} bad and odd files were given" in page
    assert f"and {seen['predict']['files']} with odd paths" in page


def test_what_tortured_studies_came_to_is_told_as_seen() -> None:
    seen = json.loads((ROOT / "results" / "torture-2cores.json").read_text("utf-8"))["seen"]
    page = (DOCS / "how-to" / "resume.md").read_text("utf-8")
    assert len(seen) == 8
    assert not [name for name, told in seen.items() if "BROKEN" in told or "left out" in told]
    assert f"`results/torture-2cores.json`: {seen['killed'].split(',')[0]})" in page


@pytest.mark.parametrize("after", ["", "-supervised"])
def test_parts_of_fine_tuning_are_told_as_measured(after: str) -> None:
    found = json.loads((ROOT / "results" / f"what-helps-mri44{after}.json").read_text("utf-8"))
    page = (DOCS / "why" / "what-helps.md").read_text("utf-8")
    for name, part in found["parts"].items():
        cells = []
        for fraction in ("0.1", "1"):
            own = part["fractions"][fraction]
            if name == "default":
                cells.append(f"{100 * own['validation']['accuracy']:.1f}")
                cells.append(f"{own['validation']['nll']:.2f}")
            else:
                change, nats = own["minus_default"]["accuracy"], own["minus_default"]["nll"]
                numbers = [f"{n:+.2f}" for n in (nats["difference"], *nats["interval"])]
                told = "{} ({} to {})".format(*numbers).replace("-", "−")
                cells += [gained(change), told]
        assert f"| `{name}` | {' | '.join(cells)} |" in page
    if not after:
        assert " ".join(found["command"].split()) in " ".join(page.split()).replace(" \\ ", " ")
    strong = found["parts"]["strong"]["fractions"]["1"]["minus_default"]
    beyond = strong["accuracy"]["interval"][0] > 0, strong["nll"]["interval"][1] < 0
    assert beyond == ((True, True) if after else (False, True))


def test_the_preset_strong_holds_what_was_better_on_validation() -> None:
    """At both label fractions, by the estimate; and no part that was is left out."""
    found = json.loads((ROOT / "results" / "what-helps-mri44.json").read_text("utf-8"))["parts"]
    better = {
        setting
        for part in found.values()
        if len(part["settings"]) == 1
        for setting in part["settings"]
        if all(
            own["minus_default"]["accuracy"]["difference"] > 0
            and own["minus_default"]["nll"]["difference"] < 0
            for own in part["fractions"].values()
        )
    }
    settings, because = load_settings("strong")
    values = dict(flat(settings.written()))
    held = {f"{key}={values[key]}" for key, why in because.items() if why == "preset strong"}
    assert held == better | {"pretrain.epochs=120"}
    bench = json.loads((ROOT / "results" / "simclr-variations.json").read_text("utf-8"))
    longer = bench["variations"]["epochs-60"]["scores"]
    assert all(own["minus base"]["difference"] > 0 for own in longer.values())
    together = found["strong"]
    assert set(together["settings"]) == better


def test_what_limits_accuracy_is_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "ceiling-mri44.json").read_text("utf-8"))
    page = " ".join((DOCS / "why" / "what-helps.md").read_text("utf-8").split())
    labels, [curve] = found["copies"]["label"], found["curves"].values()

    def told(
        value: float, interval: list[float], digits: int, times: float = 100
    ) -> tuple[str, str]:
        low, high = (f"{times * one:.{digits}f}" for one in interval)
        return f"{times * value:.{digits}f}", f"({low}–{high})"

    share, limits = told(labels["differ"], labels["interval"], 0)
    assert f"{labels['pairs']} pairs" in page
    assert f"{share} % {limits} of them stand under two labels" in page
    assert found["copies"]["family"]["differ"] == 0
    share, limits = told(labels["allowed"], labels["allowed_interval"], 0)
    assert f"would score {share} % {limits}." in page
    gain, limits = told(curve["a_doubling"], curve["a_doubling_interval"], 1)
    assert f"gains {gain} points {limits} for each doubling" in page
    few, every = (f"{100 * curve['accuracy'][at]:.1f}" for at in (0, -1))
    assert f"from {few} % with a tenth to {every} with all" in page
    more, limits = told(curve["doublings_to_the_goal"], curve["doublings_interval"], 1, 1)
    assert f"it would take {more} further doublings {limits}" in page
    assert " ".join(found["command"].split()) in page.replace(" \\ ", " ")


def test_sequences_are_told_as_measured() -> None:
    page = (DOCS / "why" / "sequences.md").read_text("utf-8")
    files = {name: f"results/sequence-check-{name}.json" for name in ("phantom", "mri44")}
    found = {name: json.loads((ROOT / file).read_text("utf-8")) for name, file in files.items()}

    def percent(share: float | None) -> str:
        return SAME if share is None else f"{100 * share:.0f}"

    kinds = ("precision", "recall", "recall_between_t1_and_t1c", "recall_of_others")
    for name, kept in found.items():
        assert f"`{kept['command']}`" in " ".join(page.split())
        told = {"phantom": "phantom", "mri44": "real slices"}[name]
        own = kept["sequence"]["by_series"]
        recalls = [percent(own["recall"][one]) for one in ("T1", "T1C+", "T2")]
        cells = [told, f"{own['series']}", percent(own["accuracy"]), f"{own['flagged']}", *recalls]
        assert f"| {' | '.join(cells)} |" in page
        for what in ("sequence", "plane") if "plane" in kept else ("sequence",):
            mean = kept[what]["told_wrongly"]["mean"]
            cells = [f"{told}, {what}", *(percent(mean[kind]) for kind in kinds)]
            assert f"| {' | '.join(cells)} |" in page
        simulated = kept["sequence_by_simulation"]
        shares = [simulated["recall"]["T1"], simulated["recall"]["T2"]]
        shares += [simulated[f"{how}_told_and_flagged"] for how in ("rightly", "wrongly")]
        title = {"phantom": "another phantom", "mri44": "real slices"}[name]
        assert f"| {' | '.join([title, *map(percent, shares)])} |" in page
    planes = percent(found["phantom"]["plane"]["by_series"]["accuracy"])
    assert f"Of the planes of the phantom {planes} % look like what they are." in page
    constants = found["phantom"]["constants"]
    assert constants == found["mri44"]["constants"]
    assert f"is told is {constants['doubt']} or less" in page


def test_the_cost_of_archives_is_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "archives-2cores.json").read_text("utf-8"))
    page = (DOCS / "why" / "speed.md").read_text("utf-8")
    block = page.partition("<!-- archives:")[2].partition("<!-- archives: end -->")[0]
    told = [tuple(map(float, row[1:])) for row in tables(block)[1:]]
    ratios = [
        (one["headers_over_bare"], one["slices_over_bare"]) for one in found["formats"].values()
    ]
    assert told == [tuple(round(ratio, 1) for ratio in pair) for pair in ratios]
    peaks = [f"{round(mb)}" for mb in found["memory"]["peak_mb"].values()]
    assert f"{peaks[0]}, {peaks[1]} and {peaks[2]} MB" in block


def test_answers_take_as_long_as_measured() -> None:
    page = " ".join((DOCS / "why" / "speed.md").read_text("utf-8").split())
    for name, file in (("ResNet-10-T", "serve-2cores"), ("ResNet-50", "serve-resnet50-2cores")):
        found = json.loads((ROOT / "results" / f"{file}.json").read_text("utf-8"))
        bare, one, eight = found["bare"], found["clients"]["1"], found["clients"]["8"]
        cells = [f"{each['p50_ms']:.0f} ms" for each in (bare, one)]
        cells.append(f"{found['ratio_of_p50_at_one_client']:.2f}")
        cells += [f"{each['a_second']:.0f}" for each in (eight, bare)]
        assert f"| {name} | {' | '.join(cells)} |" in page
    found = json.loads((ROOT / "results" / "predict-2cores.json").read_text("utf-8"))
    pace = found["images_per_second"]
    assert f"first answer after {found['cold_start']['predict']['seconds']:.1f} s" in page
    assert f"and {pace['predict']:.0f} images a second where the forward pass alone has" in page
    assert f"alone has {pace['forward_pass']:.0f} (" in page


def test_what_many_slices_take_is_told_as_measured() -> None:
    found = json.loads((ROOT / "results" / "archive-scale-2cores.json").read_text("utf-8"))
    page = (DOCS / "why" / "speed.md").read_text("utf-8")
    block = page.partition("<!-- scale:")[2].partition("<!-- scale: end -->")[0]
    parts = ("scan, all of it", "near-duplicates", "prepare")
    measured = [
        [f"{one['slices']:,}", f"{one['private_mb']:.0f}"]
        + [f"{1000 * one['parts'][part]['processor'] / one['slices']:.1f}" for part in parts]
        for one in found["sizes"]
    ]
    assert [list(row) for row in tables(block)[1:]] == measured
    growth = found["growth"]
    assert f"{growth['private_bytes_a_slice'] / 1000:.1f} KB for each further slice" in block
