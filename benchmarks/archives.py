"""How fast archives are read, beside the bare decoders, and how much memory that takes.

Of each format a folder of simulated heads is written, and read by turns in two ways, in one
process: headers by `find_archive` and by the bare parser, pixels by `volume_slices` and by
`pydicom.pixel_array`, `nibabel.get_fdata` or `h5py`. The bare ways neither sort, rescale, hang,
window nor choose. Times are the least of the rounds. Memory is the peak of a process of its own
that scans so many small slices, less that of one that only imports.

    python benchmarks/archives.py results/archives-2cores.json
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.find import find_archive
from brainssl.data.volumes.slices import volume_slices

MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
BRATS = ("t1n", "t1c", "t2w", "t2f")


def head(slices: int, side: int, seed: int) -> np.ndarray:
    """Return a noisy ellipsoid of 12 bits in air, uint16 (slices, rows, columns)."""
    z, y, x = (np.linspace(-1.2, 1.2, count) for count in (slices, side, side))
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 1
    noise = np.random.default_rng(seed).normal(0, 40, inside.shape)
    return np.asarray(np.where(inside, 1500 + 5 * noise, np.abs(noise)), np.uint16)


def _image(pixels: np.ndarray, kind: str, uid: str, **facts: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(kind), UID(f"1.2.{uid}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    held = {
        "SOPClassUID": kind,
        "SOPInstanceUID": f"1.2.{uid}",
        "Modality": "MR",
        "PatientID": uid.split(".")[0],
        "StudyInstanceUID": f"1.3.{uid.split('.')[0]}",
        "SeriesInstanceUID": f"1.4.{uid.split('.')[0]}",
        "SeriesDescription": "T1 ax",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
    }
    for word, value in (held | facts).items():
        setattr(data, word, value)
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW"
    return data


def write_dicom(folder: Path, volume: np.ndarray, number: int, *, packed: bool = False) -> None:
    """Write a file a slice, uncompressed or as lossless JPEG 2000."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, pixels in enumerate(volume):
        data = _image(
            pixels,
            MR,
            f"{number + 1}.{at + 1}",
            InstanceNumber=at + 1,
            PixelSpacing=[1.0, 1.0],
            SliceThickness=5.0,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 5.0 * at],
            RepetitionTime=500,
            EchoTime=12,
        )
        if packed:
            data.compress(JPEG2000Lossless, generate_instance_uid=False)
        data.save_as(folder / f"{number}-{at}.dcm", enforce_file_format=True)


def _of(**elements: Any) -> Dataset:
    data = Dataset()
    for word, value in elements.items():
        setattr(data, word, value)
    return data


def write_enhanced(folder: Path, volume: np.ndarray, number: int) -> None:
    """Write one enhanced file that holds a series."""
    folder.mkdir(parents=True, exist_ok=True)
    data = _image(volume, ENHANCED, f"{number + 1}.1", NumberOfFrames=len(volume))
    shared = Dataset()
    shared.PixelMeasuresSequence = [_of(PixelSpacing=[1.0, 1.0], SliceThickness=5.0)]
    shared.PlaneOrientationSequence = [_of(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.MRTimingAndRelatedParametersSequence = [_of(RepetitionTime=500.0)]
    shared.MREchoSequence = [_of(EffectiveEchoTime=12.0)]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        _of(
            PlanePositionSequence=[_of(ImagePositionPatient=[0, 0, 5.0 * at])],
            FrameContentSequence=[_of(StackID="1", InStackPositionNumber=at + 1)],
        )
        for at in range(len(volume))
    ]
    data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def write_nifti(file: Path, volume: np.ndarray) -> None:
    """Write a volume as NIfTI, packed if the name says so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    stored = volume.transpose(2, 1, 0).astype(np.int16)
    made: Any = nibabel.Nifti1Image
    image = made(stored, np.diag([1, 1, 5, 1.0]))
    nibabel.save(image, file)


def write_mat(file: Path, pixels: np.ndarray, number: int) -> None:
    """Write a slice as the figshare collection does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w", userblock_size=512) as held:
        group = held.create_group("cjdata")
        group["label"] = np.array([[1.0 + number % 3]])
        group["PID"] = np.array([[ord(c)] for c in f"{100000 + number}"], np.uint16)
        group["image"] = pixels.T.astype(np.int16)
        group["tumorMask"] = (pixels.T > 1700).astype(np.uint8)
        group["tumorBorder"] = np.zeros((1, 4))
    with file.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\0\2IM")


def _bare_dicom(folder: Path) -> float:
    files = sorted(folder.rglob("*.dcm"))
    return sum(float(pydicom.dcmread(file).pixel_array.max()) for file in files)


def _bare_dicom_headers(folder: Path) -> int:
    return sum(
        len(pydicom.dcmread(file, stop_before_pixels=True))
        for file in sorted(folder.rglob("*.dcm"))
    )


def _bare_nifti(folder: Path) -> float:
    files = [f for f in sorted(folder.rglob("*.nii*")) if "seg" not in f.name]
    images: list[Any] = [nibabel.load(file) for file in files]
    return sum(float(image.get_fdata(dtype=np.float32).max()) for image in images)


def _bare_nifti_headers(folder: Path) -> int:
    images: list[Any] = [nibabel.load(file) for file in sorted(folder.rglob("*.nii*"))]
    return sum(len(image.shape) for image in images)


def _bare_mat(folder: Path) -> float:
    total = 0.0
    for file in sorted(folder.rglob("*.mat")):
        with h5py.File(file) as held:
            total += float(held["cjdata/image"][()].max())
    return total


def _bare_mat_headers(folder: Path) -> int:
    total = 0
    for file in sorted(folder.rglob("*.mat")):
        with h5py.File(file) as held:
            total += held["cjdata/image"].shape[0] + int(held["cjdata/label"][()].item())
    return total


Written = tuple[Callable[[Path], object], Callable[[Path], object]]


def write(folder: Path, form: str, volumes: Sequence[np.ndarray]) -> Written:
    """Write volumes in a format; return its bare ways to read headers and pixels."""
    for number, volume in enumerate(volumes):
        if form.startswith("dicom"):
            write_dicom(folder / str(number), volume, number, packed=form != "dicom")
        elif form == "enhanced":
            write_enhanced(folder, volume, number)
        elif form in ("nii", "nii.gz"):
            write_nifti(folder / f"{number}_T1w.{form}", volume)
        elif form == "brats":
            name = f"BraTS-GLI-{number:05}-000"
            for kind in BRATS:
                write_nifti(folder / name / f"{name}-{kind}.nii.gz", volume)
            write_nifti(folder / name / f"{name}-seg.nii.gz", (volume > 1700).astype(np.uint16))
        else:
            for at, pixels in enumerate(volume):
                place = number * len(volume) + at + 1
                write_mat(folder / f"{place}.mat", pixels, place)
    if form in ("nii", "nii.gz", "brats"):
        return _bare_nifti_headers, _bare_nifti
    return (
        (_bare_mat_headers, _bare_mat) if form == "figshare" else (_bare_dicom_headers, _bare_dicom)
    )


def _archive(folder: Path) -> Archive:
    found = find_archive(folder, key=bytes(32), workers=1)
    assert found is not None
    return found


def _all_slices(archive: Archive) -> int:
    return sum(len(volume_slices(one.volume)) for one in archive.series)


def measure(folder: Path, form: str, volumes: Sequence[np.ndarray], rounds: int) -> dict[str, Any]:
    """Time both ways by turns."""
    bare_headers, bare_pixels = write(folder, form, volumes)
    archive = _archive(folder)
    slices = sum(one.shape[0] for one in archive.series)
    assert not archive.unreadable
    assert all(one.exclusion is None for one in archive.series)
    ways: dict[str, Callable[[], object]] = {
        "headers": lambda: _archive(folder),
        "bare_headers": lambda: bare_headers(folder),
        "slices": lambda: _all_slices(archive),
        "bare_slices": lambda: bare_pixels(folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    least = {name: min(times) for name, times in seconds.items()}
    return {
        "slices": slices,
        **{f"{name}_a_second": round(slices / least[name], 1) for name in ways},
        "headers_over_bare": round(least["headers"] / least["bare_headers"], 2),
        "slices_over_bare": round(least["slices"] / least["bare_slices"], 2),
    }


def peak(folder: Path | None) -> float:
    """Return the peak memory in MB of a process that scans a folder, or that only imports."""
    scans = f"; scan(Path({str(folder)!r}), workers=1)" if folder else ""
    code = (
        "import resource; from pathlib import Path; import pydicom; "
        f"from brainssl.data.scan import scan{scans}; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def memory(root: Path, counts: Sequence[int], side: int, each: int) -> dict[str, Any]:
    """Return the peak memory of scans of so many small slices, in series of `each`."""
    least = peak(None)
    found = {}
    written = 0
    for count in counts:
        while written < count // each:
            volume = head(each, side, written)
            write_dicom(root / str(written), volume, written)
            written += 1
        found[str(count)] = round(peak(root) - least, 1)
    return {"side": side, "slices_a_series": each, "imports_mb": round(least, 1), "peak_mb": found}


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="200,800,3200", help="numbers of slices")
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    volumes = [head(args.slices, args.side, seed) for seed in range(args.volumes)]
    report: dict[str, Any] = {
        "command": shlex.join(["python", *sys.argv]),
        "note": args.note,
        "times": "seconds of the processor, in one process",
        "machine": {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)},
        "side": args.side,
        "formats": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for form in ("dicom", "dicom-jpeg2000", "enhanced", "nii", "nii.gz", "brats", "figshare"):
            found = measure(Path(folder) / form, form, volumes, args.rounds)
            report["formats"][form] = found
            print(form, found, flush=True)
        counts = [int(count) for count in args.memory.split(",")]
        report["memory"] = memory(Path(folder) / "small", counts, 32, 20)
        print(report["memory"])
    args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
