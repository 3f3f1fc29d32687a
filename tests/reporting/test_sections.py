import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Facts, Fold, Prose, Strips
from brainssl.reporting.results import read_study
from brainssl.reporting.sections import answer_section, result_section, sections, view_section
from brainssl.reporting.tables import Table
from brainssl.settings import Settings


def test_sections_come_in_the_order_of_a_readers_questions(study: Path) -> None:
    assert [section.name for section in sections(read_study(study))] == [
        "answer",
        "cautions",
        "run",
        "pretraining",
        "efficiency",
        "results",
        "models",
        "losses",
        "data",
        "settings",
        "checklist",
        "published",
    ]


def test_several_protocols_stand_side_by_side(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], protocols=["grouped", "image"], extras=False)
    assert "protocols" in [section.name for section in sections(read_study(folder))]


def test_a_long_table_is_folded_below_an_overview(study: Path, grid: Path) -> None:
    for folder, folded in ((study, False), (grid, True)):
        blocks = result_section(read_study(folder)).blocks
        names = [block.name for block in blocks if isinstance(block, Table)]
        assert names[:2] == ["overview-grouped-accuracy", "overview-grouped-f1_macro"]
        assert ("main-grouped-test" in names) != folded
        inner = [
            b.name for f in blocks if isinstance(f, Fold) for b in f.blocks if b.kind == "table"
        ]
        assert ("main-grouped-test" in inner) == folded


def test_views_are_shown_as_each_method_draws_them(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], methods=["simclr", "byol", "dino"], seeds=1)
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    settings = raw["study"]["settings"]
    settings["views"] = Settings().views.model_dump(mode="json")
    path.write_text(json.dumps(raw), encoding="utf-8")
    strips = [b for b in view_section(read_study(folder)).blocks if isinstance(b, Strips)]
    assert strips[0].caption.startswith("Pretraining: each strip")
    assert len(strips) == 2
    settings["dino"]["views"] = {"crop_area": [0.9, 1.0]}
    path.write_text(json.dumps(raw), encoding="utf-8")
    shared, own, _ = (b for b in view_section(read_study(folder)).blocks if isinstance(b, Strips))
    assert shared.caption.startswith("Pretraining with SimCLR and BYOL: each strip")
    assert own.caption.startswith("Pretraining with DINO: each strip")
    assert shared.pictures == strips[0].pictures
    assert own.pictures != strips[0].pictures


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
