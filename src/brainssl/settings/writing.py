"""Settings as people read them: a file of all of them, or a line of those that changed."""

import json
from collections.abc import Mapping
from typing import Any

from brainssl.settings.settings import Settings, flat


def preset_text(settings: Settings, reasons: dict[str, str]) -> str:
    """Return settings as a TOML file that `--preset` takes, each line with its reason."""
    sections: dict[str, list[str]] = {}
    for key, value in flat(settings.written()):
        if key.startswith("run."):
            continue
        section, _, name = key.rpartition(".")
        # JSON writes what TOML reads: strings, numbers, truth and lists of them.
        line = f"{name} = {json.dumps('none' if value is None else value)}"
        sections.setdefault(section, []).append(f"{line}  # {reasons.get(key, 'default')}")
    return "\n".join(
        line for section, lines in sections.items() for line in (f"[{section}]", *lines, "")
    )


def in_one_line(changed: Mapping[str, Any]) -> str:
    """Return settings that changed, such as "pretrain.epochs 20, views.strength 1.2".

    Args:
        changed: numbers by key; warm-ups are left out, as they go with the epochs.
    """
    told = [
        f"{key} {value:g}" for key, value in changed.items() if not key.endswith("warmup_epochs")
    ]
    return ", ".join(told) or "as given"
