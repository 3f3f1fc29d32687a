"""One command runs the benchmarks of speed, and tells how far their ratios scatter."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def module() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "__main__.py"))


def test_ratios_are_found_by_their_keys(module: dict[str, Any]) -> None:
    told = {
        "cases": [{"share_of_the_limit": 0.9, "views_per_second": {"limit": 20}}],
        "formats": {"nii": {"headers_over_bare": 3, "slices": 32}},
        "ratios": {"audit, one process over pillow": 0.1},
        "times_grad_cam": {"eigencam": 5.5, "left_out": None, "equal": True},
        "ratio_of_p50_at_one_client": 1.5,
        "rounds": 3,
    }
    assert dict(module["ratios_of"](told)) == {
        "cases / 0 / share_of_the_limit": 0.9,
        "formats / nii / headers_over_bare": 3,
        "ratios / audit, one process over pillow": 0.1,
        "times_grad_cam / eigencam": 5.5,
        "ratio_of_p50_at_one_client": 1.5,
    }


def test_all_that_are_named_exist_and_take_what_they_are_given(module: dict[str, Any]) -> None:
    for call in module["SPEED"].values():
        script, *options = call.split()
        text = (ROOT / "benchmarks" / script).read_text("utf-8")
        assert all(f'"{option}"' in text for option in options if option.startswith("--"))


def test_ratios_over_runs_stand_side_by_side(
    module: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, ratio in ((1, 1.1), (2, 1.3)):
        held = {"ratio_of_p50_at_one_client": ratio}
        (tmp_path / f"serve-{number}.json").write_text(json.dumps(held))
    monkeypatch.setattr(sys, "argv", ["benchmarks", str(tmp_path), "serve"])
    module["main"]()
    assert capsys.readouterr().out == "serve: ratio_of_p50_at_one_client: 1.1 to 1.3\n"
    spread = json.loads((tmp_path / "spread.json").read_text("utf-8"))
    assert spread == {"serve": {"ratio_of_p50_at_one_client": [1.1, 1.3]}}
    monkeypatch.setattr(sys, "argv", ["benchmarks", str(tmp_path), "sreve"])
    with pytest.raises(SystemExit):
        module["main"]()
    assert "no benchmark sreve: there are throughput, " in capsys.readouterr().err
