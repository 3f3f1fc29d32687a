"""The answer says what its intervals mean."""

from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Prose, flat
from brainssl.reporting.sections.answer import content
from brainssl.reporting.study import read_study


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
