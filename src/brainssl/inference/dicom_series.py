"""Saliency maps of predicted DICOM series, as DICOM files in a folder.

Of each series there is a folder `series-<number>`, and in it `parametric-map.dcm` and
`overlay-<number>.dcm` of each slice that was judged: numbers are all that their names hold. All
slices are asked for the label of their series, so that the map of a volume is of one class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.letterbox import letterbox
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.slices import Opened
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.storage import write_atomically
from brainssl.inference.dicom_out import PARAMETRIC_MAP, SliceMap, dicom_maps, overlay_name
from brainssl.inference.given import Given, Volumes
from brainssl.inference.volumes import Cutting
from brainssl.models.classifier import Classifier

_METHOD = "Grad-CAM"
_NAMED = (
    "The DICOM files of maps bear the names and numbers of their patients, as their sources do: "
    "keep them where those are kept."
)


def refuse_others(pictures: Sequence[Path], volumes: Volumes) -> None:
    """Raise BadUseError if not all that is judged is of DICOM files.

    Raises:
        BadUseError: it names the first that is not.
        BrainsslError: highdicom is not installed.
    """
    others = [str(picture) for picture in pictures]
    others += [one.source for one in volumes.series if one.volume.format != "dicom"]
    if others:
        raise BadUseError(
            f"--maps-as dicom: {others[0]} is not DICOM, so there is no study that its map could "
            "belong to: name DICOM files alone, or use --maps-as png"
        )
    require("scans", writing=True)


@dataclass(frozen=True)
class DicomSeries:
    """How maps of series are written.

    Attributes:
        classifier: that judged them.
        cutting: how they were cut into slices, with a plane.
        folder: for them.
    """

    classifier: Classifier
    cutting: Cutting
    folder: Path

    def write(
        self, volumes: Volumes, series: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
    ) -> list[str]:
        """Write the maps of all series that have a label.

        Args:
            volumes: that were judged.
            series: what is told of them; each gets the file of its `parametric_map`.
            rows: of `brainssl.inference.predict.predict_files`; each slice gets the file of its
                `map`; where there is none that is None, and `map_error` says why.

        Returns:
            That they bear names, and a sentence for each series of which there are none.
        """
        told = {one["series"]: one for one in series if one.get("series") and "label" in one}
        slices: dict[str, dict[int, dict[str, Any]]] = {}
        for row in rows:
            if "slice" in row and "label" in row:
                slices.setdefault(row["file"].rpartition("/")[0], {})[row["slice"]] = row
        notes = []
        for number, one in enumerate(volumes.series, start=1):
            if one.name not in told or one.name not in slices:
                continue
            folder = self.folder / f"series-{number:04}"
            try:
                self._write_one(one, told[one.name], slices[one.name], folder)
            except BrainsslError as error:
                why = error.reason if isinstance(error, UnreadableImage) else str(error)
                for row in slices[one.name].values():
                    row |= {"map": None, "map_error": why}
                notes.append(f"There are no maps of {one.source} as DICOM: {why}.")
        return [_NAMED, *notes] if any("parametric_map" in one for one in series) else notes

    def _write_one(
        self, one: Given, told: dict[str, Any], rows: dict[int, dict[str, Any]], folder: Path
    ) -> None:
        label = told["label"]
        made = dicom_maps(
            one.volume,
            lambda opened: [self._mapped(opened, number, label) for number in rows],
            label=label,
            method=_METHOD,
            reader=self.classifier.reader,
            field_of_view=self.classifier.field_of_view,
            plane=self.cutting.plane or "native",
        )
        names = {overlay_name(number): row for number, row in rows.items()}
        for name, data in made:
            write_atomically(folder / name, lambda beside, data=data: beside.write_bytes(data))  # type: ignore[misc]
            if name == PARAMETRIC_MAP:
                told["parametric_map"] = str(folder / name)
            else:
                names[name]["map"] = str(folder / name)

    def _mapped(self, opened: Opened, number: int, label: str) -> SliceMap:
        from brainssl.inference.saliency import saliency_of

        one, model = opened.slice(number), self.classifier
        image = letterbox(one.pixels, model.image_size, model.bits, one.field)
        found = saliency_of(self.classifier, image, label=label)
        return SliceMap(number, found.saliency, found.peak)
