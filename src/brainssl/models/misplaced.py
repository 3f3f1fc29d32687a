"""What was given where a model of ours is wanted, and what to give instead."""

from collections.abc import Mapping
from pathlib import Path

from brainssl.settings.starts import FILES

ENCODER, CLASSIFIER = "brainssl-encoder", "brainssl-classifier"
_ENCODER, _CLASSIFIER = "encoder.safetensors", "classifier.safetensors"
_FROM = {
    "encoder": f"the folder or the {_ENCODER} of a pretraining",
    "classifier": f"the folder or the {_CLASSIFIER} of a probe or a fine-tuning",
}
_START = "to begin a training with its weights, set encoder.weights to it"


def told_apart(path: Path, wanted: str, header: Mapping[str, str] | None = None) -> str | None:
    """Say what a path is that is no model of ours, and what to give instead; None if not known.

    Args:
        path: that was given, or looked for in a folder that was given.
        wanted: `encoder`, `classifier`, or both in words.
        header: of the file, where it is a safetensors file that was read.
    """
    form = header.get("format") if header else None
    if form == CLASSIFIER or (wanted == "encoder" and (path / _CLASSIFIER).is_file()):
        return f"{path} is a classifier: give {_mend(wanted)}; {_START}"
    if form == ENCODER or (wanted == "classifier" and (path / _ENCODER).is_file()):
        return f"{path} is an encoder, which knows no classes: give {_mend(wanted)}"
    if bundle := bundle_of(path):
        what = "a bundle for MONAI" if bundle == path else f"of a bundle for MONAI, {bundle}"
        return f"{path} is {what}: give {_mend(wanted)} that it was made from"
    if path.suffix == ".onnx":
        return f"{path} is a model for ONNX Runtime: give {_mend(wanted)} that it was made from"
    if path.is_dir() and (path / "config.json").is_file():
        return f"{path} is a folder in the layout of timm's hub: give {_mend(wanted)}; {_START}"
    if path.is_file() and (header is not None or path.suffix in FILES[1:]):
        return f"{path} holds weights that brainssl did not write: give {_mend(wanted)}; {_START}"
    return None


def bundle_of(path: Path) -> Path | None:
    """Return the bundle for MONAI that a path is, or lies in; None if it does not."""
    above = [path, *path.parents][:3]
    return next((one for one in above if (one / "configs" / "metadata.json").is_file()), None)


def _mend(wanted: str) -> str:
    return _FROM.get(wanted, " or ".join(_FROM.values()))
