"""The function that searches for settings: tune."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainssl.api.answers import Answer
from brainssl.api.options import (
    Names,
    Where,
    fraction,
    known,
    method_names,
    open_data,
    seed_of,
    semi_supervised_names,
    within,
)
from brainssl.foundation.errors import BadUseError
from brainssl.foundation.progress import Terminal


def tune(
    store: Where,
    out: Where,
    *,
    method: str = "simclr",
    trials: int = 10,
    stage: str = "finetune",
    label_fraction: float | str = 1.0,
    preset: Where = "quick",
    overrides: Names | None = None,
    protocol: str = "grouped",
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Search for the settings of one method on validation, and write them as a preset.

    Args:
        store: made by `prepare`.
        out: folder to make; an unfinished search of the same goes on, and more trials are added.
        method: a name of `brainssl.methods.METHODS`, `fixmatch`, or `supervised`.
        trials: how many settings are tried; the first is those given.
        stage: finetune or linear: what is made of each pretraining; nothing to the last two.
        label_fraction: as for `probe`.
        preset: as for `pretrain`.
        overrides: as for `pretrain`.
        protocol: of the split, grouped or image.
        seed: of the split, the proposals and every training.
        quiet: show no progress.

    Returns:
        What `tuning.json` holds, see `brainssl.studies.search.search`; `preset`, the path of
        `best.toml`; and `folder`, that of the chosen classifier, which `evaluate` measures.

    Raises:
        BadUseError: a name, a setting or a number that cannot be.
        BrainsslError: Optuna is missing, the store cannot be read, `out` holds something else, or
            every trial failed.
    """
    from brainssl.foundation.extras import require
    from brainssl.hardware.device import announce
    from brainssl.methods import METHODS
    from brainssl.models.encoder import build_encoder
    from brainssl.studies.search import BEST, Search, search
    from brainssl.training.positives import refuse_unpaired
    from brainssl.training.pretrain import refuse_views

    out, terminal = Path(out), Terminal(quiet=quiet)
    seed_of(seed)
    within("--trials", trials, 1)
    alone = (*semi_supervised_names(), "supervised")
    (method,) = known("--method", [method], (*method_names(), *alone))
    (stage,) = known("--stage", [stage], ("finetune", "linear"))
    if method in alone:
        if stage == "linear":
            raise BadUseError(f"--stage linear: {method} has none; leave it out")
        stage = "supervised"
    require("tune")
    data, settings, reasons = open_data(
        Path(store), preset, overrides, terminal, protocol=protocol, seed=seed
    )
    # What would make every trial fail.
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    if method in METHODS:
        own = settings.of(method)
        if (pairs := own.pretrain.positives) != "image":
            refuse_unpaired(pairs, bool(data.store.manifest[pairs].notna().any()), str(store))
        refuse_views(encoder, method, own)
    terminal.say(str(encoder.start))
    announce(settings.run, terminal.say, encoder)
    asked = Search(data, method, stage, fraction(label_fraction), settings, reasons, seed)
    found = search(asked, out, trials, task=terminal.task)
    folder = out / "trials" / f"{found['chosen']:03d}" / stage
    text = f"{_table(found)}\nSettings:   {out / BEST}\nClassifier: {folder}"
    return Answer({**found, "preset": str(out / BEST), "folder": str(folder)}, text)


def _table(found: Mapping[str, Any]) -> str:
    """Return a line a trial, with an arrow at the one that was chosen."""
    from brainssl.settings.writing import in_one_line

    lines = [f"   trial  val NLL  settings ({found['val_images']} validation images)"]
    for one in found["tried"]:
        loss = "failed" if one["val_nll"] is None else f"{one['val_nll']:.4f}"
        arrow = "→" if one["trial"] == found["chosen"] else " "
        told = one.get("error") or in_one_line(one["changed"])
        lines.append(f"{arrow}  {one['trial']:5}  {loss:>7}  {told}")
    return "\n".join(lines)
