import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import reduce
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from brainssl.foundation.errors import BadUseError
from brainssl.methods import METHODS, build_method
from brainssl.settings import Settings, flat, load_settings, preset_names
from brainssl.settings.methods import STAGES, MethodSettings, MomentumSettings
from brainssl.settings.settings import OWN_STAGES
from brainssl.views.geometry import Geometry
from brainssl.views.intensity import Intensity
from brainssl.views.recipes import ViewRecipe

# The study's Table 3, typed from its page.
SHARED = {
    "encoder.name": "resnet50",
    "encoder.image_size": 224,
    "pretrain.batch_size": 32,
    "probe.batch_size": 32,
    "finetune.batch_size": 32,
    "pretrain.epochs": 80,
    "probe.epochs": 50,
    "finetune.epochs": 50,
    "finetune.min_epoch_steps": 0,
    "probe.solver": "adamw",
    "probe.patience": 10,
    "finetune.patience": 10,
    "split.val_fraction": 0.1,
    "split.test_fraction": 0.1,
}
TABLE3 = {
    # Learning rates of pretraining, linear evaluation and fine-tuning (with the factor of the new
    # classifier: SimCLR's is printed as "1e-4 × 10"), and weight decay.
    "mocov3": (1e-3, 3e-3, 5e-4, 1, 1e-4),
    "dino": (1e-4, 3e-3, 1e-4, 1, 1e-6),
    "byol": (1e-4, 1e-3, 1e-4, 1, 1e-4),
    "simclr": (3e-4, 1e-3, 1e-4, 10, 1e-6),
}
# Its section 3.5, and the temperatures of Table 3.
LOSSES = {
    "mocov3": {"temperature": 0.2, "symmetric": False, "scaled": False, "predictor": False},
    "dino": {"student_temperature": 0.1, "teacher_temperature": 0.04},
    "byol": {"normalise_projections": True, "momentum": 0.996},
    "simclr": {"temperature": 0.5},
}


def value(settings: Any, key: str) -> Any:
    return reduce(getattr, key.split("."), settings)


def as_tables(settings: Settings, **kwargs: Any) -> dict[str, Any]:
    return dict(flat(settings.written(**kwargs)))


def preset_text(preset: str) -> str:
    return (resources.files("brainssl.settings") / "presets" / f"{preset}.toml").read_text("utf-8")


def preset_values(preset: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the file of a preset says and that on which it builds, and which file says so."""
    own = dict(flat(tomllib.loads(preset_text(preset))))
    base = own.pop("extends", None)
    below, where = preset_values(base) if base else ({}, {})
    return below | own, where | dict.fromkeys(own, preset)


def by_hand(reasons: dict[str, str]) -> list[str]:
    return [key for key, reason in reasons.items() if reason == "set by hand"]


def refused(overrides: list[str], preset: str | Path = "quick") -> str:
    with pytest.raises(BadUseError) as raised:
        load_settings(str(preset), overrides)
    message = str(raised.value)
    assert "\n" not in message
    return message


def toml(tables: dict[str, Any], above: str = "") -> Iterator[str]:
    """Write nested tables as the lines of a preset, None as the word for it."""
    plain = {name: value for name, value in tables.items() if not isinstance(value, dict)}
    yield f"[{above[:-1]}]" if plain and above else ""
    for name, content in plain.items():
        yield f"{name} = {json.dumps('none' if content is None else content)}"
    for name, inner in tables.items():
        if isinstance(inner, dict):
            yield from toml(inner, f"{above}{name}.")


class Wide(nn.Module):
    """Stands for the study's ResNet-50: heads ask an encoder for features of a width."""

    dim = 2048
    network = nn.Identity()

    def forward(self, view):
        return view.flatten(1).mean(dim=1, keepdim=True).expand(-1, self.dim)


def layers(network: nn.Module) -> list[str]:
    """Say what a head is made of, as the study writes it."""
    said = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            said.append(f"{layer.in_features}→{layer.out_features}")
        elif isinstance(layer, nn.BatchNorm1d):
            said.append("BN" if layer.affine else "BN without affine")
        elif not list(layer.children()):
            said.append(type(layer).__name__)
    return said


def built(method: str, preset: str) -> Any:
    settings, _ = load_settings(preset)
    with torch.device("meta"):  # wide layers, without their numbers
        return build_method(method, Wide(), settings.section(method))


@pytest.mark.parametrize("method", TABLE3)
def test_the_preset_paper_is_table_3(method):
    settings, reasons = load_settings("paper")
    own = settings.of(method)
    for key, published in SHARED.items():
        assert value(own, key) == published, key
    pretrain, probe, finetune, factor, decay = TABLE3[method]
    assert own.pretrain.learning_rate == pretrain
    assert own.probe.learning_rate == probe
    assert own.finetune.learning_rate == finetune
    assert own.finetune.head_factor == factor
    assert [value(own, f"{stage}.weight_decay") for stage in STAGES[1:]] == [decay] * 3
    assert reasons["pretrain.learning_rate"] == "preset paper"


@pytest.mark.parametrize("method", TABLE3)
def test_the_views_of_the_preset_paper_are_those_that_the_study_names(method):
    """Crop, flip, rotation, colour jitter and blur; whatever else a view may have, it has not."""
    recipe = ViewRecipe.of(load_settings("paper")[0].of(method).views.model_dump())
    for part, unchanged, details in (
        (recipe.geometry, Geometry(), {"crop_ratio"}),
        (recipe.intensity, Intensity(), {"jitter", "blur_sigma"}),
    ):
        changed = {name for name, value in vars(part).items() if value != getattr(unchanged, name)}
        named = {"crop_area", "flip", "rotation", "brightness", "contrast", "blur"}
        assert changed - details == named & set(vars(part))


@pytest.mark.parametrize(
    "key",
    [
        "pretrain.warmup_epochs",
        "pretrain.clip_norm",
        "finetune.warmup_epochs",
        "finetune.clip_norm",
        "finetune.smoothing",
        "probe.standardise",
        "probe.smoothing",
        "dino.momentum",
        "mocov3.momentum",
    ],
)
def test_what_the_study_does_not_say_is_marked_in_the_preset_paper(key):
    """Its value is written there with its reason, and is no default that nobody sees."""
    section, name = key.split(".")
    [text] = re.findall(rf"^\[{section}\](.*?)(?:^\[|\Z)", preset_text("paper"), re.M | re.S)
    [line] = re.findall(rf"^{name} = .*$", text, re.M)
    assert "# not said: " in line
    assert load_settings("paper")[1][key] == "preset paper"


@pytest.mark.parametrize("method", LOSSES)
def test_the_preset_paper_has_the_losses_of_section_3(method):
    section = load_settings("paper")[0].section(method)
    assert {name: getattr(section, name) for name in LOSSES[method]} == LOSSES[method]


def test_the_preset_paper_has_the_heads_of_section_3():
    assert layers(built("simclr", "paper").projector) == ["2048→512", "ReLU", "512→128"]
    byol = built("byol", "paper")
    assert layers(byol.online[1]) == ["2048→4096", "BN", "ReLU", "4096→256"]
    predictor = layers(byol.predictor)
    assert predictor[0].startswith("256→")
    assert predictor[-1].endswith("→256")
    assert sum("→" in layer for layer in predictor) == 2
    assert layers(built("dino", "paper").online[1]) == ["2048→2048", "GELU", "2048→256"]
    moco = built("mocov3", "paper")
    assert [layer for layer in layers(moco.online[1]) if "→" in layer] == [
        "2048→4096",
        "4096→4096",
        "4096→256",
    ]
    assert layers(moco.predictor) == ["Identity"]


def test_the_preset_reference_has_the_heads_of_the_originals():
    assert layers(built("simclr", "reference").projector) == [
        "2048→2048",
        "BN",
        "ReLU",
        "2048→128",
    ]
    head = ["2048→4096", "BN", "ReLU", "4096→256"]
    assert layers(built("byol", "reference").online[1]) == head
    assert layers(built("byol", "reference").predictor) == ["256→4096", *head[1:]]
    assert layers(built("mocov3", "reference").online[1]) == [*head, "BN without affine"]
    assert layers(built("mocov3", "reference").predictor) == ["256→4096", *head[1:]]
    dino = layers(built("dino", "reference").online[1])
    assert dino == ["2048→2048", "GELU", "2048→2048", "GELU", "2048→256", "Prototypes"]


def test_the_preset_reference_has_the_losses_of_the_originals():
    settings, _ = load_settings("reference")
    assert (settings.mocov3.symmetric, settings.mocov3.scaled) == (True, True)
    assert settings.byol.normalise_projections is False
    assert settings.dino.freeze_epochs == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["quick", "reference"])
def test_pretrained_weights_are_tuned_more_slowly_than_fresh_ones(preset, method):
    """At the rate of fresh ones, what pretraining has learnt was lost in the first epochs."""
    settings, reasons = load_settings(preset)
    assert settings.of("supervised").finetune.learning_rate == 1e-3
    assert settings.of(method).finetune.learning_rate == 3e-4
    assert reasons[f"{method}.finetune.learning_rate"] == f"preset {preset}"


@pytest.mark.parametrize("method", ["byol", "dino", "mocov3"])
@pytest.mark.parametrize("preset", ["quick", "reference"])
def test_momentum_is_a_half_life_but_in_the_preset_paper(preset, method):
    assert load_settings(preset)[0].section(method).momentum is None
    assert load_settings("paper")[0].section(method).momentum is not None


@pytest.mark.parametrize("preset", preset_names())
def test_every_value_of_a_preset_holds_and_says_so(preset):
    settings, reasons = load_settings(preset)
    defaults = dict(flat(Settings().model_dump()))
    written, where = preset_values(preset)
    assert written
    for key, default in defaults.items():
        method, _, rest = key.partition(".")
        beneath = rest if method in OWN_STAGES and rest.count(".") else ""
        expected = written.get(key, written.get(beneath, default))
        expected = tuple(expected) if isinstance(expected, list) else expected
        found = value(settings, key)
        assert found == (None if expected == "none" else expected), key
        if beneath:
            assert value(settings.of(method), beneath) == found, key
    assert set(reasons) == set(as_tables(settings))
    for key, reason in reasons.items():
        assert reason == (f"preset {where[key]}" if key in written else "default"), key


def test_a_value_of_one_method_that_differs_has_a_reason_of_its_own():
    _, reasons = load_settings("paper")
    assert reasons["byol.pretrain.learning_rate"] == "preset paper"
    assert "byol.pretrain.epochs" not in reasons


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_gives_every_method_views_and_a_loss(preset, method):
    learner = built(method, preset).to_empty(device="cpu")  # to draw wide layers takes seconds
    for tensor in learner.state_dict().values():
        tensor.fill_(0.01)
    crops = learner.crops(load_settings(preset)[0].section(method))
    loss = learner.loss([torch.rand(2, 1, crop.side(32), crop.side(32)) for crop in crops])
    assert torch.isfinite(loss)


def test_there_are_the_presets_that_the_manual_names():
    assert preset_names() == ["paper", "quick", "reference", "strong"]


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("pretrain.epochs=7", "pretrain.epochs", 7),
        ("pretrain.learning_rate=1e-5", "pretrain.learning_rate", 1e-5),
        ("pretrain.learning_rate=1", "pretrain.learning_rate", 1.0),
        ("pretrain.one_per_group=true", "pretrain.one_per_group", True),
        ("views.crop_area=[0.25, 0.75]", "views.crop_area", (0.25, 0.75)),
        ("encoder.name=resnet34", "encoder.name", "resnet34"),
        ('encoder.name="resnet34"', "encoder.name", "resnet34"),
        (" encoder.name = convnext_tiny.fb_in1k ", "encoder.name", "convnext_tiny.fb_in1k"),
        ("encoder.weights=imagenet", "encoder.weights", "imagenet"),
        (
            "encoder.weights=hub:timm/resnet18.a1_in1k",
            "encoder.weights",
            "hub:timm/resnet18.a1_in1k",
        ),
        ("encoder.weights=moco.pth.tar", "encoder.weights", "moco.pth.tar"),
        ("encoder.weights=~/w/a b.safetensors", "encoder.weights", "~/w/a b.safetensors"),
        ("encoder.weights=./folder", "encoder.weights", "./folder"),
        ("encoder.mean=0", "encoder.mean", 0.0),
        ("encoder.std=1", "encoder.std", 1.0),
        ("encoder.std=none", "encoder.std", None),
        ("run.precision=32-true", "run.precision", "32-true"),
        ("pretrain.clip_norm=none", "pretrain.clip_norm", None),
        ("finetune.clip_norm=0.5", "finetune.clip_norm", 0.5),
        ("byol.momentum=0.99", "byol.momentum", 0.99),
        ("dino.bottleneck_dim=none", "dino.bottleneck_dim", None),
        ("byol.pretrain.learning_rate=2e-4", "byol.pretrain.learning_rate", 2e-4),
        ("dino.views.crop_area=[0.5, 1]", "dino.views.crop_area", (0.5, 1.0)),
        ("nnclr.finetune.patience=3", "nnclr.finetune.patience", 3),
    ],
)
def test_an_override_is_read_as_toml_or_a_bare_word(override, key, expected):
    settings, reasons = load_settings("quick", [override])
    assert value(settings, key) == expected
    assert type(value(settings, key)) is type(expected)
    assert by_hand(reasons) == [key]


def test_the_last_override_of_a_key_counts():
    settings, _ = load_settings("quick", ["pretrain.epochs=3", "pretrain.epochs=5"])
    assert settings.pretrain.epochs == 5
    settings, _ = load_settings("quick", ["byol.probe.epochs=3", "byol.probe.epochs=5"])
    assert settings.byol.probe.epochs == 5


def test_a_preset_value_of_one_method_goes_before_that_of_all(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[byol.pretrain]\nepochs = 8\n[pretrain]\nepochs = 5\nwarmup_epochs = 1.5\n")
    settings, reasons = load_settings(str(file))
    assert settings.pretrain.epochs == settings.of("simclr").pretrain.epochs == 5
    assert settings.of("byol").pretrain.epochs == 8
    assert settings.of("byol").pretrain.warmup_epochs == 1.5  # what is not its own is that of all
    assert reasons["pretrain.epochs"] == reasons["byol.pretrain.epochs"] == f"preset {file}"


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_that_only_extends_another_is_that_one(tmp_path, preset):
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "{preset}"\n')
    assert load_settings(str(file)) == load_settings(preset)


def test_what_a_preset_says_goes_before_what_it_extends(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "quick"\n[pretrain]\nepochs = 7\n[byol.pretrain]\nepochs = 8\n')
    settings, reasons = load_settings(str(file))
    quick, because = load_settings("quick")
    changed = {"pretrain.epochs", "byol.pretrain.epochs"}
    told, before = as_tables(settings), as_tables(quick)
    assert {key for key in told if told[key] != before.get(key)} == changed
    assert {key for key in reasons if reasons[key] != because.get(key)} == changed
    assert (told["pretrain.epochs"], told["byol.pretrain.epochs"]) == (7, 8)
    assert reasons["pretrain.epochs"] == f"preset {file}"
    assert reasons["byol.half_life"] == "preset quick"


@pytest.mark.parametrize("base", ['"slow"', "3", '"../quick"', "[1]"])
def test_only_presets_of_the_package_are_extended(tmp_path, base):
    file = tmp_path / "mine.toml"
    file.write_text(f"extends = {base}\n")
    told = refused([], file)
    assert str(file) in told
    assert "choose paper, quick, reference, strong" in told


@pytest.mark.parametrize("method", ["byol", "dino", "mocov3"])
def test_by_hand_for_all_goes_before_a_preset_for_one(method):
    before, _ = load_settings("paper")
    settings, reasons = load_settings("paper", ["pretrain.learning_rate=0.123"])
    assert before.of(method).pretrain.learning_rate != before.pretrain.learning_rate
    assert settings.of(method).pretrain.learning_rate == 0.123
    assert by_hand(reasons) == ["pretrain.learning_rate"]
    assert f"{method}.pretrain.learning_rate" not in reasons
    # Everything else of its own stays.
    assert settings.of(method).probe == before.of(method).probe
    assert settings.of(method).finetune == before.of(method).finetune


@pytest.mark.parametrize(
    "overrides",
    permutations(["finetune.learning_rate=0.1", "byol.finetune.learning_rate=0.2"]),
    ids=["all first", "one first"],
)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_by_hand_for_one_goes_before_by_hand_for_all_in_any_order(preset, overrides):
    settings, reasons = load_settings(preset, list(overrides))
    assert settings.of("byol").finetune.learning_rate == 0.2
    for other in (*(name for name in METHODS if name != "byol"), "supervised"):
        assert settings.of(other).finetune.learning_rate == 0.1
    assert by_hand(reasons) == ["finetune.learning_rate", "byol.finetune.learning_rate"]


@pytest.mark.parametrize(
    "override",
    ["pretrain.epochs", "epochs=3", "a.b.c.d=3", "=3", ".epochs=3", "pretrain.=3", "", "a..b=3"],
)
def test_bad_syntax_is_answered_by_the_right_one(override):
    assert "section.key=value" in refused([override])


def test_a_table_by_hand_is_refused():
    """Otherwise the order of two overrides would decide, and no key would have the reason."""
    assert "section.key=value" in refused(["byol.pretrain={epochs = 5}"])


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("pretrain.epoch=3", "pretrain.epochs"),
        ("pretrain.lerning_rate=3", "pretrain.learning_rate"),
        ("finetune.batchsize=3", "finetune.batch_size"),
        ("pretrian.epochs=3", "pretrain"),
        ("simclr.temprature=0.1", "simclr.temperature"),
        ("byoll.momentum=0.1", "byol"),
        ("byoll.pretrain.epochs=3", "byol"),
        ("byol.pretrian.epochs=3", "byol.pretrain"),
        ("byol.pretrain.epoch=3", "byol.pretrain.epochs"),
        ("dino.views.croparea=[0.5, 1]", "dino.views.crop_area"),
    ],
)
def test_an_unknown_key_is_answered_by_the_nearest(override, nearest):
    message = refused([override])
    assert message.endswith(f"did you mean {nearest}?")
    assert override.split("=")[0].split(".")[0] in message
    assert message.startswith("--set: there is no setting ")


@pytest.mark.parametrize(
    "override",
    ["encoder.name.x=3", "pretrain.epochs.x=3", "probe.epochs.x=3", "byol.encoder.name=resnet34"],
)
def test_a_key_below_a_value_or_of_no_stage_is_refused(override):
    message = refused([override])
    assert message.startswith("--set")
    assert override.rpartition(".")[0] in message


@pytest.mark.parametrize("section", ["", "supervised.", "byol."])
@pytest.mark.parametrize(
    ("own", "mend"),
    [
        (("loss=focal", "label_smoothing=0.1"), "set label_smoothing to 0, or loss to cross_ent"),
        (("sampling=balanced", "class_weights=inverse"), "set class_weights to none, or sampling"),
    ],
)
def test_parts_of_fine_tuning_that_do_not_go_together_are_refused(section, own, mend):
    message = refused([f"{section}finetune.{one}" for one in own])
    assert message.startswith(f"--set: {section}finetune: ")
    assert mend in message
    for one in own:
        load_settings("quick", [f"{section}finetune.{one}"])


@pytest.mark.parametrize(
    "override",
    [
        "finetune.layer_decay=0",
        "finetune.layer_decay=1.1",
        "finetune.label_smoothing=1.0",
        "finetune.mixup=-0.1",
        "finetune.test_views=0",
        "finetune.test_views=11",
        "finetune.head_start=zero",
        "pretrain.epochs=many",
        "pretrain.epochs=0",
        "pretrain.epochs=-3",
        "pretrain.epochs=1.5",
        "pretrain.epochs=true",
        "pretrain.epochs='3'",
        "pretrain.learning_rate=-1",
        "pretrain.learning_rate=true",
        "pretrain.learning_rate='0.1'",
        "pretrain.learning_rate=nan",
        "pretrain.learning_rate=inf",
        "pretrain.weight_decay=-1e-4",
        "pretrain.clip_norm=0",
        "pretrain.one_per_group=1",
        "pretrain.one_per_group=yes",
        "pretrain.watch_images=1",
        "views.rotation=-5",
        "views.flip=1.5",
        "views.crop_area=0.5",
        "views.crop_area=[0.5]",
        "views.crop_area=['0.5', 1]",
        "views.crop_area=[1.0, 0.5]",
        "views.crop_area=[0.0, 1.0]",
        "views.crop_area=[0.5, 1.2]",
        "views.gamma=[0, 1]",
        "views.bias=-0.1",
        "split.val_fraction=1",
        "evaluation.draws=0",
        "encoder.weights=somewhere",
        "encoder.weights=hub:resnet18",
        "encoder.weights=hub:",
        "encoder.weights=''",
        "encoder.weights=3",
        "encoder.mean=123.7",
        "encoder.std=0",
        "encoder.std=58.4",
        "encoder.name=50",
        "encoder.image_size=8",
        "run.accelerator=tpu",
        "run.devices=0",
        "byol.momentum=1.1",
        "byol.half_life=0",
        "dino.bottleneck_dim=0",
        "dino.local_crops=-1",
        "dino.local_area=[0.5, 0.2]",
        "mocov3.predictor=maybe",
        "byol.pretrain=3",
        "byol.pretrain.epochs=-1",
        "byol.pretrain.clip_norm=never",
        "dino.views.crop_area=[0.5]",
    ],
)
def test_a_wrong_value_is_named_with_its_key(override):
    key = override.partition("=")[0]
    assert re.match(rf"--set: {key}\b", refused([override]))


def test_a_preset_may_be_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[pretrain]\nepochs = 3\n")
    settings, reasons = load_settings(str(file), ["probe.epochs=4"])
    assert (settings.pretrain.epochs, settings.probe.epochs) == (3, 4)
    assert reasons["pretrain.epochs"] == f"preset {file}"
    assert reasons["probe.epochs"] == "set by hand"
    assert reasons["probe.patience"] == "default"


@pytest.mark.parametrize("overrides", [[], ["probe.epochs=4"], ["byol.probe.epochs=4"]])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pretrain]\nepochs = 'three'\n", "pretrain.epochs = 'three'"),
        ("[pretrain]\nepoch = 3\n", "did you mean pretrain.epochs"),
        ("[pretrain]\nepochs = -3\n", "pretrain.epochs = -3"),
        ("[byol.pretrain]\nepochs = -3\n", "byol.pretrain.epochs = -3"),
        ("[byol.pretrain]\nepoch = 3\n", "did you mean byol.pretrain.epochs"),
        ("[byol.pretrian]\nepochs = 3\n", "did you mean byol.pretrain?"),
        ("[boyl]\nmomentum = 0.9\n", "did you mean byol?"),
        ("[byol]\nmomentum = '0.9'\n", "byol.momentum = '0.9'"),
        ("[byol]\npretrain = 3\n", "byol.pretrain is a section"),
        ("[pretrain.deep]\nx = 1\n", "no setting pretrain.deep"),
        ("epochs = 3\n", "outside of a section"),
        ("[[pretrain]]\nepochs = 3\n", "outside of a section"),
        ("[pretrain\n", "no valid TOML"),
    ],
)
def test_a_wrong_preset_is_named_by_its_file(tmp_path, text, says, overrides):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    message = refused(overrides, file)
    assert message.startswith(str(file))
    assert says in message


def test_a_wrong_section_of_a_preset_is_named_whatever_is_set_by_hand(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[byol]\npretrain = 3\n")
    assert "byol.pretrain" in refused(["pretrain.epochs=4"], file)
    assert "byol.pretrain" in refused(["byol.pretrain.epochs=4"], file)


@pytest.mark.parametrize("preset", ["quik", "mine.toml", "", "."])
def test_an_unknown_preset_is_answered_by_the_known_ones(preset):
    message = refused([], preset)
    for name in preset_names():
        assert name in message


def test_settings_of_a_method_have_its_stages_and_everything_else():
    settings, _ = load_settings("paper", ["byol.views.rotation=3"])
    own = settings.of("byol")
    assert own.pretrain == settings.byol.pretrain != settings.pretrain
    assert own.views == settings.byol.views != settings.views
    assert own.probe == settings.byol.probe != settings.probe
    assert own.finetune == settings.byol.finetune != settings.finetune
    for section in ("encoder", "split", "evaluation", "run", *METHODS):
        assert getattr(own, section) == getattr(settings, section)
    assert own.of("byol") == own


@pytest.mark.parametrize("name", ["supervised", "untrained", "unknown", ""])
def test_settings_of_anything_else_are_those_of_all(name):
    settings, _ = load_settings("paper")
    assert settings.of(name) == settings


def test_the_baseline_may_have_its_own_fine_tuning():
    """Its own goes before that of all, in any order, and is nobody else's."""
    own = ["supervised.finetune.learning_rate=0.5", "finetune.learning_rate=0.1"]
    settings, reasons = load_settings("quick", [*own, "finetune.epochs=3"])
    baseline = settings.of("supervised")
    assert (baseline.finetune.learning_rate, baseline.finetune.epochs) == (0.5, 3)
    assert baseline.model_copy(update={"finetune": settings.finetune}) == settings
    for other in (*METHODS, "untrained"):
        assert settings.of(other).finetune.learning_rate == 0.1
    assert settings.written()["supervised"] == {
        "equal_steps": False,
        "finetune": {"learning_rate": 0.5},
    }
    assert "supervised" not in settings.written(["byol"])
    assert settings.written(["supervised"])["supervised"] == settings.written()["supervised"]
    assert reasons["supervised.finetune.learning_rate"] == "set by hand"
    assert "did you mean supervised.finetune.epochs" in refused(["supervised.finetune.epoch=3"])
    assert "supervised.probe" in refused(["supervised.probe.epochs=3"])


def test_with_epochs_changes_those_of_fine_tuning_alone():
    settings, _ = load_settings("quick")
    other = settings.with_epochs(123)
    assert other.finetune.epochs == 123
    assert other.with_epochs(settings.finetune.epochs) == settings


def test_with_image_size_changes_that_alone():
    settings, _ = load_settings("quick")
    other = settings.with_image_size(96)
    assert other.encoder.image_size == 96
    assert other.with_image_size(settings.encoder.image_size) == settings
    assert settings.encoder.image_size == 64


def test_written_settings_hold_of_a_methods_stages_only_what_differs():
    settings, _ = load_settings("paper")
    written = settings.written()
    assert written["byol"]["pretrain"] == {"learning_rate": 1e-4, "weight_decay": 1e-4}
    assert "views" not in written["byol"]
    assert not set(STAGES) & set(written["simclr"])
    for method in METHODS:
        for stage in STAGES:
            whole = written[stage] | written[method].get(stage, {})
            assert whole == getattr(settings.section(method), stage).model_dump(mode="json")
    assert json.loads(json.dumps(written)) == written


def test_written_settings_hold_the_methods_that_are_asked_for():
    settings, _ = load_settings("paper")
    everything = settings.written()
    shared = {name: tables for name, tables in everything.items() if name not in OWN_STAGES}
    assert settings.written(()) == shared
    assert settings.written(["byol"]) == shared | {"byol": everything["byol"]}


def test_settings_written_for_one_method_are_those_that_it_had():
    own = load_settings("paper")[0].of("byol")
    written = own.written(["byol"])
    assert written["pretrain"]["learning_rate"] == 1e-4
    assert not set(STAGES) & set(written["byol"])


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize(
    "overrides",
    [[], ["pretrain.clip_norm=none", "dino.finetune.clip_norm=none", "byol.probe.patience=2"]],
)
def test_what_was_written_loads_as_the_same_settings(preset, overrides, tmp_path):
    settings, _ = load_settings(preset, overrides)
    file = tmp_path / "written.toml"
    file.write_text("\n".join(toml(settings.written())))
    assert load_settings(str(file))[0] == settings


def test_settings_survive_json():
    settings, _ = load_settings("paper", ["pretrain.clip_norm=none"])
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().pretrain.epochs = 3


def test_view_settings_are_named_as_in_the_views():
    known = {field.name for field in (*fields(Geometry), *fields(Intensity))}
    assert set(Settings().views.model_dump()) <= known | {"strength"}


def test_momentum_follows_from_the_half_life_and_the_epoch():
    """After so many steps, half of what the teacher was is left."""
    for half_life, steps in ((1.0, 94), (1.5, 47), (0.5, 1000)):
        section = MomentumSettings(half_life=half_life)
        momentum, reason = section.resolved(steps)["momentum"]
        assert momentum ** (half_life * steps) == pytest.approx(0.5)
        assert f"{half_life:g} × the {steps} steps of an epoch" in reason


def test_momentum_that_is_set_is_taken_as_it_is():
    section = load_settings("paper")[0].section("byol")
    for steps in (1, 1000):
        momentum, reason = section.resolved(steps)["momentum"]
        assert momentum == 0.996
        assert "half-life" not in reason


def test_only_methods_with_a_teacher_resolve_anything():
    settings = Settings()
    with_teacher = {name for name in METHODS if settings.section(name).resolved(10)}
    assert with_teacher == {"byol", "dino", "mocov3"}
    assert MethodSettings().resolved(10) == {}


def test_a_byte_order_mark_in_a_preset_does_no_harm(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf[pretrain]\nepochs = 3\n")
    assert load_settings(str(path))[0].pretrain.epochs == 3
