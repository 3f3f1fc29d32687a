"""What was run, on what."""

from pathlib import Path

from brainssl.reporting.blocks import Facts
from brainssl.reporting.sections.run import content
from brainssl.reporting.study import read_study


def test_the_images_of_the_audit_are_counted(study: Path) -> None:
    facts = dict(next(b for b in content(read_study(study)) if isinstance(b, Facts)).pairs)
    assert facts["Images"] == "17 images in 8 groups, 1 file unreadable"
    assert facts["Training and evaluation"] == "84 min"
