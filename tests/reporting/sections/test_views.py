"""Views: as each method draws them."""

import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Strips
from brainssl.reporting.sections.views import content
from brainssl.reporting.study import read_study
from brainssl.settings import Settings


def test_views_are_shown_as_each_method_draws_them(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], methods=["simclr", "byol", "dino"], seeds=1)
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    settings = raw["study"]["settings"]
    settings["views"] = Settings().views.model_dump(mode="json")
    path.write_text(json.dumps(raw), encoding="utf-8")
    strips = [b for b in content(read_study(folder)) if isinstance(b, Strips)]
    assert strips[0].caption.startswith("Pretraining: each strip")
    assert len(strips) == 2
    settings["dino"]["views"] = {"crop_area": [0.9, 1.0]}
    path.write_text(json.dumps(raw), encoding="utf-8")
    shared, own, _ = (b for b in content(read_study(folder)) if isinstance(b, Strips))
    assert shared.caption.startswith("Pretraining with SimCLR and BYOL: each strip")
    assert own.caption.startswith("Pretraining with DINO: each strip")
    assert shared.pictures == strips[0].pictures
    assert own.pictures != strips[0].pictures


def test_strong_views_of_fixmatch_are_no_pretraining(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], methods=["simclr"], seeds=1)
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    settings = raw["study"]["settings"]
    settings["views"] = Settings().views.model_dump(mode="json")

    def shown(*methods: str) -> list[Strips]:
        raw["study"]["methods"] = methods
        path.write_text(json.dumps(raw), encoding="utf-8")
        return [b for b in content(read_study(folder)) if isinstance(b, Strips)]

    pretraining, strong, _ = shown("simclr", "fixmatch")
    assert "FixMatch" not in pretraining.caption
    assert strong.caption.startswith("FixMatch: the strong views")
    assert strong.pictures == pretraining.pictures
    settings["fixmatch"] = {"views": {"rotation": 80.0}}
    own, _ = shown("fixmatch")
    assert own.caption == strong.caption
    assert own.pictures != strong.pictures


def test_fine_tuning_is_shown_with_the_views_that_it_had(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], methods=["simclr"], seeds=1)
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    settings = raw["study"]["settings"]
    settings["views"] = Settings().views.model_dump(mode="json")
    settings["finetune"] = Settings().finetune.model_dump(mode="json")

    def shown(views: str) -> Strips:
        settings["finetune"]["views"] = views
        path.write_text(json.dumps(raw), encoding="utf-8")
        return [b for b in content(read_study(folder)) if isinstance(b, Strips)][-1]

    assert "the augmentation of the study’s Table 2" in shown("table2").caption
    assert "the views of pretraining" in shown("pretraining").caption
    assert shown("pretraining").pictures != shown("table2").pictures
    whole = shown("pretraining")
    settings["finetune"]["augmentation"] = 0.5
    assert shown("pretraining").pictures != whole.pictures
