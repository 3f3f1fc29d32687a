"""Single values of a DICOM header, as plain Python ones; what is damaged counts as absent."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

_MOST = 512  # characters of a text, or values in a list: no header that is asked for has more

_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d(?:\.\d{1,6})?)")


def plain(dataset: Any, key: str | int) -> object:
    """Return the value of an element as text, number or list of them; None where there is none.

    Args:
        dataset: a `pydicom.Dataset`, or None.
        key: keyword or tag.
    """
    if dataset is None:
        return None
    try:
        value = dataset.get(key)
        if not isinstance(key, str) and value is not None:
            value = value.value
        return _plainly(value)
    except Exception:  # noqa: BLE001 - a value that cannot be converted raises nearly anything
        return None


def text(dataset: Any, key: str | int) -> str:
    """Return a value as text without its padding; "" where there is none."""
    value = plain(dataset, key)
    if isinstance(value, list):
        value = "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip(" \0")


def number(dataset: Any, key: str | int) -> float | None:
    """Return a finite number, of several the first; None where there is none."""
    values = numbers(dataset, key)
    return values[0] if values else None


def numbers(dataset: Any, key: str | int, count: int | None = None) -> tuple[float, ...] | None:
    """Return finite numbers; None where there are none, or not as many as `count`."""
    value = plain(dataset, key)
    parts: list[Any] = value if isinstance(value, list) else [value]
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return None
    if not found or not all(map(math.isfinite, found)) or (count and len(found) != count):
        return None
    return found


def taken_at(dataset: Any) -> float | None:
    """Return when an image was acquired, in seconds since any moment; None where it is not told.

    Times are compared, never given on. Without a day they cannot be, across midnight.
    """
    moment = text(dataset, "AcquisitionDateTime") or (
        text(dataset, "AcquisitionDate") + text(dataset, "AcquisitionTime")
    )
    found = _MOMENT.match(moment)
    if found is None:
        return None
    year, month, day, hour, minute, second = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    return days * 86400 + int(hour) * 3600 + int(minute) * 60 + float(second)


def whole(dataset: Any, key: str | int) -> int | None:
    """Return a whole number; None where there is none."""
    value = number(dataset, key)
    return None if value is None else int(value)


def items(dataset: Any, key: str | int) -> Sequence[Any]:
    """Return the items of a sequence; none where there is none."""
    try:
        found = None if dataset is None else dataset.get(key)
        return () if found is None else list(found)
    except Exception:  # noqa: BLE001 - as in `plain`
        return ()


def first(dataset: Any, key: str) -> Any:
    """Return the first item of a sequence; None where there is none."""
    return next(iter(items(dataset, key)), None)


def private(dataset: Any, group: int, creator: str, element: int) -> object:
    """Return the value of a private element by who made it; bytes stay bytes."""
    # Most files have none of a vendor's elements, and pydicom takes long to say so.
    if dataset is None or all(tag >> 16 != group for tag in dataset.keys()):  # noqa: SIM118
        return None
    try:
        value = dataset.private_block(group, creator)[element].value
    except Exception:  # noqa: BLE001 - absent, or a block that is damaged
        return None
    return bytes(value) if isinstance(value, bytes | bytearray) else _plainly(value)


def _plainly(value: Any) -> object:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return str(value)[:_MOST]
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return None
    if isinstance(value, Iterable) and not hasattr(value, "components"):
        return [_plainly(part) for part in list(value)[:_MOST]] or None
    return str(value)[:_MOST]
