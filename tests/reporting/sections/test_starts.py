"""The section on starts shows what was found of each, and nothing where there is one of no note."""

from pathlib import Path

from brainssl.reporting.findings.starts import Contrast, Worth
from brainssl.reporting.rows import Arm, Row
from brainssl.reporting.sections.starts import content, starts_table
from brainssl.reporting.study import Study, read_study

FACTS = {"protocols": ["grouped"], "starts": [{"name": "random"}, {"name": "imagenet"}]}


def arm(method: str, stage: str, start: str, accuracy: float) -> Arm:
    row = Row(
        method,
        stage,
        "grouped",
        1.0,
        0,
        "test",
        50,
        {"accuracy": accuracy},
        {},
        {},
        "",
        start=start,
    )
    return Arm(method, stage, "grouped", 1.0, "test", (row,), start)


def worth(start: str, p_holm: float, itself: Contrast | None) -> Worth:
    plain, probed = arm("untrained", "linear", start, 0.4), arm("byol", "linear", start, 0.5)
    alone, tuned = arm("supervised", "supervised", start, 0.6), arm("dino", "finetune", start, 0.7)
    return Worth(
        start,
        1.0,
        plain,
        probed,
        alone,
        tuned,
        Contrast(probed, plain, 0.1, (0.02, 0.2), 0.01, p_holm, 7),
        Contrast(tuned, alone, 0.1, None, float("nan")),
        itself,
    )


def test_the_table_has_a_line_for_each_start() -> None:
    alone, plain = (arm("supervised", "supervised", s, 0.6) for s in ("imagenet", "random"))
    itself = Contrast(alone, plain, -0.013, (-0.05, 0.02), 0.4, 0.4)
    found = [worth("random", 0.2, None), worth("imagenet", 0.02, itself)]
    table = starts_table(Study(Path(), FACTS, ()), found)
    assert [line.headers for line in table.lines] == [
        ("100\u00a0%", "random weights"),
        ("100\u00a0%", "ImageNet"),
    ]
    cells = [[(cell.text, cell.detail) for cell in line.cells] for line in table.lines]
    assert cells[1] == [
        ("40.0", ""),
        ("50.0", "BYOL"),
        ("+10.0", "2.0 to 20.0"),
        ("60.0", ""),
        ("70.0", "DINO"),
        ("+10.0", ""),
        ("−1.3", "−5.0 to 2.0"),
    ]
    assert cells[0][-1] == ("–", "")
    # Shaded is what holds after correction.
    assert [line.cells[2].shade is not None for line in table.lines] == [False, True]
    assert {line.cells[2].title for line in table.lines} == {
        "p = 0.0100, corrected for 7 differences 0.2000",
        "p = 0.0100, corrected for 7 differences 0.0200",
    }
    assert len(table.columns) == len(set(table.columns)) == 7
    assert len(starts_table(Study(Path(), FACTS, ()), found[:1]).columns) == 6


def test_random_weights_alone_have_no_section(analysed_study: Path) -> None:
    assert content(read_study(analysed_study)) == ()
