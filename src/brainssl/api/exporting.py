"""The function that writes a model for other programs: export."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.api.answers import Answer
from brainssl.api.options import Where, path_or_none, seed_of
from brainssl.foundation.errors import BadUseError
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.models.classifier import Classifier
    from brainssl.models.encoder import Encoder


def export(
    model: "Where | Encoder | Classifier",
    out: Where | None = None,
    *,
    hub: Where | None = None,
    monai: Where | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Write a model as ONNX, as a folder in the layout of timm's hub, or as a MONAI bundle.

    Nothing is uploaded. Of a study's recommended classifier the folders hold its model card, and
    what `study.toml` says; of other models what their files say.

    Args:
        model: an encoder or a classifier; where it is, or loaded.
        out: ONNX file to make, checked against PyTorch; needs brainssl[onnx]; must not exist.
        hub: folder to make that `timm.create_model("local-dir:FOLDER")` opens; must not exist.
        monai: folder to make, a MONAI bundle of a classifier; must not exist.
        seed: accepted everywhere; the draws of the check are fixed.
        quiet: show no progress.

    Returns:
        `onnx`, the file, and what `brainssl.export_onnx` returns; `hub` and `monai`, the folders.

    Raises:
        BadUseError: nothing to make was named.
        BrainsslError: what is to be made exists; of `out` as `brainssl.export_onnx` says, of the
            folders as `brainssl.inference.hub` and `brainssl.inference.monai_bundle` say.
    """
    from brainssl.foundation.storage import refuse_existing
    from brainssl.models.classifier import load_model
    from brainssl.reporting.documents.card_of_model import about_of, card_of

    seed_of(seed)
    files = {name: path_or_none(given) for name, given in (("onnx", out), ("hub", hub))}
    files["monai"] = path_or_none(monai)
    made = {name: path for name, path in files.items() if path is not None}
    if not made:
        raise BadUseError("export: name what to make: a file for ONNX, --hub or --monai a folder")
    for path in made.values():
        refuse_existing(path)
    where = Path(model) if isinstance(model, str | Path) else None
    facts: dict[str, Any] = {name: str(path) for name, path in made.items()}
    said = []
    with Terminal(quiet=quiet).task("export"):
        loaded = load_model(where) if where else model
        assert not isinstance(loaded, str | Path)
        if "onnx" in made:
            from brainssl.inference.export import export_onnx

            facts |= export_onnx(loaded, made["onnx"])
            said.append(
                "{kind} {name} in {onnx}; largest difference from PyTorch {difference:.1g}".format(
                    **facts
                )
            )
        if "hub" in made:
            from brainssl.inference.hub import export_hub

            config = export_hub(loaded, made["hub"], card=card_of(loaded, where))
            said.append(f"timm's {config['architecture']} in {made['hub']}")
        if "monai" in made:
            from brainssl.inference.monai_bundle import export_monai

            told = about_of(where).model_dump()
            export_monai(loaded, made["monai"], card=card_of(loaded, where), about=told)
            said.append(f"MONAI bundle in {made['monai']}")
    return Answer(facts, "\n".join(said))
