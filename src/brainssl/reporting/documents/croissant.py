"""The collection of a study as Croissant metadata: what tools for data sets read of it.

Croissant 1.0 and its vocabulary for responsible use (RAI), of MLCommons. The file describes a
table beside it: the manifest, image by image, without the columns that may name a patient and
without images that are not of the collection. The images themselves stay where they are.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.data.extra import is_extra
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import write_atomically, write_json
from brainssl.reporting.documents.front_matter import source_name
from brainssl.reporting.findings.about import About, read_about
from brainssl.reporting.study import Study

CROISSANT, COLLECTION = "croissant.json", "collection.parquet"

_CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_AS_JSON = ("data", "examples")
# fmt: off
_TERMS = [
    "citeAs", "column", "conformsTo", "data", "dataType", "equivalentProperty", "examples",
    "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
    "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
]
# fmt: on

# Columns of the manifest that may be shown, with their types and what they hold.
_FIELDS = {
    "image_id": ("sc:Text", "Start of the SHA-256 of its path: who knows the path knows it."),
    "label": ("sc:Text", "Class; missing where an image is for pretraining only."),
    "sequence": ("sc:Text", "MRI sequence, where it is known."),
    "plane": ("sc:Text", "Plane of the slice, where it is known."),
    "group": ("sc:Integer", "Images of one patient, or near-duplicates, have the same number."),
    "width": ("sc:Integer", "Pixels a row, in the file."),
    "height": ("sc:Integer", "Rows, in the file."),
    "source_bits": ("sc:Integer", "Bits a sample, in the file."),
}

_SAID = {
    "intended_use": "rai:dataUseCases",
    "dates": "rai:dataCollectionTimeframe",
    "eligibility": "rai:dataSelectionCriteria",
    "deidentification": "rai:personalSensitiveInformation",
    "reference_standard": "rai:dataAnnotationProtocol",
    "annotators": "rai:annotatorDemographics",
    "disagreement": "rai:dataAnnotationAnalysis",
    "subgroups": "rai:dataBiases",
    "limitations": "rai:dataLimitations",
}
_COLLECTED = ("source", "sites", "scanners", "population", "ethics")


def write_croissant(study: Study) -> Path | None:
    """Write `croissant.json` and the table that it describes into the study's folder.

    Returns:
        Its path; None where the store is elsewhere or gone, and nothing is written.

    Raises:
        BrainsslError: `study.toml` is not as it should be.
    """
    manifest = study.folder / "store" / "manifest.parquet"
    if not manifest.is_file():
        return None
    about = read_about(study.folder)
    table = collection(read_frame(manifest))
    beside, path = study.folder / COLLECTION, study.folder / CROISSANT
    write_atomically(beside, lambda file: table.to_parquet(file, index=False))
    write_json(path, croissant(study, beside, table.columns.tolist(), about))
    return path


def collection(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return what of a manifest may be shown: the images of the collection, and no names."""
    columns = [column for column in _FIELDS if column in manifest]
    return manifest.loc[~is_extra(manifest), columns].reset_index(drop=True)


def croissant(study: Study, table: Path, columns: Sequence[str], about: About) -> dict[str, Any]:
    """Return the metadata as JSON-LD; what the authors do not say is left out."""
    name = re.sub(r"[^\w-]+", "-", source_name(study)).strip("-") or "collection"
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS,
        "name": name,
        "description": _description(study),
        **_told(about),
        "distribution": [_file("collection", COLLECTION, table, "application/x-parquet")],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "One record an image.",
                "key": {"@id": "images/image_id"},
                "field": [_field(column) for column in columns],
            }
        ],
    }


def _context() -> dict[str, Any]:
    terms: dict[str, Any] = {term: f"cr:{term}" for term in _TERMS}
    terms |= {term: {"@id": f"cr:{term}", "@type": "@json"} for term in _AS_JSON}
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        **terms,
        "conformsTo": "dct:conformsTo",
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    }


def _description(study: Study) -> str:
    simulated = "Simulated slices" if study.facts.get("simulated") else "Slices"
    return f"{simulated} of brain MRI in {len(study.classes)} classes: {', '.join(study.classes)}."


def _told(about: About) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if about.authors:
        told["creator"] = {"@type": "sc:Organization", "name": about.authors}
    if about.data_licence:
        told["license"] = about.data_licence
    if address := re.search(r"https?://[^\s,;)>\]]+", about.source):
        told["url"] = address.group().rstrip(".")
    collected = [value for key in _COLLECTED if (value := getattr(about, key))]
    if collected:
        told["rai:dataCollection"] = " ".join(collected)
    return told | {term: value for key, term in _SAID.items() if (value := getattr(about, key))}


def _file(name: str, address: str, path: Path, form: str) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": address,
        "encodingFormat": form,
        "sha256": digest,
    }


def _field(column: str) -> dict[str, Any]:
    kind, description = _FIELDS[column]
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "description": description,
        "dataType": kind,
        "source": {"fileObject": {"@id": "collection"}, "extract": {"column": column}},
    }
