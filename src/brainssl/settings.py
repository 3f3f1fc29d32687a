"""Typed settings: presets are TOML files, every value keeps the reason why it is what it is."""

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from brainssl.errors import BadUseError


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the lower end of a range comes first")
    return ends


Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[Rate, Rate], AfterValidator(_ascending)]
# TOML has no null: the word stands for it.
OptionalRate = Annotated[Rate | None, BeforeValidator(lambda v: None if v == "none" else v)]


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EncoderSettings(Section):
    """The network that is pretrained and then classifies."""

    name: str = "resnet18"  # any CNN of timm; resnet50 in the study
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64  # pixels; small lesions need more
    weights: Literal["random", "imagenet"] = "random"  # imagenet is downloaded


class SplitSettings(Section):
    """How the images are divided; the rest is for training."""

    val_fraction: Share = 0.1  # raise both when classes have few groups
    test_fraction: Share = 0.1


class ViewSettings(Section):
    """The views of pretraining; see brainssl.views for what each value means."""

    crop_area: Annotated[tuple[Rate, Probability], AfterValidator(_ascending)] = (0.3, 1.0)
    crop_ratio: Range = (0.75, 1.333)
    rotation: Amount = 10.0  # degrees
    flip: Probability = 0.5
    brightness: Range = (0.8, 1.2)  # narrow: the sequence is part of the label
    contrast: Range = (0.8, 1.2)
    gamma: Range = (0.8, 1.25)
    jitter: Probability = 0.8
    blur: Probability = 0.3
    blur_sigma: Range = (0.1, 2.0)  # pixels at 224 px
    noise: Amount = 0.02


class PretrainSettings(Section):
    """Self-supervised pretraining with AdamW and a cosine schedule."""

    epochs: Positive = 40
    batch_size: Positive = 64  # images; a contrastive loss sees twice as many views
    learning_rate: Rate = 1e-3  # absolute: never rescaled by the batch size
    weight_decay: Amount = 1e-4  # not on biases and normalisation
    warmup_epochs: Amount = 2.0
    clip_norm: OptionalRate = 1.0  # of the whole gradient; "none": no clipping


class SimCLRSettings(Section):
    """SimCLR's projector and loss."""

    hidden_dim: Positive = 512
    output_dim: Positive = 128
    temperature: Rate = 0.5  # lower it to weigh the hardest negatives more


class ProbeSettings(Section):
    """Linear probe on features that are computed once."""

    solver: Literal["lbfgs", "adamw"] = "lbfgs"  # lbfgs finds the optimum and needs no rates: what
    #                                              follows is for adamw, the study's
    epochs: Positive = 50
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3
    weight_decay: Amount = 1e-6
    patience: Positive = 10  # epochs without a better validation loss


class FinetuneSettings(Section):
    """Fine-tuning, and the supervised baseline: the same budget for both."""

    epochs: Positive = 30
    min_epoch_steps: Annotated[int, Field(ge=0)] = 0  # an epoch goes through few labels as often
    #                                                  as it takes to make this many steps
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3  # of the encoder
    head_factor: Rate = 10.0  # the new classifier learns this many times faster
    weight_decay: Amount = 1e-4
    warmup_epochs: Amount = 1.0
    clip_norm: OptionalRate = 1.0
    patience: Positive = 10  # epochs without a better smoothed validation loss
    smoothing: Positive = 3  # epochs over which the validation loss is averaged


class EvaluationSettings(Section):
    """Intervals."""

    draws: Annotated[int, Field(ge=1)] = 2000  # bootstrap draws of groups


class RunSettings(Section):
    """Where and how to compute."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"


class Settings(Section):
    """Everything that decides a result, but for the data and the seeds."""

    encoder: EncoderSettings = EncoderSettings()
    split: SplitSettings = SplitSettings()
    views: ViewSettings = ViewSettings()
    pretrain: PretrainSettings = PretrainSettings()
    simclr: SimCLRSettings = SimCLRSettings()
    probe: ProbeSettings = ProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    run: RunSettings = RunSettings()

    def with_image_size(self, size: int) -> "Settings":
        """Return the same settings for images of another side, in pixels."""
        return self.with_encoder(self.encoder.name, size)

    def with_encoder(self, name: str, image_size: int) -> "Settings":
        """Return the same settings for another encoder and images of its side, in pixels."""
        encoder = self.encoder.model_copy(update={"name": name, "image_size": image_size})
        return self.model_copy(update={"encoder": encoder})


def load_settings(
    preset: str = "quick", overrides: list[str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read a preset, apply overrides and say where each value comes from.

    Args:
        preset: a name under `brainssl/presets`, or the path of a TOML file.
        overrides: `section.key=value`, the value in TOML (bare words are strings).

    Returns:
        The settings, and for each `section.key` the reason of its value.

    Raises:
        BadUseError: no such preset, unknown key (the nearest is named), or a wrong value.
    """
    where, tables = _read_preset(preset)
    _require_sections(where, tables)
    reasons = dict.fromkeys(_keys(tables), f"preset {where}")
    for override in overrides or []:
        key, value = _parse(override)
        section, name = key.split(".")
        tables.setdefault(section, {})[name] = value
        reasons[key] = "set by hand"
    by_hand = [key for key, reason in reasons.items() if reason == "set by hand"]
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"][:2])
        if any(f"{key}.".startswith(f"{place}.") for key in by_hand):
            where = "--set"
        raise BadUseError(f"{where}: {_explain(error)}") from None
    every = _keys(settings.model_dump())
    return settings, {key: reasons.get(key, "default") for key in every}


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("brainssl") / "presets"
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".toml"))


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


def _parse(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or key.count(".") != 1 or not all(key.split(".")):
        raise BadUseError(f"--set {override}: write section.key=value, e.g. pretrain.epochs=10")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()


def _keys(tables: dict[str, Any]) -> list[str]:
    return [f"{section}.{key}" for section, values in tables.items() for key in values]


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{place} = {first['input']!r}: {first['msg'].lower()}"
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    known = [
        *sections,
        *(f"{name}.{key}" for name, section in sections.items() for key in section.model_fields),  # type: ignore[union-attr]
    ]
    near = difflib.get_close_matches(place, known, n=1, cutoff=0.4)
    return f"there is no setting {place}" + (f"; did you mean {near[0]}?" if near else "")
