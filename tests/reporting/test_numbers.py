"""Every number of the result tables is the one that results.json has for its line and column."""

import json
import re
import shutil
from pathlib import Path

import pytest
from oracles.report_tables import KINDS, Tables, expected_tables, mistakes

from brainssl.reporting import render_report

# What other tests look after: settings, health, published numbers.
ELSEWHERE = {"pretraining", "settings", "published"}
OF_ANALYSIS = {
    *("controls", "optimism", "differences", "factors", "planes", "subgroups"),
    *("calibration", "coverage", "novelty", "explanations"),
}


@pytest.fixture(scope="module")
def plain(study: Path) -> str:
    return render_report(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def analysed(analysed_study: Path) -> str:
    return render_report(analysed_study).read_text(encoding="utf-8")


def kinds(html: str) -> set[str]:
    return {name.partition("-")[0] for name in Tables(html).lines}


def test_every_cell_says_what_was_measured(plain: str, study: Path) -> None:
    assert mistakes(plain, study) == []
    assert kinds(plain) - ELSEWHERE == KINDS - OF_ANALYSIS - {"protocols"}


def test_every_cell_of_the_analysis_says_what_was_measured(
    analysed: str, analysed_study: Path
) -> None:
    assert mistakes(analysed, analysed_study) == []
    assert kinds(analysed) - ELSEWHERE == KINDS - {"overview"}


def test_no_model_is_left_out(plain: str, study: Path) -> None:
    """A table that should be there and is not has no wrong cell."""
    shown = {name for name in Tables(plain).lines if name.startswith(("main", "full", "overview"))}
    wanted = {n for n in expected_tables(study) if n.startswith(("main", "full", "overview"))}
    assert shown == wanted
    assert len(wanted) == 9


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_changed_cell_is_found(
    kind: str, plain: str, analysed: str, study: Path, analysed_study: Path
) -> None:
    html, folder = (plain, study) if kind == "overview" else (analysed, analysed_study)
    table = re.search(rf'<table id="{kind}.*?</table>', html, re.DOTALL)
    assert table is not None
    cells = re.findall(r"<td[^>]*>[^<]*\d(?:<small>.*?</small>)?</td>", table[0])
    old = cells[len(cells) // 2]
    start = html.index(old, table.start())
    last = max(place for place, letter in enumerate(old) if letter.isdigit())
    new = old[:last] + str((int(old[last]) + 1) % 10) + old[last + 1 :]
    (found,) = mistakes(html[:start] + new + html[start + len(old) :], folder)
    assert found.startswith(kind)


def test_numbers_that_changed_places_are_found(plain: str, study: Path) -> None:
    """Each is in the results, but of another model."""
    table = re.search(r'<table id="main-.*?</table>', plain, re.DOTALL)
    assert table is not None
    one, two = re.findall(r"<td>[\d.]+<small>[\d.–]+</small></td>", table[0])[:2]
    exchanged = table[0].replace(one, "@").replace(two, one).replace("@", two)
    assert len(mistakes(plain.replace(table[0], exchanged), study)) == 2


def test_a_changed_result_is_found(plain: str, study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "changed"
    shutil.copytree(study, copy)
    results = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    row = next(row for row in results["rows"] if row["split"] == "val")
    row["metrics"]["mcc"] += 0.1
    (copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (found,) = mistakes(plain, copy)
    assert found.startswith("full-grouped-val-other")
    assert found.endswith("MCC")
