from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Columns, Facts, Prose
from brainssl.reporting.figures import Figure
from brainssl.reporting.results import read_study
from brainssl.reporting.sections import answer_section, read_published, sections


def test_sections_come_in_the_order_of_a_readers_questions(study: Path) -> None:
    assert [section.name for section in sections(read_study(study))] == [
        "answer",
        "cautions",
        "run",
        "results",
        "efficiency",
        "models",
        "losses",
        "data",
        "settings",
        "published",
    ]


def test_several_protocols_stand_side_by_side(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], protocols=["grouped", "image"], extras=False)
    assert "protocols" in [section.name for section in sections(read_study(folder))]


def test_a_stage_without_histories_has_no_loss_curve(study: Path) -> None:
    (losses,) = (section for section in sections(read_study(study)) if section.name == "losses")
    (columns,) = (block for block in losses.blocks if isinstance(block, Columns))
    names = [figure.name for figure in columns.blocks if isinstance(figure, Figure)]
    assert names == ["loss-pretrain", "loss-finetune", "loss-supervised"]


def test_what_an_interval_says_depends_on_whether_patients_are_known(
    make_study: Callable[..., Path],
) -> None:
    small = {"classes": ["a", "b"], "seeds": 1, "fractions": [1.0], "extras": False}
    texts = []
    for patients in (True, False):
        section = answer_section(read_study(make_study(**small, patients=patients)))
        texts.append(next(b for b in section.blocks[1:] if isinstance(b, Prose)).paragraphs[0])
    known, unknown = texts
    assert "which patients happen to be in the test split" in known
    assert "too narrow" not in known
    assert "which groups happen to be in the test split. Patients are not known" in unknown
    assert "too narrow" in unknown


def test_the_images_of_the_audit_are_counted(study: Path) -> None:
    (run,) = (section for section in sections(read_study(study)) if section.name == "run")
    facts = dict(next(block for block in run.blocks if isinstance(block, Facts)).pairs)
    assert facts["Images"] == "17 images in 8 groups, 1 file unreadable"
    assert facts["Training and evaluation"] == "84 min"


def test_published_numbers_are_those_of_the_study() -> None:
    published = read_published()
    tables = {table["name"]: table for table in published["tables"]}
    assert list(tables) == [f"Table {i}" for i in range(4, 9)]
    assert all(table["measured_on"] for table in tables.values())
    by_method = {row["method"]: row for row in tables["Table 6"]["rows"]}
    assert by_method["SimCLR"] == {
        "method": "SimCLR",
        "accuracy": 97.27,
        "precision": 0.9738,
        "recall": 0.9726,
        "f1": 0.9727,
    }
    assert "training" in tables["Table 5"]["measured_on"]
