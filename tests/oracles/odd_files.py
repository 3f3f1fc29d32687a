"""All bad and odd files, and bad and odd paths; see `oracles.odd_pictures` for what `must` says."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from oracles.odd_pictures import Odd, brain, pictures, saved
from oracles.odd_volumes import dicom_files, nifti_files, strangers


def odd_files(seed: int = 0) -> list[Odd]:
    """Return all, in the same order for the same seed."""
    found = [*pictures(seed), *strangers(seed), *dicom_files(seed), *nifti_files()]
    assert len({one.name for one in found}) == len(found)
    return found


def sampled(files: Sequence[Odd], count: int, seed: int = 0) -> list[Odd]:
    """Return some files, in their order."""
    chosen = np.random.default_rng(seed).choice(len(files), count, replace=False)
    return [files[at] for at in sorted(chosen)]


NAMES = (
    *("--help.png", "-", "a b.png", "a\nb.png", "a\tb.png", "a\x1b[31mb.png", "[a].png", "*.png"),
    *("a'b\"c.png", "a\\b.png", "%s%n.png", "~.png", "a\u202egnp.exe", "Gehirn-äß-脳-🧠.png"),
    *("e\u0301.png", ".hidden.png", "a.png.", "CON.png", "x" * 251 + ".png", "a;b&c|d.png"),
    os.fsdecode(b"not-utf-8-\xff\xfe.png"),
)
"""Names that a good picture may have."""


@contextmanager
def odd_paths(folder: Path) -> Iterator[list[tuple[Path, str]]]:
    """Make odd paths, and good pictures under odd names, and yield each with its `must`."""
    good = saved(brain())
    (folder / "good.png").write_bytes(good)
    named = folder / "names"
    named.mkdir()
    for name in NAMES:
        (named / name).write_bytes(good)
    whole = [(named / name, "either") for name in NAMES]
    deep = folder.joinpath(*["d" * 200] * 5)
    deep.mkdir(parents=True)
    (deep / "deep.png").write_bytes(good)
    links = {"to-good": "good.png", "to-nothing": "gone.png", "to-itself": "to-itself.png"}
    links |= {"to-zeros": "/dev/zero", "to-a-folder": ".", "to-memory": "/proc/self/mem"}
    for name, target in links.items():
        (folder / f"{name}.png").symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe.dcm")
    os.mkfifo(folder / "pipe.nii.gz")
    for name in ("empty-folder.png", "empty-folder.dcm", "empty-folder.nii.gz"):
        (folder / name).mkdir()
    ring = folder / "folder-with-itself.png"
    ring.mkdir()
    (ring / "again").symlink_to(ring)
    for suffix in (".png", ".dcm", ".nii", ".nii.gz", ".tif", ""):
        with (folder / f"a-terabyte-of-nothing{suffix}").open("wb") as file:
            file.truncate(2**40)
    with socket.socket(socket.AF_UNIX) as door:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            door.bind("socket.png")
        finally:
            os.chdir(here)
        broken = [
            one
            for one in folder.iterdir()
            if one.name not in ("good.png", "names", "d" * 200, "to-good.png", "to-a-folder.png")
        ]
        far = ("/dev/zero", "/dev/null", "/proc/self/mem", "/proc/self/environ", "gone/gone.png")
        yield [
            *whole,
            (deep / "deep.png", "either"),
            (folder / "good.png", "whole"),
            (folder / "to-good.png", "either"),
            (folder / "to-a-folder.png", "either"),
            *((one, "broken") for one in sorted(broken)),
            *((Path(one), "broken") for one in far),
            (Path("x" * 300 + ".png"), "broken"),
            (Path("/" + "y/" * 3000 + "a.png"), "broken"),
        ]
