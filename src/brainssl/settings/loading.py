"""Presets are TOML files, and every value keeps the reason why it is what it is."""

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from brainssl.foundation.errors import BadUseError
from brainssl.settings.methods import STAGES
from brainssl.settings.settings import OWN_STAGES, Settings, flat

BY_HAND = "set by hand"
CHOSEN_ON = "chosen_on"
"""Table of a preset that says on which split its settings were chosen, and is no setting."""
EXTENDS = "extends"
"""Names the preset of the package on whose values a preset builds; it stands before all tables."""


def load_settings(
    preset: str = "quick", overrides: list[str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read a preset, apply overrides and say where each value comes from.

    A method's own value, as in [byol.pretrain], goes before that of [pretrain]; what is set by
    hand for all methods goes before both.

    Args:
        preset: a name under `settings/presets`, or the path of a TOML file.
        overrides: `section.key=value` or `method.section.key=value`, the value in TOML (bare words
            are strings).

    Returns:
        The settings, and for each key the reason of its value.

    Raises:
        BadUseError: no such preset, unknown key (the nearest is named), or a wrong value.
    """
    where, tables, reasons = _read_preset(preset)
    tables.pop(CHOSEN_ON, None)
    # First what holds for all methods, so that what is set for one of them has the last word.
    parsed = sorted((_parse(override) for override in overrides or []), key=lambda one: len(one[0]))
    for key, value in parsed:
        if key[0] in STAGES:
            _forget(tables, reasons, key)
        _put(tables, key, value)
        reasons[".".join(key)] = BY_HAND
    for method, stages in OWN_STAGES.items():
        own = tables.setdefault(method, {})
        for stage in stages:
            if isinstance(own.get(stage, {}), dict):
                own[stage] = tables.get(stage, {}) | own.get(stage, {})
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["loc"][0] in OWN_STAGES)
        place = ".".join(str(part) for part in first["loc"][:3])
        by_hand = [key for key, reason in reasons.items() if reason == BY_HAND]
        if any(f"{place}.".startswith(f"{key}.") or key.startswith(f"{place}.") for key in by_hand):
            where = "--set"
        raise BadUseError(f"{where}: {_explain(first)}") from None
    every = [key for key, _ in flat(settings.written())]
    return settings, {key: reasons.get(key, "default") for key in every}


def chosen_on(preset: str) -> dict[str, Any] | None:
    """Return protocol, seed and digest of the split on which a preset was chosen; None of others.

    Args:
        preset: as for `load_settings`, which raises what this does.

    Raises:
        BadUseError: no such preset, or its table of that name is not as `brainssl tune` writes it.
    """
    where, tables, _ = _read_preset(preset)
    told: Any = tables.get(CHOSEN_ON)
    names = ("protocol", "seed", "digest")
    if told is None:
        return None
    if not isinstance(told, dict) or set(told) != set(names):
        raise BadUseError(f"{where}: {CHOSEN_ON} must hold {', '.join(names)}, or be left out")
    return told


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("brainssl.settings") / "presets"
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".toml"))


def _read_preset(preset: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return what a preset is called, its tables over those that it builds on, and the reasons."""
    where, tables = _parsed_preset(preset)
    base = tables.pop(EXTENDS, None)
    if base is not None and base not in preset_names():
        known = ", ".join(preset_names())
        raise BadUseError(f"{where}: {EXTENDS} = {base!r} is no preset: choose {known}")
    settings = {name: values for name, values in tables.items() if name != CHOSEN_ON}
    _require_sections(where, settings)
    reasons = {key: f"preset {where}" for key, _ in flat(settings)}
    if base is None:
        return where, tables, reasons
    _, below, because = _read_preset(base)
    return where, _over(below, tables), because | reasons


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return tables with the values of others put over them."""
    both = {name: (below[name], above[name]) for name in below.keys() & above.keys()}
    inner = {
        name: _over(*pair) for name, pair in both.items() if all(isinstance(t, dict) for t in pair)
    }
    return below | above | inner


def _parsed_preset(preset: str) -> tuple[str, dict[str, Any]]:
    if preset in preset_names():
        text = (resources.files("brainssl.settings") / "presets" / f"{preset}.toml").read_text(
            "utf-8"
        )
        return preset, tomllib.loads(text)
    path = Path(preset)
    if path.suffix != ".toml" or not path.is_file():
        known = ", ".join(preset_names())
        raise BadUseError(f"no preset {preset}: choose {known}, or give a .toml file")
    try:
        return str(path), tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUseError(f"{path} is no valid TOML: {error}") from None


def _require_sections(where: str, tables: dict[str, Any]) -> None:
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise BadUseError(f"{where}: {name} stands outside of a section, such as [pretrain]")


def _parse(override: str) -> tuple[list[str], Any]:
    name, equals, text = override.partition("=")
    key = name.strip().split(".")
    if not equals or len(key) not in (2, 3) or not all(key):
        raise BadUseError(f"--set {override}: write section.key=value, e.g. pretrain.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()
    if isinstance(value, dict):
        raise BadUseError(f"--set {override}: one value at a time, as in section.key=value")
    return key, value


def _put(tables: dict[str, Any], key: list[str], value: Any) -> None:
    inner = tables
    for name in key[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise BadUseError(f"--set {'.'.join(key)}: {name} is a value and no section")
    inner[key[-1]] = value


def _forget(tables: dict[str, Any], reasons: dict[str, str], key: list[str]) -> None:
    """Take out what methods have of their own for a value that is set for all of them."""
    stage, name = key[0], key[-1]
    for method in OWN_STAGES:
        own = tables.get(method, {}).get(stage)
        if isinstance(own, dict):
            own.pop(name, None)
        reasons.pop(f"{method}.{stage}.{name}", None)


def _explain(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "model_type":
        return f"{place} is a section: give its values, as in {place}.key = value"
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        return f"{place}: {error['ctx']['error']}"  # values that do not go together
    if error["type"] != "extra_forbidden":
        return f"{place} = {error['input']!r}: {error['msg'].lower()}"
    known = _known_places()
    near = difflib.get_close_matches(place, known, n=1, cutoff=0.4)
    return f"there is no setting {place}" + (f"; did you mean {near[0]}?" if near else "")


def _known_places() -> list[str]:
    dumped = Settings().model_dump()
    keys = [key for key, _ in flat(dumped)]
    inner = (f"{name}.{stage}" for name, stages in OWN_STAGES.items() for stage in stages)
    return [*dumped, *inner, *keys]
