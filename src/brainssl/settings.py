"""Settings: presets are TOML files, and every value keeps the reason why it is what it is."""

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from brainssl.errors import BadUseError
from brainssl.methods import METHODS
from brainssl.sections import (
    STAGES,
    EncoderSettings,
    EvaluationSettings,
    FinetuneSettings,
    MethodSettings,
    PretrainSettings,
    ProbeSettings,
    RunSettings,
    Section,
    SplitSettings,
    ViewSettings,
)

BY_HAND = "set by hand"
_OWN: dict[str, Any] = {
    name: (method.settings_type, method.settings_type()) for name, method in METHODS.items()
}
_Methods = create_model("_Methods", __base__=Section, **_OWN)


class Settings(_Methods):  # type: ignore[misc, valid-type]
    """Everything that decides a result, but for the data and the seeds.

    Besides these sections, each method of `METHODS` has one of its own name, with its heads, its
    loss and what it changes in the sections views, pretrain, probe and finetune.
    """

    encoder: EncoderSettings = EncoderSettings()
    split: SplitSettings = SplitSettings()
    views: ViewSettings = ViewSettings()
    pretrain: PretrainSettings = PretrainSettings()
    probe: ProbeSettings = ProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    run: RunSettings = RunSettings()

    def of(self, method: str) -> "Settings":
        """Return the settings as they hold for one method; for other names, these settings."""
        if method not in METHODS:
            return self
        own = self.section(method)
        return self._with(**{stage: getattr(own, stage) for stage in STAGES})

    def section(self, method: str) -> MethodSettings:
        """Return the section of a method."""
        section: MethodSettings = getattr(self, method)
        return section

    def with_image_size(self, size: int) -> "Settings":
        """Return the same settings for images of another side, in pixels."""
        return self.with_encoder(self.encoder.name, size)

    def with_encoder(self, name: str, image_size: int) -> "Settings":
        """Return the same settings for another encoder and images of its side, in pixels."""
        encoder = self.encoder.model_copy(update={"name": name, "image_size": image_size})
        return self._with(encoder=encoder)

    def _with(self, **sections: Section) -> "Settings":
        changed: Settings = self.model_copy(update=sections)
        return changed

    def written(self, methods: Collection[str] = tuple(METHODS)) -> dict[str, dict[str, Any]]:
        """Return the settings for JSON: of a method's stages only what differs from the rest.

        Args:
            methods: whose sections are wanted.
        """
        dumped: dict[str, dict[str, Any]] = self.model_dump(mode="json")
        for name in METHODS:
            own = dumped.pop(name)
            for stage in STAGES:
                values = own.pop(stage)
                changed = {k: v for k, v in values.items() if v != dumped[stage][k]}
                own |= {stage: changed} if changed else {}
            if name in methods:
                dumped[name] = own
        return dumped


def load_settings(
    preset: str = "quick", overrides: list[str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read a preset, apply overrides and say where each value comes from.

    A method's own value, as in [byol.pretrain], goes before that of [pretrain]; what is set by
    hand for all methods goes before both.

    Args:
        preset: a name under `brainssl/presets`, or the path of a TOML file.
        overrides: `section.key=value` or `method.section.key=value`, the value in TOML (bare words
            are strings).

    Returns:
        The settings, and for each key the reason of its value.

    Raises:
        BadUseError: no such preset, unknown key (the nearest is named), or a wrong value.
    """
    where, tables = _read_preset(preset)
    _require_sections(where, tables)
    reasons = {key: f"preset {where}" for key, _ in flat(tables)}
    # First what holds for all methods, so that what is set for one of them has the last word.
    parsed = sorted((_parse(override) for override in overrides or []), key=lambda one: len(one[0]))
    for key, value in parsed:
        if key[0] in STAGES:
            _forget(tables, reasons, key)
        _put(tables, key, value)
        reasons[".".join(key)] = BY_HAND
    for method in METHODS:
        own = tables.setdefault(method, {})
        for stage in STAGES:
            if isinstance(own.get(stage, {}), dict):
                own[stage] = tables.get(stage, {}) | own.get(stage, {})
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["loc"][0] in METHODS)
        place = ".".join(str(part) for part in first["loc"][:3])
        by_hand = [key for key, reason in reasons.items() if reason == BY_HAND]
        if any(f"{place}.".startswith(f"{key}.") or key.startswith(f"{place}.") for key in by_hand):
            where = "--set"
        raise BadUseError(f"{where}: {_explain(first)}") from None
    every = [key for key, _ in flat(settings.written())]
    return settings, {key: reasons.get(key, "default") for key in every}


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("brainssl") / "presets"
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".toml"))


def flat(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables, each with its key as in `pretrain.epochs`.

    Args:
        tables: such as `Settings.written`.
        above: put before every key.
    """
    for name, value in tables.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _read_preset(preset: str) -> tuple[str, dict[str, Any]]:
    if preset in preset_names():
        text = (resources.files("brainssl") / "presets" / f"{preset}.toml").read_text("utf-8")
        return preset, tomllib.loads(text)
    path = Path(preset)
    if path.suffix != ".toml" or not path.is_file():
        known = ", ".join(preset_names())
        raise BadUseError(f"no preset {preset}: choose {known}, or give a .toml file")
    try:
        return str(path), tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUseError(f"{path} is no valid TOML: {error}") from None


def _require_sections(where: str, tables: dict[str, Any]) -> None:
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise BadUseError(f"{where}: {name} stands outside of a section, such as [pretrain]")


def _parse(override: str) -> tuple[list[str], Any]:
    name, equals, text = override.partition("=")
    key = name.strip().split(".")
    if not equals or len(key) not in (2, 3) or not all(key):
        raise BadUseError(f"--set {override}: write section.key=value, e.g. pretrain.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()
    if isinstance(value, dict):
        raise BadUseError(f"--set {override}: one value at a time, as in section.key=value")
    return key, value


def _put(tables: dict[str, Any], key: list[str], value: Any) -> None:
    inner = tables
    for name in key[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise BadUseError(f"--set {'.'.join(key)}: {name} is a value and no section")
    inner[key[-1]] = value


def _forget(tables: dict[str, Any], reasons: dict[str, str], key: list[str]) -> None:
    """Take out what methods have of their own for a value that is set for all of them."""
    stage, name = key[0], key[-1]
    for method in METHODS:
        own = tables.get(method, {}).get(stage)
        if isinstance(own, dict):
            own.pop(name, None)
        reasons.pop(f"{method}.{stage}.{name}", None)


def _explain(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "model_type":
        return f"{place} is a section: give its values, as in {place}.key = value"
    if error["type"] != "extra_forbidden":
        return f"{place} = {error['input']!r}: {error['msg'].lower()}"
    known = _known_places()
    near = difflib.get_close_matches(place, known, n=1, cutoff=0.4)
    return f"there is no setting {place}" + (f"; did you mean {near[0]}?" if near else "")


def _known_places() -> list[str]:
    dumped = Settings().model_dump()
    keys = [key for key, _ in flat(dumped)]
    return [*dumped, *(f"{method}.{stage}" for method in METHODS for stage in STAGES), *keys]
