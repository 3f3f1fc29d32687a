"""What pretraining and fine-tuning see of a few slices."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from brainssl.reporting.blocks import (
    Block,
    Strips,
)
from brainssl.reporting.figures.pictures import study_images
from brainssl.reporting.figures.view_strips import recipe_strips
from brainssl.reporting.study import Study
from brainssl.reporting.titles import is_pretrained, method_title
from brainssl.reporting.wording import (
    join,
)
from brainssl.settings import SEMI_SUPERVISED


def content(study: Study) -> tuple[Block, ...]:
    """Show what pretraining and fine-tuning see of a few slices."""
    found, values = study_images(study.folder), (study.facts.get("settings") or {}).get("views")
    if not found or not values:
        return ()
    from brainssl.views.recipes import TABLE2, ViewRecipe

    images, manifest = found
    labels = manifest["label"].dropna().drop_duplicates()
    rows = labels.index[np.linspace(0, len(labels) - 1, min(4, len(labels))).round().astype(int)]
    recipes = {
        f"Pretraining{methods}: each strip begins with the slice as stored.": ViewRecipe.of(own)
        for methods, own in _view_settings(study, values)
    }
    for method in (one for one in SEMI_SUPERVISED if one in (study.facts.get("methods") or ())):
        caption = f"{method_title(method)}: the strong views, of images without their labels."
        recipes[caption] = ViewRecipe.of(_own_views(study, method, values))
    finetune = study.facts["settings"].get("finetune") or {}
    if finetune.get("views", "table2") == "table2":  # older studies do not say: it was that
        of, recipe = "augmentation of the study’s Table 2", TABLE2
    else:
        of, recipe = "views of pretraining", ViewRecipe.of(values)
    caption = f"Fine-tuning and supervised training: the {of}, applied to training slices alone."
    # Nor how far it goes.
    recipes[caption] = recipe.stronger(float(finetune.get("augmentation", 1.0)))
    return tuple(
        Strips(caption, tuple(recipe_strips(images[rows], list(labels[rows]), recipe)))
        for caption, recipe in recipes.items()
    )


def _view_settings(study: Study, shared: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the settings of views, and of which methods they are where these differ.

    Of no method where none is pretrained.
    """
    named = [str(method) for method in study.facts.get("methods") or ()]
    titles: dict[str, list[str]] = {}
    views: dict[str, Mapping[str, Any]] = {}
    for method in filter(is_pretrained, named):
        own = _own_views(study, method, shared)
        views[repr(own)] = own
        titles.setdefault(repr(own), []).append(method_title(method))
    several = len(views) > 1
    told = [(f" with {join(titles[key])}" * several, own) for key, own in views.items()]
    return told if named else [("", shared)]


def _own_views(study: Study, method: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    return {**shared, **((study.facts["settings"].get(method) or {}).get("views") or {})}
