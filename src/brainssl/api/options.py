"""What the functions are asked: options as they may be given, checked, and the data opened."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.archives.reading import Reading
    from brainssl.data.dataset import Data
    from brainssl.data.shots import LabelFraction
    from brainssl.models.encoder import Encoder
    from brainssl.settings import Settings

Where: TypeAlias = str | Path
Names: TypeAlias = str | Sequence[str]
"""A sequence of names, or one string of them, comma-separated."""


def path_or_none(where: Where | None) -> Path | None:
    """Return a path, or None where none is given."""
    return None if where is None else Path(where)


def paths_listed(folders: "Where | Sequence[Where] | None") -> tuple[Path, ...]:
    """Return folders that were given one by one, or one alone."""
    every = [folders] if isinstance(folders, str | Path) else folders or ()
    return tuple(map(Path, every))


def outside(out: Path, source: Path) -> None:
    """Refuse to write results among the images: the next scan would take them for images."""
    from brainssl.data.listing import images_of
    from brainssl.data.store import is_store

    if not source.is_dir() or is_store(source):
        return
    source = images_of(source)
    if out.resolve().is_relative_to(source.resolve()):
        raise BadUseError(
            f"{out} lies in {source}, which is scanned for images: choose one outside of it"
        )


def within(option: str, value: int, least: int, most: int | None = None) -> int:
    """Return a number, or refuse it in the words of the command line."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadUseError(f"{option}: {value!r} is no whole number")
    if value < least or (most is not None and value > most):
        asked = f"x>={least}" if most is None else f"{least}<=x<={most}"
        raise BadUseError(f"{option}: {value} is not in the range {asked}")
    return value


def seed_of(value: int) -> int:
    """Check a seed."""
    return within("--seed", value, 0)


def level_of(value: int | None) -> int | None:
    """Check a level of folders."""
    return None if value is None else within("--classes-at", value, 1)


def reading_of(
    source: Path,
    out: Path | None,
    *,
    slices: str | int | None = None,
    plane: str | None = "native",
    label_by: str | None = None,
    lesion_slices: bool = False,
    key: Where | None = None,
    field_of_view: float | None = None,
) -> "Reading":
    """Check how volumes are to be read.

    Args:
        source: that may hold them.
        out: what is made of it; by default the key of pseudonyms lies beside it. None: nothing.
        slices: how many, or `every:N`.
        plane: of the slices; None: as they were acquired.
        label_by: sequence or plane.
        lesion_slices: whether slices without lesion lose their label.
        key: file of the key.
        field_of_view: mm of the square that is seen of each slice; None: all is.

    Raises:
        BadUseError: a value that cannot be, or a key among the images or the results.
    """
    from brainssl.data.archives.reading import LABEL_BY, Reading
    from brainssl.data.volumes.choice import read_choice
    from brainssl.data.volumes.slices import PLANES

    (known_plane,) = known("--plane", [plane or "native"], PLANES)
    by = None if label_by is None else known("--label-by", [label_by], LABEL_BY)[0]
    beside = None if out is None else out.resolve().with_name(f"{out.resolve().name}.key")
    file = beside if key is None else Path(key)
    if file is not None:
        for folder in (source, *([] if out is None else [out])):
            if file.resolve().is_relative_to(folder.resolve()):
                raise BadUseError(
                    f"--key {file} lies in {folder}: who gets that could tell who the patients "
                    "are; choose another place"
                )
    return Reading(
        read_choice(slices),
        known_plane,  # type: ignore[arg-type]
        by,  # type: ignore[arg-type]
        lesion_slices,
        file,
        millimetres(field_of_view),
    )


def millimetres(asked: float | None) -> float | None:
    """Check a field of view."""
    from brainssl.data.field_of_view import LEAST_MM, MOST_MM

    if asked is None:
        return None
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        raise BadUseError(f"--field-of-view: {asked!r} is no number of millimetres")
    if not LEAST_MM <= asked <= MOST_MM:
        raise BadUseError(
            f"--field-of-view: {asked:g} is not in the range {LEAST_MM:g}<=x<={MOST_MM:g}"
        )
    return float(asked)


def listed(names: Names | None) -> list[str]:
    """Return names that were given one by one, or comma-separated."""
    return (names or "").split(",") if isinstance(names, str | None) else list(names)


def settings_listed(overrides: Names | None) -> list[str]:
    """Return overrides of settings; one alone may be a string, in which commas mean nothing."""
    return [overrides] if isinstance(overrides, str) else list(overrides or ())


def known(option: str, asked: Iterable[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that were asked for; refuse one that is not known, or stands twice."""
    written = {name.casefold(): name for name in names}
    wanted = tuple(written.get(name.strip().casefold(), name.strip()) for name in asked)
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name.casefold(), names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BadUseError(f"{option}: {name!r} is none of {', '.join(names)}{hint}")
    refuse_twice(option, wanted)
    return wanted


def refuse_twice(option: str, asked: Iterable[object]) -> None:
    """Refuse a list in which something stands twice: who wrote it meant another thing."""
    twice = next((one for one, times in Counter(asked).items() if times > 1), None)
    if twice is not None:
        raise BadUseError(f"{option}: {twice} stands there twice: name it once, or what was meant")


def method_names() -> tuple[str, ...]:
    """Return the names of the self-supervised methods."""
    from brainssl.methods import METHODS

    return tuple(METHODS)


def semi_supervised_names() -> tuple[str, ...]:
    """Return the names of the semi-supervised methods."""
    from brainssl.settings import SEMI_SUPERVISED

    return SEMI_SUPERVISED


def logger_names(asked: Names | None) -> tuple[str, ...]:
    """Check names of loggers, and that their packages are there, before any work begins."""
    if not asked:
        return ()
    from brainssl.foundation.extras import require
    from brainssl.training.loggers import LOGGERS

    names = known("--logger", listed(asked), LOGGERS)
    for name in names:
        require(name)
    return names


def fractions(asked: str | float | Sequence[float | str]) -> "tuple[LabelFraction, ...]":
    """Read label fractions: one, several, or comma-separated in a text; shots come first."""
    from brainssl.data.shots import label_fraction

    parts = asked.split(",") if isinstance(asked, str) else asked
    try:
        every = [parts] if isinstance(parts, float | int) else parts
        found = sorted(_in_range(label_fraction(part)) for part in every)
    except (TypeError, ValueError):
        raise BadUseError(
            f"--label-fractions: {asked!r} are no shares or shots such as 8-shot,0.1,1.0"
        ) from None
    refuse_twice("--label-fractions", found)
    return tuple(found)


def fraction(value: float | str) -> "LabelFraction":
    """Read a label fraction: a share, or K-shot."""
    from brainssl.data.shots import label_fraction

    try:
        return _in_range(label_fraction(value))
    except (TypeError, ValueError):
        raise BadUseError(
            f"--label-fraction: {value!r} is no share or shots such as 0.1 or 8-shot"
        ) from None


def _in_range(value: "LabelFraction") -> "LabelFraction":
    """Check a label fraction; four digits are enough, and name the folders of steps."""
    if isinstance(value, str):
        return value
    if not 0.0001 <= value <= 1:
        raise BadUseError(f"a label fraction is from 0.0001 to 1, or 8-shot, not {value:g}")
    return round(value, 4)


def depth_asked(bits: int) -> None:
    """Refuse a depth that no store has."""
    from brainssl.foundation.depth import DEPTHS

    if bits not in DEPTHS:
        raise BadUseError(f"--bits is {' or '.join(map(str, DEPTHS))}, not {bits}")


def refuse_store(source: Path) -> None:
    """Refuse a prepared store where only a folder of images will do."""
    from brainssl.data.store import is_store

    if is_store(source):
        raise BrainsslError(f"{source} is a prepared store: give the folder of images behind it")


def settings_of(
    preset: Where, overrides: Names | None, source: Path
) -> "tuple[Settings, dict[str, str]]":
    """Load settings; a prepared store decides the image size unless it is set by hand."""
    from brainssl.data.store import is_store
    from brainssl.foundation.storage import read_json
    from brainssl.settings import load_settings

    settings, reasons = load_settings(str(preset), settings_listed(overrides))
    if is_store(source) and reasons["encoder.image_size"] != "set by hand":
        size = read_json(source / "store.json", "the facts of an ImageStore")["size"]
        settings = settings.with_image_size(size)
        reasons["encoder.image_size"] = f"{source} holds images of {size} px"
    return settings, reasons


def open_data(
    path: Path,
    preset: Where,
    overrides: Names | None,
    terminal: Terminal,
    *,
    protocol: str,
    seed: int,
    encoder: "Encoder | None" = None,
    at: Path | None = None,
    other_data: bool = False,
) -> "tuple[Data, Settings, dict[str, str]]":
    """Open a store with its split: the one that lies beside the encoder at `at`, else a new one.

    Returns:
        Store and split; the settings for its images; and why each of them is what it is.
    """
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split, make_split
    from brainssl.data.store import ImageStore

    # `paper` balances the store before it splits, which only a study does.
    known("--protocol", [protocol], ("grouped", "image"))
    store = ImageStore.open(path)
    settings, reasons = settings_of(preset, overrides, path)
    terminal.say(f"images of {store.size} px: {reasons['encoder.image_size']}")
    if encoder:
        settings = settings.with_encoder(encoder.name, encoder.image_size, encoder.pooling)
    store.require_size(settings.encoder.image_size)
    file = split_beside(at) if at and not other_data else None
    if file and file.is_file():
        split = Split.load(file)
    else:
        chosen = settings.split.model_dump()
        split = make_split(store.manifest, protocol=protocol, seed=seed, **chosen)  # type: ignore[arg-type]
        for warning in split.warnings:
            terminal.say(f"warning: {warning}")
    data = Data(store, split)
    if encoder and not other_data:
        data.refuse_seen(encoder.facts)
    return data, settings, reasons


def split_beside(model: Path) -> Path:
    """Return where the split of a model lies."""
    return (model if model.is_dir() else model.parent) / "split.json"
