"""Optional packages: what each extra of pyproject.toml brings."""

from importlib.util import find_spec

from brainssl.foundation.errors import BrainsslError

EXTRAS = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "tune": ("optuna",),
    "cluster": ("fsspec", "ray"),
    "scans": (
        "h5py",
        "highdicom",
        "nibabel",
        "pydicom",
        "pylibjpeg",
        "pylibjpeg-openjpeg",
        "python-gdcm",
    ),
    "serve": ("fastapi", "python-multipart", "uvicorn"),
}
MODULES = {
    "pylibjpeg-openjpeg": "openjpeg",
    "python-gdcm": "gdcm",
    "python-multipart": "python_multipart",
}
"""What packages are imported as, where that is not their name."""
WRITERS = frozenset({"highdicom"})
"""Packages that write alone: an extra without them still reads."""


def require(extra: str, *, writing: bool = False) -> None:
    """Raise BrainsslError, with the command that mends it, unless an extra is installed.

    Args:
        extra: its name.
        writing: whether its `WRITERS` are needed, too.
    """
    missing = [package for package in EXTRAS[extra] if not _installed(package)]
    if missing and (writing or not WRITERS.issuperset(missing)):
        raise BrainsslError(f"not installed: {', '.join(missing)}: pip install 'brainssl[{extra}]'")


def _installed(package: str) -> bool:
    # A folder of the same name has no origin: runs leave one called `mlflow` or `wandb` behind.
    spec = find_spec(MODULES.get(package, package))
    return spec is not None and spec.origin is not None
