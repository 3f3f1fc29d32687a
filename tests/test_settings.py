import tomllib
from dataclasses import fields
from importlib import resources

import pytest

from brainssl.errors import BrainsslError
from brainssl.settings import Settings, load_settings, preset_names
from brainssl.views.geometry import Geometry
from brainssl.views.intensity import Intensity

# The study's Table 3, column SimCLR, and the heads of its section 3.5.2.
TABLE3 = {
    "encoder.name": "resnet50",
    "encoder.image_size": 224,
    "pretrain.batch_size": 32,
    "probe.batch_size": 32,
    "finetune.batch_size": 32,
    "pretrain.epochs": 80,
    "probe.epochs": 50,
    "finetune.epochs": 50,
    "pretrain.learning_rate": 3e-4,
    "probe.learning_rate": 1e-3,
    "finetune.learning_rate": 1e-4,
    "finetune.head_factor": 10.0,
    "pretrain.weight_decay": 1e-6,
    "probe.weight_decay": 1e-6,
    "finetune.weight_decay": 1e-6,
    "probe.patience": 10,
    "finetune.patience": 10,
    "finetune.min_epoch_steps": 0,
    "simclr.hidden_dim": 512,
    "simclr.output_dim": 128,
    "simclr.temperature": 0.5,
    "split.val_fraction": 0.1,
    "split.test_fraction": 0.1,
}


def value(settings: Settings, key: str) -> object:
    section, name = key.split(".")
    return getattr(getattr(settings, section), name)


def every_key() -> set[str]:
    dump = Settings().model_dump()
    return {f"{section}.{name}" for section, values in dump.items() for name in values}


def refused(overrides: list[str], preset: str = "quick") -> str:
    with pytest.raises(BrainsslError) as raised:
        load_settings(preset, overrides)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_preset_paper_is_table_3():
    settings, reasons = load_settings("paper")
    for key, published in TABLE3.items():
        assert value(settings, key) == published, key
    assert reasons["pretrain.learning_rate"] == "preset paper"


@pytest.mark.parametrize("preset", preset_names())
def test_presets_load_with_every_value_as_written(preset):
    text = (resources.files("brainssl") / "presets" / f"{preset}.toml").read_text("utf-8")
    settings, reasons = load_settings(preset)
    assert set(reasons) == every_key()
    written = {
        f"{section}.{name}": content
        for section, values in tomllib.loads(text).items()
        for name, content in values.items()
    }
    for key in every_key():
        expected = written.get(key, value(Settings(), key))
        found = value(settings, key)
        assert found == (tuple(expected) if isinstance(expected, list) else expected), key
        assert reasons[key] == (f"preset {preset}" if key in written else "default"), key


def test_there_are_the_presets_that_the_manual_names():
    assert {"quick", "paper"} <= set(preset_names())


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("pretrain.epochs=7", "pretrain.epochs", 7),
        ("pretrain.learning_rate=1e-5", "pretrain.learning_rate", 1e-5),
        ("pretrain.learning_rate=1", "pretrain.learning_rate", 1.0),
        ("views.crop_area=[0.25, 0.75]", "views.crop_area", (0.25, 0.75)),
        ("encoder.name=resnet34", "encoder.name", "resnet34"),
        ('encoder.name="resnet34"', "encoder.name", "resnet34"),
        (" encoder.name = convnext_tiny.fb_in1k ", "encoder.name", "convnext_tiny.fb_in1k"),
        ("run.precision=32-true", "run.precision", "32-true"),
        ("pretrain.clip_norm=none", "pretrain.clip_norm", None),
        ("finetune.clip_norm=0.5", "finetune.clip_norm", 0.5),
    ],
)
def test_an_override_is_read_as_toml_or_a_bare_word(override, key, expected):
    settings, reasons = load_settings("quick", [override])
    assert value(settings, key) == expected
    assert type(value(settings, key)) is type(expected)
    assert reasons[key] == "set by hand"
    assert [k for k, reason in reasons.items() if reason == "set by hand"] == [key]


def test_the_last_override_of_a_key_counts():
    settings, _ = load_settings("quick", ["pretrain.epochs=3", "pretrain.epochs=5"])
    assert settings.pretrain.epochs == 5


@pytest.mark.parametrize(
    "override", ["pretrain.epochs", "epochs=3", "a.b.c=3", "=3", ".epochs=3", "pretrain.=3", ""]
)
def test_bad_syntax_is_answered_by_the_right_one(override):
    assert "section.key=value" in refused([override])


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("pretrain.epoch=3", "pretrain.epochs"),
        ("pretrain.lerning_rate=3", "pretrain.learning_rate"),
        ("finetune.batchsize=3", "finetune.batch_size"),
        ("pretrian.epochs=3", "pretrain"),
        ("simclr.temprature=0.1", "simclr.temperature"),
    ],
)
def test_an_unknown_key_is_answered_by_the_nearest(override, nearest):
    message = refused([override])
    assert f"did you mean {nearest}?" in message
    assert override.split("=")[0].split(".")[0] in message
    assert message.startswith("--set")


@pytest.mark.parametrize(
    "override",
    [
        "pretrain.epochs=many",
        "pretrain.epochs=0",
        "pretrain.epochs=1.5",
        "pretrain.learning_rate=-1",
        "pretrain.learning_rate=nan",
        "pretrain.learning_rate=inf",
        "pretrain.weight_decay=-1e-4",
        "pretrain.clip_norm=0",
        "views.rotation=-5",
        "views.flip=1.5",
        "views.crop_area=0.5",
        "views.crop_area=[0.5]",
        "views.crop_area=[1.0, 0.5]",
        "views.crop_area=[0.0, 1.0]",
        "views.crop_area=[0.5, 1.2]",
        "views.gamma=[0, 1]",
        "split.val_fraction=1",
        "evaluation.draws=0",
        "encoder.weights=somewhere",
        "encoder.image_size=8",
        "run.accelerator=tpu",
    ],
)
def test_a_wrong_value_is_named_with_its_key(override):
    key = override.partition("=")[0]
    message = refused([override])
    assert message.startswith(f"--set: {key}")


def test_a_preset_may_be_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[pretrain]\nepochs = 3\n")
    settings, reasons = load_settings(str(file), ["probe.epochs=4"])
    assert (settings.pretrain.epochs, settings.probe.epochs) == (3, 4)
    assert reasons["pretrain.epochs"] == f"preset {file}"
    assert reasons["probe.epochs"] == "set by hand"
    assert reasons["probe.patience"] == "default"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pretrain]\nepochs = 'three'\n", "pretrain.epochs"),
        ("[pretrain]\nepoch = 3\n", "did you mean pretrain.epochs"),
        ("epochs = 3\n", "outside of a section"),
        ("[pretrain\n", "no valid TOML"),
    ],
)
def test_a_wrong_preset_is_named_by_its_file(tmp_path, text, says):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    message = refused(["probe.epochs=4"], str(file))
    assert message.startswith(str(file))
    assert says in message


@pytest.mark.parametrize("preset", ["quik", "mine.toml", "", "."])
def test_an_unknown_preset_is_answered_by_the_known_ones(preset):
    message = refused([], preset)
    assert "quick" in message
    assert "paper" in message


def test_with_image_size_changes_that_alone():
    settings, _ = load_settings("quick")
    other = settings.with_image_size(96)
    assert other.encoder.image_size == 96
    assert other.with_image_size(settings.encoder.image_size) == settings
    assert settings.encoder.image_size == 64


def test_settings_survive_json():
    settings, _ = load_settings("paper", ["pretrain.clip_norm=none"])
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().pretrain.epochs = 3


def test_view_settings_are_named_as_in_the_views():
    known = {field.name for field in (*fields(Geometry), *fields(Intensity))}
    assert set(Settings().views.model_dump()) <= known
