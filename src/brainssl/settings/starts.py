"""Starts: what `encoder.weights` takes, and how each is called in rows, names and words."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RANDOM, IMAGENET, HUB = "random", "imagenet", "hub:"
FILES = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
"""How the names of weights files end."""
_SAY_NOTHING = {"encoder", "classifier", "model", "pytorch_model"}  # what every such file is called

_TITLES = {RANDOM: "random weights", IMAGENET: "ImageNet"}
_MARK = "-from-"


def known_weights(value: str) -> str:
    """Return what `encoder.weights` takes, or raise ValueError for anything else."""
    hub = re.fullmatch(rf"{HUB}[\w.-]+/[\w.-]+(@[\w.-]+)?", value)
    path = ("/" in value or value.endswith(FILES)) and not value.startswith(HUB)
    if value in (RANDOM, IMAGENET) or hub or path:
        return value
    if Path(value).is_dir():
        raise ValueError(f"{value} is a folder: write ./{value}")
    raise ValueError(
        f"give {RANDOM}, {IMAGENET}, {HUB}OWNER/NAME, a file ({', '.join(FILES)}) or a folder, "
        "such as ./weights"
    )


@dataclass(frozen=True)
class NamedStart:
    """The weights that encoders begin with.

    Attributes:
        weights: as `encoder.weights` takes them.
    """

    weights: str

    @property
    def path(self) -> Path | None:
        """The file or folder that holds them; None of those that have a name."""
        named = self.weights in (RANDOM, IMAGENET) or self.weights.startswith(HUB)
        return None if named else Path(self.weights).expanduser()

    @property
    def name(self) -> str:
        """Their short name, as rows of results have it.

        Of a file it is its stem, or the name of its folder where that stem says nothing.
        """
        if self.path is None:
            return self.weights
        # By the letters alone: a link, as in a cache, has the better name.
        path = Path(os.path.abspath(self.path))  # noqa: PTH100
        if path.suffix not in FILES:
            return path.name
        return (path.stem in _SAY_NOTHING and path.parent.name) or path.stem

    @property
    def mark(self) -> str:
        """What they add to the names of steps that begin with them."""
        return mark_of(self.name)


def mark_of(name: str) -> str:
    """Return what a short name adds to names of steps, such as `-from-imagenet`; "" of none."""
    return name and _MARK + re.sub(r"[^A-Za-z0-9.]+", "_", name)


def mark_in(step: str) -> str:
    """Return what the name of a step says of its start; "" where it is that of the settings."""
    found = re.search(rf"{_MARK}[A-Za-z0-9._]+", step)
    return found[0] if found else ""


def are_told(names: Iterable[str | None]) -> bool:
    """Tell whether models are named with their start: unless all began with random weights.

    Args:
        names: short names; None of a model without an encoder, and of earlier studies.
    """
    return bool(set(names) - {None, "", RANDOM})


def start_title(name: str) -> str:
    """Return a short name as it stands after "from"."""
    return _TITLES.get(name, name)
