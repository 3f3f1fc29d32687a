"""The one door through which volumes come in, whatever their format."""

from brainssl.data.read import NO_MEMORY, UnreadableImage
from brainssl.data.volumes.volume import Volume, VolumeRef
from brainssl.foundation.extras import require


def read_volume(ref: VolumeRef) -> Volume:
    """Read a volume, as its file has it: neither hung nor normalised.

    Raises:
        UnreadableImage: it cannot be read; it names the volume as `ref.name` does.
        BrainsslError: a package that reads it is not installed.
    """
    try:
        return _read(ref)
    except MemoryError:
        raise UnreadableImage(ref.name, NO_MEMORY) from None
    except ModuleNotFoundError:
        require("scans")
        raise


def _read(ref: VolumeRef) -> Volume:
    # Imported here: who reads pictures needs none of what they import, and may not have it.
    if ref.format == "dicom":
        from brainssl.data.volumes.dicom import read_dicom

        return read_dicom(ref)
    if ref.format == "nifti":
        from brainssl.data.volumes.nifti import read_nifti

        return read_nifti(ref)
    from brainssl.data.volumes.matlab import read_matlab

    return read_matlab(ref)
