"""The house: its floors are those of the contract, and a forbidden import is found."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "brainssl"
PAGE = (ROOT / "docs/why/architecture.md").read_text("utf-8")


def rooms(folder: Path) -> set[str]:
    """Return packages and modules that lie directly in a folder."""
    held = {path.parent.name for path in folder.glob("*/__init__.py")}
    return held | {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}


def contract(name: str) -> list[str]:
    held = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    [layers] = [one["layers"] for one in held["contracts"] if one["id"] == name]
    assert isinstance(layers, list)
    return layers


def test_the_floors_of_the_page_are_those_of_the_contract() -> None:
    [drawn] = re.findall(r"^```text\n(__main__\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert drawn.splitlines() == contract("rooms")


@pytest.mark.parametrize(("name", "folder"), [("rooms", "."), ("report", "reporting")])
def test_every_room_stands_on_a_floor(name: str, folder: str) -> None:
    floors = {room for layer in contract(name) for room in layer.split(" | ")}
    assert floors == rooms(SOURCE / folder)


def test_the_tree_of_the_page_is_that_of_the_folders() -> None:
    [tree] = re.findall(r"^```text\nsrc/brainssl/\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    listed = set(re.findall(r"(?:^|  )([a-z_]+)(?:/|\.py)(?=\s)", tree, re.MULTILINE))
    inner = {path.parent.name for path in (SOURCE / "reporting").glob("*/__init__.py")}
    assert listed == rooms(SOURCE) | inner
    on_top = {"__main__", "api", "cli", "commands"}
    assert all((ROOT / "tests" / room).is_dir() for room in rooms(SOURCE) - on_top)


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("data/split.py", "from brainssl.studies.plan import Plan", "data go down"),
        ("settings/sections.py", "import brainssl.methods", "data go down"),
        (
            "reporting/sections/losses.py",
            "from brainssl.reporting.page import render_page",
            "a section knows nothing of the page",
        ),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str, broken: str) -> None:
    shutil.copytree(SOURCE, tmp_path / "brainssl")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "brainssl" / file
    text = planted.read_text("utf-8")
    end = text.index('"""', 3) + 3
    planted.write_text(f"{text[:end]}\n\n{line}\n{text[end:]}", "utf-8")
    told = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert f"{broken} BROKEN" in told.stdout
    assert f"brainssl.{file[:-3].replace('/', '.')} ->" in told.stdout.replace(
        "is not allowed", "->"
    )
