"""What is written is read again; what changed stands in one line."""

from pathlib import Path

import pytest

from brainssl.settings import load_settings
from brainssl.settings.writing import in_one_line, preset_text


@pytest.mark.parametrize("preset", ["quick", "paper", "reference"])
def test_every_preset_can_be_written_and_read_again(preset: str, tmp_path: Path) -> None:
    settings, reasons = load_settings(preset)
    file = tmp_path / "own.toml"
    file.write_text(preset_text(settings, reasons), encoding="utf-8")
    assert load_settings(str(file))[0] == settings


def test_settings_are_told_in_one_line() -> None:
    changed = {"pretrain.weight_decay": 1.5e-5, "pretrain.warmup_epochs": 2, "views.strength": 0.5}
    assert in_one_line(changed) == "pretrain.weight_decay 1.5e-05, views.strength 0.5"
    assert in_one_line({}) == "as given"
