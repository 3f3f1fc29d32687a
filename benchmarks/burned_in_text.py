"""How much burned-in text is found by the picture, and what else is taken for it.

    python benchmarks/burned_in_text.py results/burned-in-text.json FOLDER ...

Made-up names and dates are written onto the slices of a phantom and of each folder, in a corner or
at a border, in Pillow's own font: large and small, bright and grey, with soft and with hard rims,
whatever lies beneath. The slices of a volume all get the same line at the same place. Of pictures
as they are it is counted how many are called text; their names are printed, for who wants to see
whether they show some. Of folders every third picture is left out: constants were chosen on those.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from PIL import Image, ImageDraw, ImageFont

from brainssl.data.archives.reading import BY_DEFAULT
from brainssl.data.archives.scan_archive import series_to_read
from brainssl.data.layout import Layout
from brainssl.data.lettering import lines, shared
from brainssl.data.normalisation import READER
from brainssl.data.origins import PictureFile
from brainssl.data.read import UnreadableImage
from brainssl.data.sources import open_source
from brainssl.data.volumes.choice import ALL
from brainssl.data.volumes.slices import open_volume
from brainssl.data.volumes.volume import VolumeRef
from brainssl.simulation import simulate

SIZES, LEVELS, RIMS = (8, 10, 12, 16, 24), (0.5, 0.75, 1.0), ("soft", "hard")
SYLLABLES = ("an", "bro", "del", "fi", "gom", "hu", "ker", "lo", "mar", "nis", "pe", "sto", "wil")

AIR = 0.2
"""What is brighter is part of the head, or near it."""

MOST = 40
"""Slices of a volume that are looked at."""

Picture = Float32[np.ndarray, "h w"]


def words(generator: np.random.Generator) -> str:
    """Make up what a header may say: a name, a date or a number."""
    name = ["".join(generator.choice(SYLLABLES, 2)) for _ in range(2)]
    day, month, year = generator.integers((1, 1, 1930), (29, 13, 2020))
    kinds = (
        f"{name[0]}, {name[1]}".title(),
        f"{name[0]}^{name[1]}".upper(),
        f"{day:02}.{month:02}.{year}",
        f"ID: {generator.integers(10**6, 10**7)}",
    )
    return str(generator.choice(kinds))


def line(text: str, size: int, rim: str) -> Float32[np.ndarray, "h w"]:
    """Return how much of each pixel a line of text covers."""
    font = ImageFont.load_default(size)
    box = [round(edge) for edge in font.getbbox(text)]
    image = Image.new("L", (box[2] + 1, box[3] + 1))
    drawn = ImageDraw.Draw(image)
    drawn.fontmode = "L" if rim == "soft" else "1"
    drawn.text((0, 0), text, fill=255, font=font)
    return np.asarray(image, np.float32) / np.float32(255)


def written(
    pictures: Sequence[Picture], size: int, level: float, rim: str, generator: np.random.Generator
) -> tuple[list[Picture], list[bool]] | None:
    """Write one line at one place into all of them; None if the line is wider than they are.

    Returns:
        The pictures, and of each whether only air was there, and three pixels around it.
    """
    cover = line(words(generator), size, rim)
    height, width = pictures[0].shape
    high, wide = cover.shape
    if wide + 4 > width or high + 4 > height:
        return None
    down = int(generator.choice([2, height - high - 2]))
    across = int(generator.choice([2, (width - wide) // 2, width - wide - 2]))
    place = slice(down, down + high), slice(across, across + wide)
    around = tuple(slice(max(0, one.start - 3), one.stop + 3) for one in place)
    clear = [bool(picture[around].max() < AIR) for picture in pictures]
    copies = [picture.copy() for picture in pictures]
    for copy in copies:
        copy[place] = copy[place] * (1 - cover) + np.float32(level) * cover
    return copies, clear


def told(pictures: Sequence[Picture]) -> list[bool]:
    """Tell of a picture, or of each slice of a volume, whether it shows text."""
    return shared([lines(one) for one in pictures])


def sources_of(folder: Path) -> list[Path | VolumeRef]:
    """Return the pictures or volumes of a folder."""
    found = open_source(folder, reading=BY_DEFAULT, workers=1)
    if isinstance(found, Layout):
        return [found.root / path for path in found.paths]
    return [one.volume for one in series_to_read(found)]


def pictures_of(source: Path | VolumeRef) -> list[Picture]:
    """Read a picture, or of a volume slices with brain; nothing if it cannot be read."""
    try:
        if isinstance(source, Path):
            return [image for image, *_ in PictureFile(source, READER).images()]
        opened = open_volume(source)
    except UnreadableImage:
        return []
    numbers = opened.chosen(ALL)
    return [opened.slice(number).pixels for number in numbers[:: -(-len(numbers) // MOST)]]


def measure(sources: Sequence[Path | VolumeRef], most: int, each: int, seed: int) -> dict[str, Any]:
    """Count among pictures or volumes drawn at random what is found, kind by kind.

    Args:
        sources: what is drawn from.
        most: how many are looked at as they are.
        each: onto how many of them lines are written.
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    called: list[str] = []
    looked = 0
    for count, place in enumerate(generator.permutation(len(sources))[:most]):
        pictures = pictures_of(sources[place])
        looked += len(pictures)
        called += [str(sources[place])] * sum(told(pictures))
        for size, level, rim in itertools.product(SIZES, LEVELS, RIMS) if count < each else ():
            if pictures and (made := written(pictures, size, level, rim, generator)):
                kind = {"size": size, "level": level, "rim": rim}
                rows += [
                    kind | {"clear": clear, "found": found}
                    for found, clear in zip(told(made[0]), made[1], strict=True)
                ]
    for name in called:
        print("called text as it is:", name)
    table = pd.DataFrame(rows)
    clear = table[table["clear"]]
    return {
        "as_they_are": looked,
        "as_they_are_called_text": len(called),
        "written_on": len(table),
        "recall": _share(table),
        "recall_on_the_head": _share(table[~table["clear"]]),
        "recall_in_air": {
            "all": _share(clear),
            **{
                name: {str(value): _share(some) for value, some in clear.groupby(name)}
                for name in ("size", "level", "rim")
            },
        },
    }


def _share(rows: pd.DataFrame) -> float | None:
    return round(float(rows["found"].mean()), 3) if len(rows) else None


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--most", type=int, default=600, help="pictures or volumes of a source")
    parser.add_argument("--each", type=int, default=40, help="of them to write on")
    parser.add_argument("--patients", type=int, default=20, help="of the phantom")
    parser.add_argument("--size", type=int, default=224, help="of the phantom, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    sources: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        simulate(Path(made), patients=args.patients, size=args.size, seed=args.seed)
        for name, folder in [("phantom", Path(made)), *((one.name, one) for one in args.folders)]:
            every = sources_of(folder)
            if name != "phantom" and len(every) > args.most:
                every = [one for at, one in enumerate(every) if at % 3]
            sources[name] = measure(every, args.most, args.each, args.seed)
            print(name, sources[name], flush=True)
    report = {
        "command": "python benchmarks/burned_in_text.py results/burned-in-text.json FOLDER ...",
        "note": args.note,
        "sources": sources,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
