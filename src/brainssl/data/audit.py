"""The data are checked before the first epoch: what is there, what is wrong, what would leak."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainssl import __version__
from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.audit_findings import findings_of
from brainssl.data.audit_page import write_page
from brainssl.data.audit_series import series_report
from brainssl.data.audit_text import text_report
from brainssl.data.duplicates import NEAR, Pairs
from brainssl.data.extra import EXTRA
from brainssl.data.families import Families, pairs_of
from brainssl.data.groups import blank_rows
from brainssl.data.leakage import (
    KINDS,
    Leakage,
    grouped_split_leakage,
    random_split_leakage,
)
from brainssl.data.scan import scan
from brainssl.data.scanned import Scan
from brainssl.foundation.storage import write_json

DRAWS = 20
SEED = 0
FOUND = (
    "Of copies planted into a real collection and a phantom, 98 % or more came into the group of "
    "their original if they were mirrored, upside down, or turned by a quarter, half or up to 10 "
    "degrees, 95 % if turned by 15 degrees, and 83 to 92 % if turned, shifted, zoomed and mirrored "
    "as in the published study; turns between 25 and 65 degrees, crops that cut the head, "
    "stretching, drawn-over pictures and other slices of one patient are not looked for."
)
"""What is measured in `results/turned-copies-2cores.json`, in a sentence."""
LISTED = 24
"""Worst pairs that are listed and pictured."""


def audit(
    source: Path,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    families: Path | None = None,
    reading: Reading = BY_DEFAULT,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Scan a source and report on it.

    Args:
        source: a folder of images, as `brainssl.data.scan.scan` takes it.
        labels: CSV of labels, as there.
        classes_at: level of the classes, as there.
        families: CSV of families and sequences, as there.
        reading: how volumes are read and labelled, as there.
        out: folder for `audit.json` and `audit.html`; nothing is written without it.
        progress: is told (images done, images in all).

    Returns:
        The report, as `audit_scan` describes it.

    Raises:
        BrainsslError: as `scan` does.
    """
    found = scan(
        source,
        labels=labels,
        classes_at=classes_at,
        families=families,
        reading=reading,
        progress=progress,
    )
    return audit_scan(found, out=out)


def audit_scan(scanned: Scan, *, out: Path | None = None) -> dict[str, Any]:
    """Report on a source that was scanned.

    Args:
        scanned: the scan; of extra images the report has `extra` and notes alone.
        out: folder for `audit.json` and `audit.html`; nothing is written without it.

    Returns:
        A report that JSON can hold:

        - `source`, `version`; `images`, `labelled`, `unlabelled`, `patients` (0 if unknown)
        - `extra`: images of each extra folder for pretraining alone, by its name; no other number
          counts them
        - `findings`: `severity` ("serious", "caution", "good") and `text` with its mend, the most
          serious first
        - `classes`: `label family sequence images patients groups` each; `sequences`: images by
          sequence
        - `small_classes`: labels with fewer than 3 groups, which cannot be in all three parts
        - `unreadable`: `path reason` each; `excluded`: series of volumes that were not read, by
          reason; `notes`: what the scan decided;
          `questions`: what must be answered before a study; `lost_classes`: classes of which no
          file could be read
        - `sizes`: `distinct`, the `smallest` and `largest` [width, height], the `most_common` with
          their counts; `bit_depths` and `flags`: images by each
        - `text`: images with burned-in text, as `brainssl.data.audit_text.text_report` says
        - `byte_identical`, `pixel_identical`: `sets` of copies, `images` in them, `superfluous`
        - `near_duplicates`: `similarity` from which pairs count, `pairs`, `images` in one and their
          `share`, `across_patients` (pairs), and `found`: which changed copies are found how often
        - `groups`: `count`, `largest`, `sizes` (groups by size)
        - `conflicts`: `identical` sets of copies that bear different labels and the `images` in
          them; `near_duplicates` (pairs) of different labels, sequence aside
        - `random_split`: `draws`, `seed` and for each of `brainssl.data.leakage.KINDS` the `mean`
          and `sd` of the share of test images that a split 80/10/10 by image leaks (`patient` is
          None where no patient is known; the kinds are absent below 10 images)
        - `grouped_split`: of one split by group its `seed`, the number of `test` images, and how
          many of them have a copy or near-duplicate in training all the same
          (`near_duplicates`); None where there are too few groups or labels
        - `given_split`: None, or `train` and `test` images, `groups_across`, `missing_classes` of
          each of the two, and for each kind the
          share of test images that the given training set holds
        - `worst_pairs`: `left right left_label right_label similarity why` each
        - `series`: None, or of an archive what `brainssl.data.audit_series.series_report` says
    """
    extra = Counter(scanned.manifest[EXTRA].dropna()) if scanned.extra else Counter()
    scanned = scanned.own
    report = _report(scanned) | {"extra": dict(sorted(extra.items()))}
    findings = findings_of(report)
    report["findings"] = [
        {"severity": finding.level, "text": finding.sentence} for finding in findings
    ]
    if out is not None:
        write_json(out / "audit.json", report)
        write_page(out / "audit.html", report, findings, scanned)
    return report


def _report(scanned: Scan) -> dict[str, Any]:
    manifest, near = scanned.manifest, scanned.pairs.near()
    leakage = Leakage.of(manifest, near)
    classes = _classes(manifest, scanned.families)
    labelled = int(manifest["label"].notna().sum())
    return {
        "source": str(scanned.root),
        "version": __version__,
        "images": len(manifest),
        "labelled": labelled,
        "unlabelled": len(manifest) - labelled,
        "patients": int(manifest["patient"].nunique()),
        "findings": [],
        "classes": classes,
        "sequences": _counts(manifest["sequence"].fillna("unknown")),
        "small_classes": [one["label"] for one in classes if one["groups"] < 3],
        "unreadable": [{"path": path, "reason": reason} for path, reason in scanned.unreadable],
        "excluded": dict(Counter(reason for _, reason in scanned.excluded)),
        "notes": list(scanned.notes),
        "questions": list(scanned.questions),
        "lost_classes": list(scanned.lost),
        "sizes": _sizes(manifest),
        "bit_depths": _counts(manifest["source_bits"].astype(str)),
        "flags": dict(
            Counter(";".join(filter(None, manifest["flags"])).split(";")) - Counter([""])
        ),
        "text": text_report(manifest),
        "byte_identical": _copies(scanned.file_digests),
        "pixel_identical": _copies(manifest["pixels"].tolist()),
        "near_duplicates": _near(manifest, near),
        "groups": _groups(manifest),
        "conflicts": _conflicts(manifest, near, scanned.families),
        "random_split": _random_split(manifest, leakage),
        "grouped_split": grouped_split_leakage(manifest, near, seed=SEED),
        "given_split": _given_split(manifest, leakage),
        "worst_pairs": _worst_pairs(manifest, near, scanned.families),
        "series": series_report(scanned),
    }


def _counts(values: "pd.Series[str]") -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _classes(manifest: pd.DataFrame, told: Families | None) -> list[dict[str, Any]]:
    return [
        {
            "label": str(label),
            **_named(str(label), told),
            "images": len(rows),
            "patients": int(rows["patient"].nunique()),
            "groups": int(rows["group"].nunique()),
        }
        for label, rows in manifest.dropna(subset=["label"]).groupby("label")
    ]


def _named(label: str, told: Families | None) -> dict[str, str | None]:
    ((family, sequence),) = pairs_of([label], told)
    return {"family": family, "sequence": sequence or None}


def _sizes(manifest: pd.DataFrame) -> dict[str, Any]:
    sizes = Counter(zip(manifest["width"].tolist(), manifest["height"].tolist(), strict=True))
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    common = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:6]
    return {
        "distinct": len(sizes),
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "most_common": [{"size": list(size), "images": count} for size, count in common],
    }


def _copies(digests: Sequence[str]) -> dict[str, int]:
    sets = [count for count in Counter(digests).values() if count > 1]
    return {"sets": len(sets), "images": sum(sets), "superfluous": sum(sets) - len(sets)}


def _near(manifest: pd.DataFrame, near: Pairs) -> dict[str, Any]:
    """Count near-duplicates; images with an identical copy have one, too."""
    involved = manifest["pixels"].duplicated(keep=False).to_numpy() & ~blank_rows(manifest)
    involved[near.left] = involved[near.right] = True
    patient = manifest["patient"].to_numpy()
    known = manifest["patient"].notna().to_numpy()
    across = known[near.left] & known[near.right] & (patient[near.left] != patient[near.right])
    return {
        "similarity": NEAR,
        "pairs": len(near),
        "images": int(involved.sum()),
        "share": float(involved.mean()),
        "across_patients": int(across.sum()),
        "found": FOUND,
    }


def _groups(manifest: pd.DataFrame) -> dict[str, Any]:
    sizes = manifest["group"].value_counts()
    by_size = sizes.value_counts().sort_index()
    return {
        "count": len(sizes),
        "largest": int(sizes.max()),
        "sizes": {str(size): int(count) for size, count in by_size.items()},
    }


def _families(manifest: pd.DataFrame, told: Families | None) -> np.ndarray:
    """Labels without their sequence: a slice's T1 and T1C+ may well look alike."""
    names = sorted(manifest["label"].dropna().unique())
    families = {
        name: family for name, (family, _) in zip(names, pairs_of(names, told), strict=True)
    }
    return manifest["label"].map(families, na_action="ignore").to_numpy(object)


def _conflicts(manifest: pd.DataFrame, near: Pairs, told: Families | None) -> dict[str, int]:
    labelled = manifest[manifest["label"].notna() & ~blank_rows(manifest)]
    labels = labelled.groupby("pixels")["label"].nunique()
    digests = labels.index[labels > 1]
    return {
        "identical": len(digests),
        "images": int(labelled["pixels"].isin(digests).sum()),
        "near_duplicates": int(_differing(manifest, near, told).sum()),
    }


def _differing(manifest: pd.DataFrame, near: Pairs, told: Families | None) -> np.ndarray:
    family, known = _families(manifest, told), manifest["label"].notna().to_numpy()
    return np.asarray(
        known[near.left] & known[near.right] & (family[near.left] != family[near.right]), bool
    )


def _random_split(manifest: pd.DataFrame, leakage: Leakage) -> dict[str, Any]:
    rows = np.flatnonzero(manifest["label"].notna())
    rows = rows if len(rows) else np.arange(len(manifest))
    generator = np.random.default_rng(SEED)
    found = random_split_leakage(leakage, rows, draws=DRAWS, generator=generator)
    shares: dict[str, Any] = {kind: {"mean": m, "sd": sd} for kind, (m, sd) in found.items()}
    if "patient" in shares and manifest["patient"].isna().all():
        shares["patient"] = None
    return {"draws": DRAWS, "seed": SEED} | shares


def _given_split(manifest: pd.DataFrame, leakage: Leakage) -> dict[str, Any] | None:
    train, test = (np.flatnonzero(manifest["given"] == part) for part in ("train", "test"))
    if not len(train) or not len(test):
        return None
    seen = leakage.seen(train, test)
    across = np.intersect1d(leakage.group[train], leakage.group[test])
    shares: dict[str, Any] = {kind: float(seen[kind].mean()) for kind in KINDS}
    if manifest["patient"].isna().all():
        shares["patient"] = None
    taught, tested = (set(manifest["label"].iloc[part].dropna()) for part in (train, test))
    missing = {"train": sorted(tested - taught), "test": sorted(taught - tested)}
    counts = {"train": len(train), "test": len(test), "groups_across": len(across)}
    return counts | {"missing_classes": missing} | shares


def _worst_pairs(
    manifest: pd.DataFrame, near: Pairs, told: Families | None
) -> list[dict[str, Any]]:
    """List identical and near pairs: other labels first, then other parts, patients, the rest."""
    left, right, similarity = _all_pairs(manifest, near)
    family = _families(manifest, told)
    columns = {name: manifest[name].to_numpy() for name in ("path", "label", "given", "patient")}
    same_pixels = (manifest["pixels"].to_numpy()[left]) == (manifest["pixels"].to_numpy()[right])

    def differ(values: np.ndarray) -> np.ndarray:
        known = pd.notna(values[left]) & pd.notna(values[right])
        return np.asarray(known & (values[left] != values[right]), bool)

    reasons = [
        ("identical, different labels", same_pixels & differ(columns["label"])),
        ("nearly identical, different labels", differ(family)),
        ("across the given split", differ(columns["given"])),
        ("different patients", differ(columns["patient"])),
        ("identical", same_pixels),
        ("nearly identical", np.ones(len(left), bool)),
    ]
    rank = np.argmax(np.stack([which for _, which in reasons]), axis=0)
    order = np.lexsort((right, left, -similarity, rank))[:LISTED]
    return [
        {
            "left": columns["path"][left[at]],
            "right": columns["path"][right[at]],
            "left_label": columns["label"][left[at]],
            "right_label": columns["label"][right[at]],
            "similarity": round(float(similarity[at]), 4),
            "why": reasons[rank[at]][0],
        }
        for at in order
    ]


def _all_pairs(manifest: pd.DataFrame, near: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return near-duplicates and identical copies; a set of copies gives a chain of pairs."""
    blank = blank_rows(manifest)
    copies = [
        pair
        for rows in manifest.groupby("pixels").indices.values()
        if not blank[rows[0]]
        for pair in zip(np.sort(rows)[:-1], np.sort(rows)[1:], strict=True)
    ]
    ends = np.array(copies, np.int64).reshape(-1, 2)
    pixels = manifest["pixels"].to_numpy()
    other = near.where(pixels[near.left] != pixels[near.right])
    return (
        np.concatenate([ends[:, 0], other.left]),
        np.concatenate([ends[:, 1], other.right]),
        np.concatenate([np.ones(len(ends), np.float32), other.similarity]),
    )
