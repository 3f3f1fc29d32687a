"""The answer says what its intervals mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from brainssl.reporting.blocks import Multiples, Prose, flat
from brainssl.reporting.rows import Row
from brainssl.reporting.sections.answer import content
from brainssl.reporting.study import read_study


def test_a_marker_without_a_line_is_explained(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False))
    one, *others = study.rows
    score = one.metrics["accuracy"]
    still = replace(one, intervals={**one.intervals, "accuracy": (score, score)})

    def captions(rows: tuple[Row, ...]) -> str:
        blocks = content(replace(study, rows=rows))
        return " ".join(block.caption for block in blocks if isinstance(block, Multiples))

    row = replace(still, split="test")
    assert "names one class for all" in captions((row, *others))
    moving = replace(row, intervals={**row.intervals, "accuracy": (score - 0.1, score + 0.1)})
    assert "names one class for all" not in captions((moving,))


def test_what_an_interval_says_depends_on_whether_patients_are_known(
    make_study: Callable[..., Path],
) -> None:
    small = {"classes": ["a", "b"], "seeds": 1, "fractions": [1.0], "extras": False}
    texts = []
    for patients in (True, False):
        blocks = content(read_study(make_study(**small, patients=patients)))
        texts.append([b for b in flat(blocks) if isinstance(b, Prose)][-1].paragraphs[0])
    known, unknown = texts
    assert "which patients happen to be in the test split" in known
    assert "too narrow" not in known
    assert "which groups happen to be in the test split. Patients are not known" in unknown
    assert "too narrow" in unknown
