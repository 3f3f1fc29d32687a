"""Extras: each one is declared, and its absence is one line with the command that mends it."""

import sys
import tomllib
from pathlib import Path

import pytest

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import EXTRAS, MODULES, require


def test_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    optional = declared["project"]["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        assert sorted(line.partition(">")[0] for line in optional[extra]) == sorted(packages)


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_missing_is_one_line_with_the_mend(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in EXTRAS[extra]:
        monkeypatch.setitem(sys.modules, MODULES.get(package, package), None)
    with pytest.raises(BrainsslError) as caught:
        require(extra)
    assert f"pip install 'brainssl[{extra}]'" in str(caught.value)
    assert all(package in str(caught.value) for package in EXTRAS[extra])
    assert "\n" not in str(caught.value)


def test_what_is_installed_is_accepted_and_a_folder_of_its_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("onnx")
    monkeypatch.setitem(EXTRAS, "wandb", ("folder_of_runs",))
    (tmp_path / "folder_of_runs").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BrainsslError, match="folder_of_runs"):
        require("wandb")
    (tmp_path / "folder_of_runs" / "__init__.py").touch()
    require("wandb")


def test_who_only_reads_needs_no_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    require("scans")
    with pytest.raises(BrainsslError, match=r"^not installed: highdicom: pip install"):
        require("scans", writing=True)
