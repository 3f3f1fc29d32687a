"""What a user may choose where a source holds volumes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from brainssl.data.volumes.choice import ALL, Choice
from brainssl.data.volumes.slices import Plane

LabelBy = Literal["sequence", "plane"]

LABEL_BY: tuple[LabelBy, ...] = get_args(LabelBy)


@dataclass(frozen=True)
class Reading:
    """How volumes are read and labelled.

    Attributes:
        slices: which slices of each.
        plane: in which slices are taken.
        label_by: what of a series becomes its label; None: what a table or the source says.
        lesion_slices: whether slices without lesion lose their label, in volumes with one.
        key: file of the key by which patients of a DICOM archive get their pseudonyms; None: one
            that is forgotten.
        field_of_view: side in mm of the square about the head that is seen of each slice; None:
            all of it is.
    """

    slices: Choice = ALL
    plane: Plane = "native"
    label_by: LabelBy | None = None
    lesion_slices: bool = False
    key: Path | None = None
    field_of_view: float | None = None

    def written(self) -> dict[str, Any]:
        """Return what differs from the default, the key aside, by option."""
        given = {
            "slices": None if self.slices == ALL else str(self.slices),
            "plane": None if self.plane == "native" else self.plane,
            "label-by": self.label_by,
            "lesion-slices": self.lesion_slices or None,
            "field-of-view": self.field_of_view,
        }
        return {name: value for name, value in given.items() if value is not None}


BY_DEFAULT = Reading()
"""All slices with brain, as they were acquired, with the labels of a table or of the source."""
