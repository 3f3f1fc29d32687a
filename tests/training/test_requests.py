"""Requests of before: what a key stood for when nobody had written it."""

from pathlib import Path

from brainssl.foundation.storage import whole_folder
from brainssl.settings import Settings, load_settings
from brainssl.training.requests import as_before, as_begun


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


def test_the_digest_of_the_start_had_the_key_of_its_name(tmp_path: Path) -> None:
    """Work that a version of before began goes on with the same weights, and with no others."""
    out, request = tmp_path / "out", {"seed": 1, "start": "radnet", "start_digest": "abc"}
    assert as_begun(out, request) == request  # nothing is begun
    for held in ({"seed": 1, "start": "abc"}, request):
        try:
            with whole_folder(out, resume=True, request=held) as folder:
                (folder / "checkpoint").touch()
                raise InterruptedError
        except InterruptedError:
            pass
        assert as_begun(out, request) == held
    other = request | {"start_digest": "another"}
    assert as_begun(out, other) == other
