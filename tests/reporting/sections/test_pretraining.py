import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from brainssl.reporting.blocks import Block, Cautions, Facts, Multiples, Prose, flat
from brainssl.reporting.report import render_report
from brainssl.reporting.sections.pretraining import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table
from brainssl.reporting.trainings import watches
from brainssl.training.collapse import PATIENCE, SETTLED

Blocks = tuple[Block, ...]


def _text(section: Blocks) -> str:
    return "\n".join(p for b in flat(section) if isinstance(b, Prose) for p in b.paragraphs)


def _rewrite(folder: Path, name: str, **changes: object) -> None:
    path = folder / "steps" / name / "collapse.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    for row in raw["epochs"]:
        row |= changes
    path.write_text(json.dumps(raw), encoding="utf-8")


def test_a_verdict_stands_before_what_is_sound(grid: Path) -> None:
    section = content(read_study(grid))
    (warned,) = (block for block in section if isinstance(block, Cautions))
    (item,) = warned.items
    assert item.severity == "serious"
    assert item.text.startswith("DINO, seed 1: since epoch 4, all images get nearly the same")
    (sound,) = (block for block in section if isinstance(block, Facts))
    names = [name for name, _ in sound.pairs]
    assert len(names) == 11
    assert "DINO, seed 1" not in names
    assert section.index(warned) < section.index(sound)
    assert "1 of 12 pretrainings collapsed: DINO, seed 1." in _text(section)
    assert f"{PATIENCE} epochs in a row" in _text(section)
    assert "(5 neighbours)" in _text(section)


def test_a_sentence_gives_the_last_epoch_and_the_untrained_network(study: Path) -> None:
    section = content(read_study(study))
    (facts,) = (block for block in section if isinstance(block, Facts))
    assert "No collapse was seen in 2 pretrainings." in _text(section)
    for (_, sentence), watch in zip(facts.pairs, watches(read_study(study)), strict=True):
        said = [float(number) for number in re.findall(r"\d+\.\d+", sentence)]
        first, last = watch.epochs[0], watch.epochs[-1]
        names = ("knn_accuracy", "effective_rank", "spread")
        seen = [
            (row[name] or 0) * scale
            for name, scale in zip(names, (100, 1, 1), strict=True)
            for row in (last, first)
        ]
        assert said == pytest.approx(seen, abs=0.051)
        assert sentence.startswith("After 20 epochs: kNN accuracy")
        assert "no better" not in sentence


def test_neighbours_that_agree_no_better_are_told(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0])
    _rewrite(folder, "pretrain-simclr-grouped-s1", knn_accuracy=0.25)
    section = content(read_study(folder))
    (facts,) = (block for block in section if isinstance(block, Facts))
    assert ["no better than before" in sentence for _, sentence in facts.pairs] == [False, True]
    assert "In 1 of 2, kNN accuracy on validation is higher" in _text(section)


def test_no_verdict_on_a_short_pretraining_is_no_praise(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0])
    assert "too short" not in _text(content(read_study(folder)))
    _rewrite(folder, "pretrain-simclr-grouped-s1", step=SETTLED - 1)
    said = _text(content(read_study(folder)))
    assert "No collapse was seen in 2 pretrainings. 1 of 2 was too short to be judged." in said


def test_curves_have_a_line_for_each_seed_and_the_teachers_are_dinos(grid: Path) -> None:
    section = content(read_study(grid))
    (curves,) = (block for block in section if isinstance(block, Multiples))
    found = watches(read_study(grid))
    lines = {}
    for figure in curves.figures:
        data = json.loads(figure.specification)["data"]
        lines[figure.name] = [trace for trace in data if trace["mode"] == "lines"]
    assert {name: len(own) for name, own in lines.items()} == {
        "watch-grouped-knn_accuracy": 12,
        "watch-grouped-spread": 12,
        "watch-grouped-effective_rank": 12,
        "watch-grouped-similarity_gap": 12,
        "watch-grouped-teacher_entropy": 2,
        "watch-grouped-teacher_information": 2,
    }
    first = [100 * (row["knn_accuracy"] or 0) for row in found[0].epochs]
    assert lines["watch-grouped-knn_accuracy"][0]["y"] == pytest.approx(first, abs=1e-4)
    assert lines["watch-grouped-spread"][0]["x"] == list(range(21))
    assert [key.label for key in curves.keys] == [
        "SimCLR",
        "BYOL",
        "DINO",
        "MoCo v3",
        "Barlow Twins",
        "NNCLR",
    ]


def test_the_table_says_what_the_curves_end_in(grid: Path) -> None:
    section = content(read_study(grid))
    (table,) = (block for block in flat(section) if isinstance(block, Table))
    assert table.columns[:3] == ("Verdict", "Epochs", "kNN accuracy, %")
    assert len(table.columns) == 10
    for line, watch in zip(table.lines, watches(read_study(grid)), strict=True):
        verdict, epochs, knn = line.cells[:3]
        assert verdict.text == ("collapsed" if watch.verdict else "–")
        assert epochs.text == "20"
        assert float(knn.text) == pytest.approx(100 * (watch.after("knn_accuracy") or 0), abs=0.051)
        assert line.cells[-1].text == "–" or line.headers[0] == "DINO"


def test_the_table_tells_folds_and_labels_where_pretrainings_differ_in_them(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    steps = folder / "steps"

    def stub_and_lines(**facts: object) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        study = read_study(folder)
        study = replace(study, facts={**study.facts, **facts})
        (table,) = (b for b in flat(content(study)) if isinstance(b, Table))
        return table.stub, [line.headers for line in table.lines]

    assert stub_and_lines() == (("Method", "Seed"), [("SimCLR", "0")])
    first = steps / "pretrain-simclr-grouped-k1of2-s0"
    (steps / "pretrain-simclr-grouped-s0").rename(first)
    shutil.copytree(first, steps / "pretrain-simclr-grouped-k2of2-s0")
    stub, lines = stub_and_lines(folds={"number": 2})
    assert stub == ("Method", "Fold", "Seed")
    assert lines == [("SimCLR", "1", "0"), ("SimCLR", "2", "0")]
    shutil.copytree(first, steps / "pretrain-supcon-grouped-k1of2-f0.1-s0")
    shutil.copytree(first, steps / "pretrain-supcon-grouped-k1of2-f8-shot-s0")
    stub, lines = stub_and_lines(folds={"number": 2}, methods=["simclr", "supcon"])
    assert stub == ("Method", "Labels", "Fold", "Seed")
    assert sorted(lines) == [
        ("SimCLR", "none", "1", "0"),
        ("SimCLR", "none", "2", "0"),
        ("SupCon", "10\u00a0%", "1", "0"),
        ("SupCon", "8 a class", "1", "0"),
    ]


def test_without_labels_the_rest_is_shown(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    _rewrite(folder, "pretrain-simclr-grouped-s0", knn_accuracy=None)
    section = content(read_study(folder))
    (facts,) = (block for block in section if isinstance(block, Facts))
    assert facts.pairs[0][1].startswith("After 20 epochs: effective rank")
    assert "kNN accuracy on validation is" not in _text(section)
    (table,) = (block for block in flat(section) if isinstance(block, Table))
    assert table.columns[2] == "Spread"


def test_what_is_not_finite_is_a_dash(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    measures = ("knn_accuracy", "spread", "effective_rank", "similarity_gap", "alignment")
    path = folder / "steps" / "pretrain-simclr-grouped-s0" / "collapse.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["epochs"][-1] |= dict.fromkeys([*measures, "uniformity"])
    path.write_text(json.dumps(raw), encoding="utf-8")
    section = content(read_study(folder))
    (facts,) = (block for block in section if isinstance(block, Facts))
    assert facts.pairs[0][1] == "After 20 epochs: no measure is finite."
    (table,) = (block for block in flat(section) if isinstance(block, Table))
    assert {cell.text for cell in table.lines[0].cells[2:]} == {"–"}


def test_a_pretraining_without_a_record_is_named_and_breaks_nothing(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], methods=["simclr", "byol"], fractions=[1.0])
    (folder / "steps" / "pretrain-simclr-grouped-s1" / "collapse.json").unlink()
    section = content(read_study(folder))
    assert "Nothing is recorded of SimCLR, seed 1." in _text(section)
    for path in folder.glob("steps/*/collapse.json"):
        path.unlink()
    assert content(read_study(folder)) == ()
    text = render_report(folder).read_text(encoding="utf-8")
    assert "Did pretraining work?" not in text
