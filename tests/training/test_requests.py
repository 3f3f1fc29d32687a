"""Requests of before: what a key stood for when nobody had written it."""

from brainssl.settings import Settings, load_settings
from brainssl.training.requests import as_before


def test_settings_stood_for_their_defaults_under_the_method() -> None:
    settings, _ = load_settings("quick", [])
    before = as_before("byol", ["byol"])
    asked = settings.of("byol").written(["byol"])
    assert before["settings"].keys() == asked.keys()
    assert {name: values.keys() for name, values in before["settings"].items()} == {
        name: values.keys() for name, values in asked.items()
    }
    assert before["settings"]["views"]["noise"] == Settings().views.noise
    assert as_before("supervised", ())["reader"] == 1
