"""What a header says, in safe types: a header may hold anything under any keyword."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Header = Mapping[str, object]
"""DICOM keywords with the values of pydicom or of a BIDS sidecar; times in milliseconds."""

_MOST = 64  # values of one element that are looked at


def numbers(value: object) -> tuple[float, ...]:
    """Return the finite numbers that a value holds, without truth values and other text."""
    found = []
    for one in _several(value):
        if isinstance(one, bool):
            continue
        try:
            number = float(one)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            continue
        if math.isfinite(number):
            found.append(number)
    return tuple(found)


def words(value: object) -> tuple[str, ...]:
    """Return the texts that a value holds, without bytes and numbers."""
    return tuple(one.strip() for one in _several(value) if isinstance(one, str) and one.strip())


def _several(value: object) -> list[object]:
    if value is None or isinstance(value, bytes | bytearray | Mapping):
        return []
    if isinstance(value, str):
        return list(value.split("\\", _MOST))
    if isinstance(value, Iterable):
        found = []
        try:
            for one in value:
                found.append(one)
                if len(found) == _MOST:
                    break
        except (TypeError, ValueError):
            return []
        return found
    return [value]


@dataclass(frozen=True)
class Times:
    """Numbers of an acquisition; None where the header does not give them or they cannot be.

    Attributes:
        tr: repetition time, ms.
        te: echo time, ms; of several echoes the first.
        ti: inversion time, ms.
        flip: flip angle, degrees.
        train: echoes of one excitation.
        field: of the magnet, tesla.
        seconds: whether times seemed to be in seconds and were taken for such.
    """

    tr: float | None = None
    te: float | None = None
    ti: float | None = None
    flip: float | None = None
    train: float | None = None
    field: float | None = None
    seconds: bool = False

    @classmethod
    def of(cls, header: Header) -> "Times":
        """Read the numbers of a header."""

        def first(low: float, high: float, *keys: str) -> float | None:
            held = (one for key in keys for one in numbers(header.get(key)))
            return next((one for one in held if low < one <= high), None)

        tr = first(0, 60_000, "RepetitionTime")
        te = first(0, 2_000, "EchoTime", "EffectiveEchoTime", "EchoTime1")
        ti = first(0, 10_000, "InversionTime", "InversionTimes")
        field = first(0, 25_000, "MagneticFieldStrength")
        # No brain is scanned at an echo time of 0.7 ms with a repetition time below 30 ms ...
        seconds = tr is not None and te is not None and te < 0.7 and tr < 30
        # ... but BIDS's sidecars hold seconds, and someone may have forgotten.
        scale = 1000.0 if seconds else 1.0
        return cls(
            tr=tr and tr * scale,
            te=te and te * scale,
            ti=ti and (ti * scale if ti < 30 else ti),
            flip=first(0, 180, "FlipAngle"),
            train=first(0, 2_000, "EchoTrainLength", "RFEchoTrainLength"),
            field=field and (field / 10_000 if field > 25 else field),  # in gauss
            seconds=seconds,
        )

    def told(self) -> str:
        """Say the times in words, such as "TR 500, TE 12"."""
        named = (("TR", self.tr), ("TE", self.te), ("TI", self.ti), ("flip angle", self.flip))
        return ", ".join(f"{name} {value:.4g}" for name, value in named if value is not None)
