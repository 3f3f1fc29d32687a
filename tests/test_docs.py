"""The documentation says what the code does: settings, commands, columns, metrics, figures."""

import ast
import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import brainssl
from brainssl.cli import app
from brainssl.data.scan import MANIFEST_COLUMNS
from brainssl.evaluation.metrics import METRICS
from brainssl.settings import Settings, load_settings

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


def documented_settings() -> dict[str, list[str]]:
    rows = tables((DOCS / "reference/settings.md").read_text("utf-8"))
    return {row[0].strip("`"): row for row in rows if row[0].startswith("`")}


def flat(settings: Settings) -> dict[str, Any]:
    dumped = settings.model_dump(mode="json")
    return {f"{s}.{key}": value for s, keys in dumped.items() for key, value in keys.items()}


def test_every_setting_is_documented_and_no_other() -> None:
    assert list(documented_settings()) == list(flat(Settings()))


@pytest.mark.parametrize("key", flat(Settings()))
def test_documented_values_are_those_of_the_code(key: str) -> None:
    row = documented_settings()[key]
    expected = [Settings(), load_settings("quick")[0], load_settings("paper")[0]]
    default, *presets = (flat(settings)[key] for settings in expected)
    assert tomllib.loads(f"value = {row[2].strip('`')}")["value"] == default
    for cell, value in zip(row[3:5], presets, strict=True):
        if value == default:
            assert cell == SAME
        else:
            assert tomllib.loads(f"value = {cell.strip('`')}")["value"] == value


def test_every_command_is_documented_and_no_other() -> None:
    assert list(sections("reference/commands.md")) == [f"brainssl {name}" for name in COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_documented_options_are_those_of_the_command(name: str) -> None:
    text = sections("reference/commands.md")[f"brainssl {name}"]
    documented = {row[0].strip("`"): row[1].strip("`") for row in tables(text)[1:]}
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    words = {"None": "none", "False": "off"}
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
    text = (DOCS / "why/splits.md").read_text("utf-8")
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
    text = (DOCS / "why/splits.md").read_text("utf-8")
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
        assert [name.name for name in statement.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_stay_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= 150


def test_the_first_results_are_those_of_the_committed_study() -> None:
    """Each accuracy and interval on the page is a row of the study on the test set."""
    study = json.loads((ROOT / "results" / "mri44-quick.json").read_text("utf-8"))
    names = {
        ("untrained", "linear"): "untrained encoder, linear probe",
        ("simclr", "linear"): "SimCLR, linear probe",
        ("simclr", "finetune"): "SimCLR, fine-tuned",
        ("supervised", "supervised"): "supervised",
    }
    cells: dict[tuple[str, str], list[str]] = {}
    for row in study["rows"]:
        if row["split"] != "test":
            continue
        low, high = row["intervals"]["accuracy"]
        cell = f"{100 * row['metrics']['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})"
        labels = "all" if row["label_fraction"] == 1 else f"{100 * row['label_fraction']:.0f} %"
        cells.setdefault((names[row["method"], row["stage"]], labels), []).append(cell)
    page = (ROOT / "docs" / "why" / "first-results.md").read_text("utf-8")
    for (name, labels), seeds in cells.items():
        assert f"| {name} | {labels} | {' | '.join(seeds)} |" in page
