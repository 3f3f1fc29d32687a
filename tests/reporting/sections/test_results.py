"""Results: an overview first, everything behind a fold."""

from pathlib import Path

from brainssl.reporting.blocks import Fold
from brainssl.reporting.sections.results import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table


def test_a_long_table_is_folded_below_an_overview(study: Path, grid: Path) -> None:
    for folder, folded in ((study, False), (grid, True)):
        blocks = content(read_study(folder))
        names = [block.name for block in blocks if isinstance(block, Table)]
        assert names[0] == "overview-grouped-accuracy"
        assert ("main-grouped-test" in names) != folded
        inner = [
            b.name for f in blocks if isinstance(f, Fold) for b in f.blocks if b.kind == "table"
        ]
        assert ("main-grouped-test" in inner) == folded
        assert "overview-grouped-f1_macro" in inner
