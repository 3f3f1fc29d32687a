import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from brainssl.data.audit import FOUND, audit, audit_scan
from brainssl.data.audit_page import write_page
from brainssl.data.duplicates import Pairs
from brainssl.data.leakage import (
    Leakage,
    grouped_split_leakage,
    near_duplicates_left,
    random_split_leakage,
)
from brainssl.data.scan import scan
from brainssl.data.split import make_split
from brainssl.foundation.content_policy import CONTENT_POLICY


def texture(seed: int, size: int = 48) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 2)
    return np.round(np.clip(128 + 60 * smooth / smooth.std(), 0, 255)).astype(np.uint8)


def put(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes; one picture under both, one near-duplicate, one corrupt and one deep file."""
    folder = tmp_path / "source"
    for number in range(8):
        put(folder / "Glioma T1" / f"{number}.png", texture(number))
        put(folder / "Normal T1" / f"{number}.png", texture(100 + number))
    put(folder / "Normal T1" / "copy.png", texture(0))
    put(folder / "Glioma T1" / "brighter.png", np.clip(texture(1) * 1.1 + 5, 0, 255).astype("u1"))
    (folder / "Glioma T1" / "bad <i>.png").write_bytes(b"nonsense")
    put(folder / "Rare T2" / "deep.png", texture(200).astype(np.uint16) * 200)
    return folder


def test_what_is_wrong_is_counted(source: Path) -> None:
    report = audit(source)
    assert (report["images"], report["labelled"], report["unlabelled"]) == (19, 19, 0)
    classes = {one["label"]: (one["images"], one["groups"]) for one in report["classes"]}
    assert classes == {"Glioma T1": (9, 8), "Normal T1": (9, 9), "Rare T2": (1, 1)}
    assert report["sequences"] == {"T1": 18, "T2": 1}
    assert report["small_classes"] == ["Rare T2"]
    assert [one["path"] for one in report["unreadable"]] == ["Glioma T1/bad <i>.png"]
    assert report["bit_depths"] == {"16": 1, "8": 18}
    assert report["sizes"]["most_common"] == [{"size": [48, 48], "images": 19}]
    assert report["pixel_identical"] == {"sets": 1, "images": 2, "superfluous": 1}
    assert report["byte_identical"] == {"sets": 1, "images": 2, "superfluous": 1}
    assert report["conflicts"]["identical"] == 1
    assert report["conflicts"]["images"] == 2
    assert report["near_duplicates"]["images"] == 4
    assert report["groups"]["sizes"] == {"1": 15, "2": 2}
    assert report["given_split"] is None
    assert report["patients"] == 0
    assert report["random_split"]["patient"] is None
    first = report["worst_pairs"][0]
    assert {first["left"], first["right"]} == {"Glioma T1/0.png", "Normal T1/copy.png"}
    assert first["why"] == "identical, different labels"
    assert {first["left_label"], first["right_label"]} == {"Glioma T1", "Normal T1"}


def test_findings_are_plain_and_the_most_serious_come_first(source: Path) -> None:
    findings = [finding["text"] for finding in audit(source)["findings"]]
    text = "\n".join(findings)
    assert "1 picture stands under more than one label" in text
    assert "Rare T2" in text
    assert "No patients are known" in text
    assert "bad <i>.png" in text
    order = [
        next(at for at, one in enumerate(findings) if part in one)
        for part in ("more than one label", "No patients are known")
    ]
    assert order == sorted(order)
    assert all(one.endswith(".") for one in findings)


def test_the_page_is_self_contained_and_escapes_names(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    report = audit(source, out=out)
    assert json.loads((out / "audit.json").read_text("utf-8")) == report
    page = (out / "audit.html").read_text("utf-8")
    assert "bad &lt;i&gt;.png" in page
    assert "<i>.png" not in page
    assert "<script" not in page
    assert f'http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}"' in page
    addresses = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert "http" not in page.replace("http-equiv", "")
    for finding in report["findings"]:
        assert finding["text"].split(":")[0].split("`")[0][:40].split(" <")[0] in page


def test_a_scan_is_not_repeated_and_a_file_that_went_away_does_not_stop_the_page(
    source: Path, tmp_path: Path
) -> None:
    scanned = scan(source)
    (source / "Glioma T1" / "0.png").unlink()
    assert audit_scan(scanned, out=tmp_path / "o")["images"] == 19
    assert "cannot be read any more" in (tmp_path / "o" / "audit.html").read_text("utf-8")


def test_leakage_of_a_given_split(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path / "Training" / "A" / f"{number}.png", texture(number))
        put(tmp_path / "Testing" / "A" / f"{number}.png", texture(50 + number))
    put(tmp_path / "Testing" / "A" / "0.png", texture(0))
    put(tmp_path / "Testing" / "A" / "1.png", np.clip(texture(1) * 0.9, 0, 255).astype("u1"))
    report = audit(tmp_path)
    given = report["given_split"]
    assert (given["train"], given["test"], given["groups_across"]) == (6, 6, 2)
    assert given["identical"] == pytest.approx(1 / 6)
    assert given["near_duplicate"] == given["group"] == pytest.approx(2 / 6)
    assert given["patient"] is None
    assert any("given split leaks" in finding["text"] for finding in report["findings"])
    assert {pair["why"] for pair in report["worst_pairs"][:2]} == {"across the given split"}


def test_labels_apart_from_their_sequence_do_not_contradict(tmp_path: Path) -> None:
    put(tmp_path / "Glioma T1" / "1.png", texture(1))
    put(tmp_path / "Glioma T1C+" / "1.png", np.clip(texture(1) * 1.1, 0, 255).astype("u1"))
    put(tmp_path / "Normal T1" / "2.png", texture(2))
    put(tmp_path / "Cyst T1" / "2.png", np.clip(texture(2) * 1.1, 0, 255).astype("u1"))
    report = audit(tmp_path)
    assert report["near_duplicates"]["pairs"] == 2
    assert report["conflicts"] == {"identical": 0, "images": 0, "near_duplicates": 1}


def manifest_of(pixels: str, patients: str, groups: list[int]) -> pd.DataFrame:
    people = [None if one == "-" else one for one in patients]
    return pd.DataFrame({"pixels": list(pixels), "patient": people, "group": groups, "flags": ""})


def test_what_a_test_image_has_in_training() -> None:
    manifest = manifest_of("abcade", "pq-rs-", [0, 1, 2, 0, 3, 4])
    pairs = Pairs(np.array([1]), np.array([4]), np.array([0.9], np.float32))
    seen = Leakage.of(manifest, pairs).seen(np.array([0, 1]), np.array([2, 3, 4, 5]))
    assert seen["identical"].tolist() == [False, True, False, False]
    assert seen["near_duplicate"].tolist() == [False, True, True, False]
    assert seen["patient"].tolist() == [False, False, False, False]
    assert seen["group"].tolist() == [False, True, False, False]
    same = Leakage.of(manifest_of("abc", "pp-", [0, 0, 1]), Pairs.none())
    assert same.seen(np.array([0]), np.array([1, 2]))["patient"].tolist() == [True, False]


def test_what_a_split_by_group_leaves_is_counted() -> None:
    """Two patients who are near-duplicates stay two groups: the split parts them or does not."""
    count = 40
    manifest = pd.DataFrame(
        {
            "image_id": [str(number) for number in range(count)],
            "pixels": [str(number) for number in range(count)],
            "label": ["A", "B"] * (count // 2),
            "patient": [f"p{number // 2}" for number in range(count)],
            "group": np.arange(count) // 2,
            "flags": "",
            "given": None,
        }
    )
    split = make_split(manifest, protocol="grouped", seed=0)
    train, test = split.indices(manifest, "train"), split.indices(manifest, "test")
    ends = [sorted((int(train[0]), int(row))) for row in test[:2]]
    ends += [sorted((int(test[2]), int(test[3])))]
    left, right = np.array(sorted(ends)).T
    pairs = Pairs(left, right, np.full(3, 0.9, np.float32))
    assert near_duplicates_left(manifest, pairs, split) == 2
    found = grouped_split_leakage(manifest, pairs, seed=0)
    assert found == {"seed": 0, "test": len(test), "near_duplicates": 2}
    assert near_duplicates_left(manifest, Pairs.none(), split) == 0
    assert grouped_split_leakage(manifest[:3], Pairs.none(), seed=0) is None


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (0, "none of 1,200 test images was found to have a copy"),
        (1, "1 of 1,200 test images (0.1 %) still has a copy"),
        (12, "12 of 1,200 test images (1.0 %) still have a copy"),
    ],
)
def test_the_page_says_what_is_left(source: Path, tmp_path: Path, left: int, told: str) -> None:
    scanned = scan(source)
    report = audit_scan(scanned)
    report["grouped_split"] = {"seed": 0, "test": 1200, "near_duplicates": left}
    write_page(tmp_path / "page.html", report, [], scanned)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert told in page
    assert "leaks none" not in page
    assert FOUND in html.unescape(page)
    assert report["near_duplicates"]["found"] == FOUND


def test_what_is_said_of_copies_is_what_was_measured() -> None:
    file = Path(__file__).parents[2] / "results/turned-copies-2cores.json"
    sources = json.loads(file.read_text("utf-8"))["sources"].values()
    assert len(sources) == 2
    found: dict[str, list[float]] = {}
    for source in sources:
        for row in source["kinds"]:
            found.setdefault(row["kind"], []).append(row["with"]["in_its_group"])
    table2, by_15 = found.pop("augmented by Table 2"), found.pop("turned by 15 degrees")
    assert f"{100 * min(table2):.0f} to {100 * max(table2):.0f} %" in FOUND
    assert f"{100 * min(by_15):.0f} % if turned by 15 degrees" in FOUND
    assert max(found.pop("turned by 45 degrees")) < 0.01
    assert min(min(shares) for shares in found.values()) >= 0.98


def test_the_leak_of_a_random_split_is_its_expected_value() -> None:
    """Of n images in pairs, a test image's twin is in training with probability 0.8 n / (n - 1)."""
    count = 1000
    pixels = [str(number // 2) for number in range(count)]
    manifest = pd.DataFrame(
        {"pixels": pixels, "patient": None, "group": np.arange(count) // 2, "flags": ""}
    )
    leakage = Leakage.of(manifest, Pairs.none())
    found = random_split_leakage(
        leakage, np.arange(count), draws=60, generator=np.random.default_rng(0)
    )
    mean, sd = found["identical"]
    assert mean == pytest.approx(0.8 * count / (count - 1), abs=4 * sd / np.sqrt(60))
    assert found["group"] == found["near_duplicate"] == found["identical"]
    assert found["patient"] == (0.0, 0.0)
    again = random_split_leakage(
        leakage, np.arange(count), draws=60, generator=np.random.default_rng(0)
    )
    assert again == found


def test_too_few_images_to_split_are_no_error(tmp_path: Path) -> None:
    put(tmp_path / "1.png", texture(1))
    report = audit(tmp_path, out=tmp_path / "out")
    assert "identical" not in report["random_split"]
    assert any("No image is labelled" in finding["text"] for finding in report["findings"])


def test_a_class_of_which_nothing_could_be_read_is_serious(source: Path) -> None:
    (source / "Pituitary T1").mkdir()
    for number in range(3):
        (source / "Pituitary T1" / f"{number}.png").write_bytes(b"nonsense")
    serious = [one["text"] for one in audit(source)["findings"] if one["severity"] == "serious"]
    assert any(text.startswith("No file of 1 class could be read: Pituitary") for text in serious)
    told = scan(source).losses
    assert told[0] == "no file of the class Pituitary T1 could be read"
    assert told[1].startswith("left out: 4, e.g. Glioma T1/bad <i>.png: ")


def test_classes_that_a_given_set_lacks_are_named(tmp_path: Path) -> None:
    for number in range(4):
        for part, name in (("Training", "Glioma"), ("Training", "Normal"), ("Testing", "Glioma")):
            put(tmp_path / part / name / f"{number}.png", texture(len(part + name) + 50 * number))
    report = audit(tmp_path)
    assert report["given_split"]["missing_classes"] == {"train": [], "test": ["Normal"]}
    texts = [one["text"] for one in report["findings"] if one["severity"] == "serious"]
    assert any(
        text.startswith("The given training set has 1 class that the test set lacks: Normal.")
        for text in texts
    )


def test_what_must_be_answered_comes_first(tmp_path: Path) -> None:
    for number in range(4):
        for site in ("site1", "site2"):
            for name in ("glioma", "normal"):
                put(
                    tmp_path / site / name / f"{number}.png", texture(9 * len(site + name) + number)
                )
    report = audit(tmp_path)
    assert "--classes-at 2" in report["findings"][0]["text"]
    assert audit(tmp_path, classes_at=2)["questions"] == []
