"""DICOM, NIfTI and other files that are bad or odd; each one's name says what is odd about it."""

import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from oracles.dicom_files import made
from oracles.odd_pictures import Odd, brain, chunk, head, pixels_of, png, saved
from pydicom.dataset import FileDataset

_DEFLATED = "1.2.840.10008.1.2.1.99"
_NIFTI = 348


def strangers(seed: int = 0) -> Iterator[Odd]:
    """Yield files that are no images, and files that are of two kinds."""
    good = saved(brain())
    draws = np.random.default_rng(seed)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("slice.png", good)
    data: dict[str, Any] = {
        "empty": b"",
        "one-byte": b"\x89",
        "a-megabyte-of-zeros": bytes(2**20),
        "all-ones": b"\xff" * 5000,
        "noise": draws.bytes(5000),
        "text": b"no picture\n" * 99,
        "page": b"<!doctype html><script>alert(1)</script>",
        "numbers": b'{"pixels": [1, 2, 3]}',
        "table": b"path,label\na.png,Glioma\n",
        "document": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" + good,
        "drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n/x{x}def x\n",
        "zip-of-a-picture": zipped.getvalue(),
        "pickle": b"\x80\x04cos\nsystem\n(S'echo hurt'\ntR.",
        "array": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (9,)}\n",
        "program": b"\x7fELF\x02\x01\x01" + bytes(99),
        "matlab-7": b"MATLAB 7.3 MAT-file".ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(99),
        "matlab-5": b"MATLAB 5.0 MAT-file".ljust(124, b"\0") + b"\0\x01IM" + draws.bytes(99),
        "gzip-of-a-picture": gzip.compress(good),
        "gzip-of-gzip": gzip.compress(gzip.compress(good)),
        "gzip-of-nothing": gzip.compress(b""),
        "gzip-head-alone": gzip.compress(good)[:10],
        "gzip-cut": gzip.compress(good)[:200],
        "gzip-damaged": b"\x1f\x8b\x08\0" + draws.bytes(400),
        "gzip-bomb": _gzip_bomb,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    }
    suffixes = (".png", ".dcm", ".nii", ".nii.gz", ".mat", ".tif", "")
    for place, (name, content) in enumerate(data.items()):
        for suffix in (suffixes[place % 7], suffixes[(place + 3) % 7]):
            yield Odd(f"{name}{suffix}", content, "broken")
    yield Odd("picture-and-zip.png", good + zipped.getvalue(), "whole")
    yield Odd("picture-and-page.jpg", saved(brain(), "jpg") + data["page"], "whole")
    dicom = bytearray(_written(made(brain(96).astype(np.uint16))))
    dicom[:132] = (b"II*\0" + struct.pack("<I", 8) + bytes(120) + b"DICM")[:132]
    yield Odd("dicom-and-tiff.dcm", bytes(dicom))
    sign = png(head(48, 48), chunk(b"tEXt", b"k\0" + bytes(128 - 43) + b"DICM"), pixels_of(brain()))
    yield Odd("picture-with-the-sign-of-dicom.png", sign)
    yield Odd("nifti-with-a-picture-in-it.nii", _nifti(extra=good, vox_offset=352 + len(good)))


def _gzip_bomb(begin: bytes = b"") -> bytes:
    return gzip.compress(begin + bytes(2**27), 1)


def _deflated(begin: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return begin + packer.compress(bytes(2**27)) + packer.flush()


def _written(dataset: FileDataset) -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(held, enforce_file_format=False)
    return held.getvalue()


def _dicom(**elements: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _written(made(brain(96).astype(np.uint16) * 9, **elements))


def dicom_files(seed: int = 0) -> Iterator[Odd]:
    """Yield files that are DICOM, or nearly."""
    good = _dicom()
    yield Odd("plain.dcm", good, "whole")
    yield Odd("plain-dicom-with-the-suffix-of-a-picture.png", good, "whole")
    for share in (0.005, 0.02, 0.04, 0.2, 0.99):
        yield Odd(f"cut-at-{share}.dcm", good[: int(len(good) * share)], "broken")
    draws = np.random.default_rng(seed)
    for number in range(8):
        hurt = bytearray(good)
        for place in draws.integers(128, 1200, 6):
            hurt[place] ^= int(draws.integers(1, 256))
        yield Odd(f"six-bytes-of-head-hurt-{number}.dcm", bytes(hurt))
    pixels = good.rindex(struct.pack("<HH", 0x7FE0, 0x10))
    yield Odd("missing-PixelData.dcm", good[:pixels], "broken")
    for name in ("Rows", "Columns", "BitsAllocated"):
        yield Odd(f"missing-{name}.dcm", _dicom(**{name: None}), "broken")
    for name in (
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality"),
        *("PatientID", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
        *("BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "ImageType"),
        "PhotometricInterpretation",
    ):
        yield Odd(f"missing-{name}.dcm", _dicom(**{name: None}))
    values: dict[str, tuple[Any, ...]] = {
        "Rows": (0, 1, 65_535),
        "BitsAllocated": (0, 1, 7, 12, 24, 32, 64),
        "BitsStored": (0, 99),
        "HighBit": (0, 40),
        "SamplesPerPixel": (0, 3, 5),
        "PixelRepresentation": (1, 2),
        "NumberOfFrames": ("0", "-1", "2", "1000000000"),
        "PhotometricInterpretation": ("RGB", "PALETTE COLOR", "MONOCHROME1", "ODD"),
        "RescaleSlope": ("0", "-1", "1e38"),
        "PixelSpacing": ([0, 0], [-1, -1], [1e9, 1e9]),
        "ImageOrientationPatient": ([0] * 6, [1, 0, 0, 1, 0, 0], [9] * 6),
        "ImagePositionPatient": ([1e38] * 3,),
        "WindowWidth": ("0",),
        "PatientName": ("A\nB\x1b[31m", "x" * 5000),
        "SpecificCharacterSet": ("ISO 9999",),
        "Modality": ("SR", "RTSTRUCT", "CT"),
    }
    for name, odd in values.items():
        for value in odd:
            told = "-".join(str(value).split()).strip("[]")[:20].encode("ascii", "ignore")
            plain = "".join(c if c.isalnum() or c in "-." else "_" for c in told.decode())
            slope = {"RescaleIntercept": "0"} if name == "RescaleSlope" else {}
            yield Odd(f"{name}-is-{plain}.dcm", _dicom(**{name: value}, **slope))
    for name, data in {"none": b"", "short": bytes(100), "odd": bytes(96 * 96 * 2 + 1)}.items():
        yield Odd(f"pixels-{name}.dcm", _dicom(PixelData=data))
    yield Odd("all-zero.dcm", _dicom(PixelData=bytes(96 * 96 * 2)))
    yield Odd("localiser.dcm", _dicom(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    yield from _odd_syntax(good)


def _odd_syntax(good: bytes) -> Iterator[Odd]:
    """Yield files whose encoding is odd."""
    yield Odd("without-preamble.dcm", good[128:])
    yield Odd("without-any-sign.dcm", good[132:])
    begin = good.index(b"1.2.840.10008.1.2.1\0")
    syntaxes = {"unknown": b"1.2.840.10008.9.9.9", "jpeg": b"1.2.840.10008.1.2.4.50"}
    syntaxes |= {"big-endian": b"1.2.840.10008.1.2.2", "jpeg-2000": b"1.2.840.10008.1.2.4.90"}
    syntaxes |= {"implicit": b"1.2.840.10008.1.2", "runs": b"1.2.840.10008.1.2.5"}
    for name, said in syntaxes.items():
        said += b"\0" * (len(said) % 2)
        length = struct.pack("<H", len(said))
        data = good[: begin - 2] + length + said + good[begin + 20 :]
        yield Odd(f"says-its-pixels-are-{name}.dcm", data)
    end = good.index(struct.pack("<HH", 8, 8))  # the first element of the dataset
    deflated = good[: begin - 2] + struct.pack("<H", 22) + _DEFLATED.encode()
    yield Odd("deflated-bomb.dcm", partial(_deflated, deflated))
    yield Odd("deflated-garbage.dcm", deflated + b"garbage")
    pixels = good.rindex(struct.pack("<HH", 0x7FE0, 0x10))
    for length in (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF):
        data = good[: pixels + 8] + struct.pack("<I", length) + good[pixels + 12 :]
        yield Odd(f"pixels-of-length-{length:x}.dcm", data)
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    nest = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item
    yield Odd("sequences-in-each-other-3000-deep.dcm", good[:end] + nest * 3000)
    yield Odd("rows-are-text.dcm", good.replace(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0LO\2\0"))
    spacing = good.index(b"\x28\0\x30\0DS")
    text = good[: spacing + 8] + b"x" * good[spacing + 6] + good[spacing + 8 + good[spacing + 6] :]
    yield Odd("spacing-is-text.dcm", text)
    yield Odd("tail-of-garbage.dcm", good + b"\xde\xad\xbe\xef" * 99)
    directory = made(brain(8).astype(np.uint16), sop_class="1.2.840.10008.1.3.10", PixelData=None)
    ring = struct.pack("<HH2sHI", 4, 0x1200, b"UL", 4, 200)
    ring += struct.pack("<HH2s2xI", 4, 0x1220, b"SQ", 0xFFFFFFFF)
    record = struct.pack("<HH2sHI", 4, 0x1400, b"UL", 4, 200)
    record += struct.pack("<HH2sHI", 4, 0x1420, b"UL", 4, 200)
    ring += (item + record + b"\xfe\xff\x0d\xe0" + bytes(4)) * 3 + b"\xfe\xff\xdd\xe0" + bytes(4)
    yield Odd("DICOMDIR", _written(directory)[:end] + ring)
    yield Odd("directory-in-a-ring.dcm", _written(directory)[:end] + ring)


def _nifti(voxels: np.ndarray | None = None, extra: bytes = b"", **fields: Any) -> bytes:
    import nibabel

    y = np.mgrid[-1:1:24j, -1:1:24j, -1:1:12j]
    ball = 800 * ((y**2).sum(0) < 0.7) + np.random.default_rng(0).integers(0, 90, (24, 24, 12))
    voxels = ball.astype(np.int16) if voxels is None else voxels
    image = nibabel.Nifti1Image(voxels, np.diag([8.0, 8, 12, 1]), dtype=voxels.dtype)
    data = bytearray(image.to_bytes())
    header = np.frombuffer(data, dtype=nibabel.Nifti1Header.template_dtype, count=1)[0].copy()
    for name, value in fields.items():
        with np.errstate(all="ignore"):
            header[name] = value
    data[:_NIFTI] = header.tobytes()
    return bytes(data[:352]) + extra + bytes(data[352:])


def nifti_files() -> Iterator[Odd]:
    """Yield files that are NIfTI, or nearly."""
    good = _nifti()
    yield Odd("plain.nii", good, "whole")
    yield Odd("plain-nifti-with-the-suffix-of-a-picture.png", good, "whole")
    packed = gzip.compress(good)
    yield Odd("plain.nii.gz", packed, "whole")
    yield Odd("gzip-with-the-suffix-of-none.nii", packed, "whole")
    yield Odd("none-with-the-suffix-of-gzip.nii.gz", good, "whole")
    for share in (0.001, 0.01, 0.02, 0.5, 0.99):
        yield Odd(f"cut-at-{share}.nii", good[: int(len(good) * share)], "broken")
        yield Odd(f"cut-at-{share}.nii.gz", packed[: int(len(packed) * share)], "broken")
    yield Odd("wrong-checksum.nii.gz", packed[:-8] + bytes(8), "broken")
    yield Odd("hurt-in-the-middle.nii.gz", packed[:900] + b"\xff" * 99 + packed[999:], "broken")
    yield Odd("tail-of-garbage.nii.gz", packed + b"garbage" * 99)
    yield Odd("gzip-of-gzip.nii.gz", gzip.compress(packed), "broken")
    large = (8, *(1290,) * 3, 1, 1, 1, 1)
    bomb = _nifti(dim=(3, 1290, 1290, 600, 1, 1, 1, 1))[:352]
    yield Odd("bomb-128-MiB.nii.gz", partial(_gzip_bomb, bomb), "broken")
    dims: dict[str, tuple[int, ...]] = {
        "none": (0, *(1,) * 7),
        "8": (8, *(2,) * 7),
        "minus": (-3, 24, 24, 12, 1, 1, 1, 1),
        "7": (7, 6, 6, 6, 2, 2, 2, 2),
        "5": (5, 24, 24, 3, 2, 2, 1, 1),
        "1": (1, 6912, 1, 1, 1, 1, 1, 1),
        "2": (2, 24, 288, 1, 1, 1, 1, 1),
        "with-a-zero": (3, 24, 0, 12, 1, 1, 1, 1),
        "below-zero": (3, 24, -24, 12, 1, 1, 1, 1),
        "huge": (3, 32767, 32767, 32767, 1, 1, 1, 1),
        "huge-and-many": (7, *(32767,) * 7),
        "more-than-there-is": (3, 24, 24, 999, 1, 1, 1, 1),
        "many-volumes": (4, 2, 2, 2, 800, 1, 1, 1),
        "large": large,
    }
    for name, dim in dims.items():
        yield Odd(f"dimensions-{name}.nii", _nifti(dim=dim))
    fields: dict[str, tuple[Any, ...]] = {
        "scl_slope": (np.nan, 0, np.inf, 1e38, -1),
        "scl_inter": (np.nan, np.inf),
        "datatype": (0, 1, 2, 32, 64, 128, 1536, 1792, 9999),
        "bitpix": (0, 8, 99),
        "vox_offset": (0, -100, 353, 1e9, np.nan, np.inf),
        "magic": (b"ni1", b"abc", b"n+2"),
        "sizeof_hdr": (0, 349, 540),
        "qform_code": (99, -1),
        "sform_code": (99, -1),
        "intent_code": (1007, 1002, -5),
        "xyzt_units": (255,),
    }
    for name, values in fields.items():
        for value in values:
            told = value.decode() if isinstance(value, bytes) else value
            yield Odd(f"{name}-is-{told}.nii", _nifti(**{name: value}))
    for value in (np.nan, np.inf, 0, 1e30):
        rows = dict.fromkeys(("srow_x", "srow_y", "srow_z"), (value,) * 4)
        yield Odd(f"affine-of-{value}.nii", _nifti(**rows))
        yield Odd(f"spacing-of-{value}.nii", _nifti(pixdim=(1, *(value,) * 7)))
    yield Odd("extension-of-minus-length.nii", _nifti(extra=b"\1\0\0\0" + b"\xff" * 12))
    shape = (24, 24, 12)
    for value in (np.nan, np.inf, 0.0, 3e38):
        yield Odd(f"voxels-all-{value}.nii", _nifti(np.full(shape, value, np.float32)))
    yield Odd("voxels-are-complex.nii", _nifti(np.ones(shape, np.complex64)))
    yield Odd("other-byte-order.nii", _nifti(np.ones(shape, ">i2")))
    yield Odd("half-of-a-pair.hdr", _nifti(magic=b"ni1")[:348], "broken")
    yield Odd("half-of-a-pair.img", good[352:], "broken")
    second = bytearray(540)
    second[:12] = struct.pack("<I8s", 540, b"n+2\0\r\n\x1a\n")
    yield Odd("nifti-2-of-zeros.nii", bytes(second) + bytes(99), "broken")
    second[12:80] = struct.pack("<hh8q", 4, 16, 3, 2**62, 2**62, 2**62, 1, 1, 1, 1)
    yield Odd("nifti-2-of-2-to-the-186-voxels.nii", bytes(second) + bytes(99), "broken")
