"""From the bytes of a DICOM file to values after modality rescaling, frame by frame."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

from brainssl.data.grey import Notes
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_codestream import stated_size
from brainssl.data.volumes.dicom_colours import grey_of
from brainssl.data.volumes.dicom_format import PALETTE, PIXELS, Format
from brainssl.data.volumes.dicom_frames import Frame
from brainssl.data.volumes.dicom_values import first, number
from brainssl.data.whole import ends_early

_BASELINE = "1.2.840.10008.1.2.4.50"


def values_of(
    dataset: Any,
    form: Format,
    frames: Sequence[Frame],
    places: Sequence[int],
    name: str,
    notes: Notes,
) -> Iterator[tuple[Float32[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"] | None]]:
    """Yield values after modality rescaling, and where there is no measurement, of some frames.

    Args:
        dataset: a whole file.
        form: how its samples are written.
        frames: facts of all of its frames.
        places: which frames are wanted, in order.
        name: what to call the file in errors.
        notes: gets what was done.

    Raises:
        UnreadableImage: the frames cannot be decoded.
    """
    missing = _missing_at(dataset, form)
    table = first(dataset, "ModalityLUTSequence")
    for place, stored in zip(places, _decoded(dataset, form, places, name, notes), strict=True):
        samples: Float64[np.ndarray, "rows columns"]
        padding = None
        if form.photometric == PALETTE:
            samples = _looked_up(dataset, stored, notes)
        elif form.channels == 3:
            samples = grey_of(stored, form.stored, notes)
        else:
            if missing:
                padding = (stored >= missing[0]) & (stored <= missing[1])
            samples = _rescaled(dataset, stored, frames[place], table, notes)
        with np.errstate(over="ignore", invalid="ignore"):
            values = samples.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            padding = ~finite if padding is None else padding | ~finite
            values[~finite] = values[finite].min() if finite.any() else 0.0
            _note(notes.flags, "not finite")
            _note(notes.provenance, "values that are not finite set to the minimum")
        yield values, padding


def _decoded(
    dataset: Any, form: Format, places: Sequence[int], name: str, notes: Notes
) -> Iterator[Shaped[np.ndarray, "rows columns ..."]]:
    """Yield frames as they are stored, in whole numbers that have their sign."""
    from pydicom.pixels.decoders.base import get_decoder

    if not any(word in dataset for word in PIXELS):
        raise UnreadableImage(name, "holds no pixels, or is cut off before them")
    if max(places) >= form.frames:
        raise UnreadableImage(name, "holds fewer frames than are asked for")
    syntax = _syntax(dataset)
    compressed = syntax.is_compressed and not syntax.is_deflated
    if compressed:
        _refuse_other_sizes(dataset, form, places, name, baseline=syntax == _BASELINE)
    elif sum(len(dataset[word].value) for word in PIXELS if word in dataset) < (
        form.bytes_uncompressed
    ):
        raise UnreadableImage(name, "holds fewer pixels than its header says")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableImage(
            name, "is compressed in a way that is not supported; save it uncompressed"
        ) from None
    _note(notes.provenance, f"decoded DICOM ({syntax.name if compressed else 'uncompressed'})")
    options: dict[str, Any] = {} if compressed else {"correct_unused_bits": False}
    try:
        for array, _ in decoder.iter_array(dataset, indices=places, **options):
            if array.shape[:2] != (form.rows, form.columns):
                raise UnreadableImage(name, "has a frame of another size than its header says")
            yield array if form.floating else _signed(array, form)
    except RuntimeError:
        raise UnreadableImage(
            name, "is damaged, or compressed in a way that is not supported; save it uncompressed"
        ) from None


def _syntax(dataset: Any) -> Any:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax:
        return syntax
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian
    return dataset.file_meta.TransferSyntaxUID


def _refuse_other_sizes(
    dataset: Any, form: Format, places: Sequence[int], name: str, *, baseline: bool
) -> None:
    """Refuse frames of another size than the header's, and those whose pixels end early.

    Of the codings that are read, JPEG's baseline alone is decoded when something is missing.
    """
    from pydicom.encaps import get_frame

    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    extended = offsets if None not in offsets else None
    for place in places:
        frame = get_frame(
            dataset.PixelData, place, number_of_frames=form.frames, extended_offsets=extended
        )
        size = stated_size(frame)
        if size is not None and size != (form.rows, form.columns):
            raise UnreadableImage(name, "has a frame of another size than its header says")
        with suppress(OSError):  # what Pillow does not know, its own decoder may
            if baseline and ends_early(frame, "JPEG"):
                raise UnreadableImage(name, "is truncated: a frame ends early; fetch it anew")


def _signed(array: Shaped[np.ndarray, "..."], form: Format) -> Shaped[np.ndarray, "..."]:
    """Return samples without the bits that do not count, such as overlays, with their sign."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if form.allocated == 1:
        return array
    kind = f"int{array.dtype.itemsize * 8}"
    shift = form.high + 1 - form.stored
    if form.stored == array.dtype.itemsize * 8:
        return array.view(kind if form.signed else f"u{kind}")
    counted = (array.view(f"u{kind}") >> shift) & ((1 << form.stored) - 1)
    if not form.signed:
        return np.asarray(counted)
    beyond = array.dtype.itemsize * 8 - form.stored
    return np.asarray((counted << beyond).view(kind) >> beyond)


def _missing_at(dataset: Any, form: Format) -> tuple[float, float] | None:
    """Return the lowest and highest stored value that stand for no measurement."""
    words = ("FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue", "PixelPaddingValue")
    value = next((v for v in (number(dataset, word) for word in words) if v is not None), None)
    if value is None:
        return None
    limits = (
        "FloatPixelPaddingRangeLimit",
        "DoubleFloatPixelPaddingRangeLimit",
        "PixelPaddingRangeLimit",
    )
    limit = next((v for v in (number(dataset, word) for word in limits) if v is not None), value)
    ends = sorted(value if form.floating else _as_stored(end, form) for end in (value, limit))
    return ends[0], ends[1]


def _as_stored(value: float, form: Format) -> float:
    """Give a value the sign of the samples; writers disagree with themselves."""
    if form.signed and value >= 2 ** (form.allocated - 1):
        return float(value - 2**form.allocated)
    if not form.signed and value < 0:
        return float(value + 2**form.allocated)
    return value


def _looked_up(
    dataset: Any, stored: Shaped[np.ndarray, "rows columns"], notes: Notes
) -> Float64[np.ndarray, "rows columns"]:
    from pydicom.pixels.processing import apply_color_lut

    _note(notes.flags, "palette")
    _note(notes.provenance, "palette looked up")
    colours = apply_color_lut(stored, dataset)[..., :3]
    return grey_of(colours, colours.dtype.itemsize * 8, notes)


def _rescaled(
    dataset: Any,
    stored: Shaped[np.ndarray, "rows columns"],
    frame: Frame,
    table: Any,
    notes: Notes,
) -> Float64[np.ndarray, "rows columns"]:
    if table is not None:
        from pydicom.pixels.processing import apply_modality_lut

        _note(notes.provenance, "modality table looked up")
        return np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    if (frame.slope, frame.intercept) == (1.0, 0.0):
        return stored.astype(np.float64)
    _note(notes.provenance, "rescaled by each frame's slope and intercept")
    return stored.astype(np.float64) * frame.slope + frame.intercept


def _note(words: list[str], word: str) -> None:
    if word not in words:
        words.append(word)
