"""A finished study as the report reads it: rows, arms, and the files beside them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.data.extra import is_extra
from brainssl.data.families import Families
from brainssl.data.shots import LabelFraction
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json
from brainssl.reporting.rows import Arm, ArmKey, Row
from brainssl.reporting.titles import BASELINE, CLASSICAL, ENSEMBLE, RANDOM_LABELS
from brainssl.settings.starts import RANDOM, NamedStart, are_told

if TYPE_CHECKING:
    import pandas as pd

_STAGES = ("linear", "finetune", "supervised")


@dataclass(frozen=True)
class Study:
    """`results.json` and its folder.

    Attributes:
        folder: of the study.
        facts: what `results.json` has under `study`.
        rows: of results, ensembles among them, pooled where there are folds; without those of
            random labels, which are not about the classes.
        of_folds: rows of the single folds.
        audit: of the source; empty where there was none.
        analysis: what `brainssl.studies.analysis.analyse` found; empty in older studies.
    """

    folder: Path
    facts: Mapping[str, Any]
    rows: tuple[Row, ...]
    audit: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    of_folds: tuple[Row, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Class names in the study's order."""
        return [str(name) for name in self.facts.get("classes") or ()]

    @property
    def families(self) -> Families | None:
        """Family and sequence of each class, where a table said them."""
        found = self.facts.get("families")
        return found if isinstance(found, Mapping) else None

    @property
    def protocols(self) -> list[str]:
        """Protocols of the study, the default one first."""
        named = [str(name) for name in self.facts.get("protocols") or ()]
        return named + sorted({row.protocol for row in self.rows} - set(named))

    @property
    def starts(self) -> list[str]:
        """Short names of the weights that encoders began with, in the study's order."""
        return starts_of(self.facts)

    @property
    def tells_starts(self) -> bool:
        """Whether rows tell the start of their encoder: those of one start alone need not."""
        return any(row.start for row in self.trained)

    @property
    def trained(self) -> tuple[Row, ...]:
        """Rows of single trainings: with folds, those of each."""
        return self.of_folds or self.rows

    @property
    def folds(self) -> int:
        """How many folds there are; 0 where there is one split."""
        return int((self.facts.get("folds") or {}).get("number") or 0)

    @property
    def patients(self) -> int:
        """How many patients are known: by the manifest, or where that is gone, by the audit."""
        if (known := self._patient_of_each) is not None:
            return int(known.nunique())
        return int(self.audit.get("patients") or 0)

    @property
    def patients_known(self) -> float:
        """Of which share of the images the patient is known; where the store is gone, 0 or 1."""
        if (known := self._patient_of_each) is not None:
            return float(known.notna().mean())
        return float(self.patients > 0)

    @property
    def _patient_of_each(self) -> "pd.Series[str] | None":
        """The patient of each image of the collection: extra ones are neither split nor tested."""
        try:
            manifest = read_frame(self.folder / "store" / "manifest.parquet")
            known: pd.Series[str] = manifest.loc[~is_extra(manifest), "patient"]
            return known
        except (OSError, ValueError, KeyError):
            return None

    def validated(self, protocol: str, metric: str) -> dict[ArmKey, float]:
        """Return a metric on validation, in the mean over folds and seeds.

        Returns:
            By the `key` of an arm; those without a score are left out.
        """
        scores: dict[ArmKey, list[float]] = {}
        for row in self.trained:
            score = row.metrics.get(metric)
            if (row.protocol, row.split) == (protocol, "val") and score is not None:
                scores.setdefault(row.key, []).append(score)
        return {key: statistics.fmean(own) for key, own in scores.items()}

    def measured_as(self, step: str) -> str:
        """Return the step whose rows tell how good a model is: of a fold, that of all folds."""
        own = next((row for row in self.of_folds if row.step == step), None)
        if own is None:
            return step
        cell = (own.key, own.protocol, own.seed)
        found = (row.step for row in self.rows if (row.key, row.protocol, row.seed) == cell)
        return next(found, step)

    def split(self, protocol: str) -> Mapping[str, Any]:
        """Return what is known of a protocol's split; empty if nothing."""
        found = (self.facts.get("splits") or {}).get(protocol) or {}
        return found if isinstance(found, Mapping) else {}

    def arms(self, protocol: str, split: str = "test") -> list[Arm]:
        """Return the arms, by label fraction, then controls, classical ones, methods, baseline."""
        methods = ["untrained", *CLASSICAL, *map(str, self.facts.get("methods") or ())]
        starts = self.starts
        grouped: dict[ArmKey, list[Row]] = {}
        for row in self.rows:
            if (row.protocol, row.split) == (protocol, split):
                grouped.setdefault(row.key, []).append(row)

        def order(key: ArmKey) -> tuple[LabelFraction, bool, int, str, int, int, str]:
            method, start, stage, fraction = key
            place = methods.index(method) if method in methods else len(methods)
            step = _STAGES.index(stage) if stage in _STAGES else len(_STAGES)
            begun = starts.index(start) if start in starts else len(starts)
            return fraction, method == BASELINE, place, method, begun, step, stage

        return [
            Arm(
                method=key[0],
                stage=key[2],
                protocol=protocol,
                label_fraction=key[3],
                split=split,
                rows=tuple(sorted(grouped[key], key=lambda row: row.seed)),
                start=key[1],
            )
            for key in sorted(grouped, key=order)
        ]

    def predictions(self, row: Row) -> Predictions | None:
        """Return the stored predictions of a row's split, or None where there are none."""
        path = self.folder / row.step / "predictions.parquet"
        if not row.step or not path.is_file():
            return None
        try:
            predictions = Predictions.load(path).of(row.split)
        except (BrainsslError, OSError, ValueError, KeyError):
            return None
        return predictions if len(predictions.frame) else None

    def test_groups(self, protocol: str) -> dict[str, int]:
        """Return how many groups the test images of each class come from; empty if not known."""
        rows = (row for row in self.rows if (row.protocol, row.split) == (protocol, "test"))
        found = next((p for row in rows if (p := self.predictions(row)) is not None), None)
        if found is None:
            return {}
        numbers = found.frame.groupby("label")["group"].nunique()
        return {name: int(numbers[name]) for name in found.classes if name in numbers}


def read_studies(folders: Sequence[Path]) -> list[Study]:
    """Read several studies; where one has several starts, rows of the others tell theirs, too.

    Raises:
        BrainsslError: as for `read_study`.
    """
    studies = [read_study(folder) for folder in folders]
    if not any(study.tells_starts for study in studies):
        return studies
    return [read_study(folder, tell_start=True) for folder in folders]


def read_study(folder: Path, *, tell_start: bool = False) -> Study:
    """Read `folder/results.json`.

    Args:
        folder: of the study.
        tell_start: whether rows tell their start where there is one alone.

    Raises:
        BrainsslError: it is missing, damaged, or not the results of a study.
    """
    path = folder / "results.json"
    raw = read_json(path, "the results of a study (see brainssl study)")
    try:
        combined = (raw.get("analysis") or {}).get("ensembles") or []
        facts = dict(raw["study"])
        starts = starts_of(facts)
        alone = starts[0] if tell_start else ""
        named = {row.get("start") for row in raw["rows"]} - {None, ""}  # none in earlier studies
        told = bool(named) and are_told([*starts, *named])
        rows = tuple(
            Row.parse(row if told else {**row, "start": _start(row, alone)})
            for row in [*raw["rows"], *combined]
            if row["method"] != RANDOM_LABELS
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrainsslError(
            f"{path} is not the results of a study ({type(error).__name__}: {error}): "
            "run brainssl study again"
        ) from None
    audit, analysis = facts.get("audit"), raw.get("analysis")
    return Study(
        folder,
        facts,
        tuple(row for row in rows if row.fold is None),
        audit if isinstance(audit, Mapping) else {},
        analysis if isinstance(analysis, Mapping) else {},
        tuple(row for row in rows if row.fold is not None),
    )


def _start(row: Mapping[str, Any], alone: str) -> str:
    """Return the only start of a study for a row whose model has an encoder of its own."""
    return "" if row["method"] in CLASSICAL or row["stage"] == ENSEMBLE else alone


def starts_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the short names of a study's starts, given what `results.json` has under `study`.

    Of earlier studies it is the one of their settings.
    """
    if named := [str(one["name"]) for one in facts.get("starts") or ()]:
        return named
    encoder = (facts.get("settings") or {}).get("encoder") or {}
    return [NamedStart(str(encoder.get("weights") or RANDOM)).name]
