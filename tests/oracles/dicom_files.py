"""DICOM files made for tests: slices, series, enhanced multi-frame files and mosaics."""

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TILTED = (
    (0.9397, 0.0, 0.342, 0.0, 1.0, 0.0),
    (0.9848077530122080, 0.1736481776669304, 0.0, -0.1632, 0.92541658, 0.34202014),
)


def pattern(shape: Sequence[int], seed: int = 0, most: int = 3000) -> np.ndarray:
    """Values that no turn or shift of them equals."""
    return np.random.default_rng(seed).integers(0, most, tuple(shape)).astype(np.uint16)


def made(pixels: np.ndarray, *, sop_class: str = MR, **elements: Any) -> FileDataset:
    """One file of `(rows, columns)` or `(frames, rows, columns)`; None leaves an element out."""
    sop = elements.get("SOPInstanceUID") or generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = pixels.dtype.itemsize * 8
    facts = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": sop,
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "PatientID": "P1",
        "PatientName": "Somebody",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelSpacing": [0.9, 0.7],
        "ImageOrientationPatient": list(AXIAL),
        "ImagePositionPatient": [-10.0, -20.0, 30.0],
        "SliceThickness": 3.0,
        "EchoTime": 12.0,
        "RepetitionTime": 500.0,
    }
    rows, columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[-3:-1]
    facts |= {"Rows": rows, "Columns": columns} | elements
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests want what the standard forbids
        for word, value in facts.items():
            if value is not None:
                setattr(dataset, word, value)
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    """Write one file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def normal(orientation: Sequence[float]) -> np.ndarray:
    """Unit normal of a slice."""
    found = np.cross(orientation[:3], orientation[3:])
    return np.asarray(found / np.linalg.norm(found))


def positions(
    orientation: Sequence[float], count: int, step: float = 4.0, start: float = 0.0
) -> list[list[float]]:
    """Of slices along their normal, as numbers of at most 16 characters."""
    begin = np.array([-10.0, -20.0, 30.0])
    way = normal(orientation)
    return [[round(float(v), 9) for v in begin + way * (start + step * at)] for at in range(count)]


def series(
    folder: Path,
    *,
    count: int = 5,
    orientation: Sequence[float] = AXIAL,
    step: float = 4.0,
    start: float = 0.0,
    skip: Sequence[int] = (),
    seed: int = 0,
    shape: tuple[int, int] = (12, 16),
    **elements: Any,
) -> list[Path]:
    """Slices whose file names and numbers run against their positions; those in order."""
    values = pattern((count, *shape), seed)
    paths = []
    for at, position in enumerate(positions(orientation, count, step, start)):
        if at in skip:
            continue
        facts = {
            "InstanceNumber": (at * 7) % 5 + 1,
            "ImagePositionPatient": position,
            "ImageOrientationPatient": list(orientation),
        }
        path = folder / f"{seed}-{(at * 3) % 7}-{at}.dcm"
        paths.append(write(made(values[at], **(facts | elements)), path))
    return paths


def enhanced(pixels: np.ndarray, frames: Sequence[dict[str, Any]], **elements: Any) -> FileDataset:
    """An enhanced file; of each frame what `frames` says."""
    dataset = made(
        pixels,
        sop_class=ENHANCED,
        NumberOfFrames=len(pixels),
        **(
            {"PixelSpacing": None, "ImageOrientationPatient": None, "ImagePositionPatient": None}
            | {"SliceThickness": None, "EchoTime": None}
            | elements
        ),
    )
    shared = Dataset()
    shared.PixelMeasuresSequence = [_of(PixelSpacing=[0.9, 0.7], SliceThickness=3.0)]
    shared.PlaneOrientationSequence = [_of(ImageOrientationPatient=list(AXIAL))]
    shared.MRTimingAndRelatedParametersSequence = [_of(RepetitionTime=500.0, FlipAngle=90.0)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    own = []
    for facts in frames:
        frame = Dataset()
        frame.PlanePositionSequence = [_of(ImagePositionPatient=list(facts["position"]))]
        if "orientation" in facts:
            frame.PlaneOrientationSequence = [_of(ImageOrientationPatient=facts["orientation"])]
        frame.PixelValueTransformationSequence = [
            _of(
                RescaleSlope=facts.get("slope", 1.0),
                RescaleIntercept=facts.get("intercept", 0.0),
                RescaleType="US",
            )
        ]
        frame.MREchoSequence = [_of(EffectiveEchoTime=facts.get("echo", 12.0))]
        frame.FrameContentSequence = [
            _of(
                TemporalPositionIndex=facts.get("time", 1),
                StackID="1",
                InStackPositionNumber=facts.get("place", 1),
                DimensionIndexValues=[1, facts.get("place", 1)],
            )
        ]
        frame.MRImageFrameTypeSequence = [
            _of(
                FrameType=facts.get("type", ["ORIGINAL", "PRIMARY", "M", "NONE"]),
                AcquisitionContrast="T2",
            )
        ]
        if "inversion" in facts:
            frame.MRModifierSequence = [_of(InversionTimes=facts["inversion"])]
        own.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = own
    dataset.DimensionIndexSequence = [
        _of(DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
        for pointer in (0x00209056, 0x00209057)  # StackID, InStackPositionNumber
    ]
    return dataset


def _of(**elements: Any) -> Dataset:
    dataset = Dataset()
    for word, value in elements.items():
        setattr(dataset, word, value)
    return dataset


def csa(tags: dict[str, list[str]], *, second: bool = True) -> bytes:
    """A CSA header of either version."""
    body = b""
    first_items = 6
    for at, (name, texts) in enumerate(tags.items()):
        items = max(first_items if at == 0 else len(texts), len(texts))
        body += struct.pack("<64si4siii", name.encode(), len(texts), b"IS", 6, items, 77)
        for item in range(items):
            data = texts[item].encode() + b"\0" if item < len(texts) else b""
            length = len(data) if second else len(data) + first_items
            body += struct.pack("<4i", length, len(data) if second else 0, 77, length)
            body += data + b"\0" * (-len(data) % 4)
    begin = b"SV10\4\3\2\1" if second else b""
    return begin + struct.pack("<2I", len(tags), 77) + body


def mosaic(
    tiles: np.ndarray,
    orientation: Sequence[float],
    *,
    header: bytes | None = None,
    private_count: bool = False,
    flipped: bool = False,
    **elements: Any,
) -> FileDataset:
    """A mosaic of `(slices, rows, columns)`; its first slice lies where `positions` begins."""
    count, rows, columns = tiles.shape
    grid = int(np.ceil(np.sqrt(count)))
    picture = np.zeros((grid * rows, grid * columns), np.uint16)
    for at, tile in enumerate(tiles):
        top, left = at // grid * rows, at % grid * columns
        picture[top : top + rows, left : left + columns] = tile
    first = np.array(positions(orientation, 1)[0])
    corner = first - np.array(orientation[:3]) * 0.7 * columns * (grid - 1) / 2
    corner = corner - np.array(orientation[3:]) * 0.9 * rows * (grid - 1) / 2
    way = normal(orientation) * (-1 if flipped else 1)
    told = {
        "NumberOfImagesInMosaic": [f"{count:8d}"],
        "SliceNormalVector": [f"{value:.8f}" for value in way],
    }
    dataset = made(
        picture,
        **(
            {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
                "ImageOrientationPatient": list(orientation),
                "ImagePositionPatient": [round(float(value), 9) for value in corner],
                "SpacingBetweenSlices": 4.0,
                "AcquisitionMatrix": [rows, 0, 0, columns],
                "InstanceNumber": 1,
                "SeriesNumber": 3,
                "AcquisitionNumber": 1,
                "MRAcquisitionType": "2D",
                "ScanningSequence": "EP",
                "SoftwareVersions": "syngo MR B17",
            }
            | elements
        ),
    )
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    block.add_new(0x10, "OB", csa(told) if header is None else header)
    if private_count:
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", count)
    return dataset
