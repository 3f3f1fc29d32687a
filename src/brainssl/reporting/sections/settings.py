"""The section that lists every setting with its value and the reason for it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brainssl.reporting.blocks import Block
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import METHOD_TITLES
from brainssl.reporting.trainings import Resolved, resolved
from brainssl.reporting.wording import MISSING, join, labels_title


def content(study: Study) -> tuple[Block, ...]:
    """List every setting with its reason."""
    settings, reasons = study.facts.get("settings") or {}, study.facts.get("reasons") or {}
    if not settings and not reasons:
        return ()
    return (settings_table(settings, reasons, resolved(study)),)


def settings_table(
    settings: Mapping[str, Any], reasons: Mapping[str, str], found: Sequence[Resolved] = ()
) -> Table:
    """Return every setting with its reasons, by their full names such as byol.pretrain.epochs.

    Args:
        settings: as `Settings.written` gives them: sections, in methods' ones further sections.
        reasons: by full name; "a.b@0.1" is about 10 % of labels. Those of methods that have no
            section in `settings` are left out.
        found: values that depend on the data; they stand for what was set.
    """
    flat = dict(_flatten(settings))
    given: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        name, at = _setting_and_condition(key)
        section = name.split(".")[0]
        if section in settings or section not in METHOD_TITLES:
            given.setdefault(name, []).append(f"{at}: {reason}" if at else str(reason))
    for name in dict.fromkeys(one.name for one in found):
        flat[name], given[name] = _from_data([one for one in found if one.name == name])
    lines, above = [], ""
    for name in [*flat, *(name for name in given if name not in flat)]:
        section = name.split(".")[0]
        cells = Cell(_plain(flat.get(name))), Cell("; ".join(given.get(name, ())))
        lines.append(Line((name,), cells, start=section != above))
        above = section
    return Table(
        name="settings-resolved",
        caption=(
            "Every setting after presets, overrides and rules were resolved. What a method has of "
            "its own stands under its name, and goes before what all have."
        ),
        stub=("Setting",),
        columns=("Value", "Reason"),
        lines=tuple(lines),
        numeric=False,
    )


def _from_data(found: Sequence[Resolved]) -> tuple[str, list[str]]:
    """Return value and reason; where trainings differ, those of each protocol."""
    protocols: dict[tuple[str, str], list[str]] = {}
    for one in found:
        places = protocols.setdefault((f"{one.value:.5g}", one.reason), [])
        if one.training.protocol not in places:
            places.append(one.training.protocol)
    values = list(dict.fromkeys(value for value, _ in protocols))
    if len(protocols) == 1:
        return values[0], [reason for _, reason in protocols]
    named = {pair: join([f"“{place}”" for place in places]) for pair, places in protocols.items()}
    return ", ".join(values), [f"{places}: {reason}" for (_, reason), places in named.items()]


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _setting_and_condition(key: str) -> tuple[str, str]:
    """Split the key of a reason: "a.b@0.1" holds for a.b with 10 % of labels only."""
    name, _, at = key.replace(" at ", "@", 1).partition("@")
    try:
        return name.rstrip(","), f"with {labels_title(at.split(' ', 1)[0])}"
    except ValueError:
        return name, at


def _plain(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
