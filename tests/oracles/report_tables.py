"""The tables of a report read from its HTML, and what each cell should say, from results.json.

Nothing here is shared with the report: numbers are looked up and written a second time.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import confusion_matrix

Headers = tuple[str, ...]
Cell = tuple[str, ...]  # the number, and what stands small under it
Lines = dict[Headers, dict[str, Cell]]
Raw = dict[str, Any]

DASH = ("–",)
PERCENT = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision_macro": "Macro precision",
    "recall_macro": "Macro recall",
    "f1_macro": "Macro F1",
    "precision_weighted": "Weighted precision",
    "recall_weighted": "Weighted recall",
    "f1_weighted": "Weighted F1",
}
OTHER = {
    "auroc_macro": "AUROC",
    "average_precision_macro": "Average precision",
    "mcc": "MCC",
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
}
MAIN = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro")
BY_CLASS = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
BY_CLASS_OTHER = {"auroc": "AUROC", "average_precision": "Average precision"}
MAPS = {
    "gradcam": "Grad-CAM",
    "gradcampp": "Grad-CAM++",
    "eigencam": "Eigen-CAM",
    "random": "Random map",
    "centre": "Blob in the centre",
}
LOCATED_PERCENT = {"pointing": "Pointing game", "energy_inside": "Energy inside"}
LOCATED = {"iou_best": "IoU, best", "iou_half": "IoU, half"}
PIXELS = {
    "insertion_blurred": "Insertion",
    "deletion_blurred": "Deletion",
    "insertion_mean": "Insertion, mean",
    "deletion_mean": "Deletion, mean",
    "sensitivity": "Sensitivity",
    "randomised": "Random weights",
}
METHODS = {"simclr": "SimCLR", "byol": "BYOL", "untrained": "Untrained encoder"}
STAGES = {"linear": "linear probe", "finetune": "fine-tuned"}


class Tables(HTMLParser):
    """The lines of every table of a page, by its id; a cell is named by its line and column."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lines: dict[str, Lines] = {}
        self._heads: list[str] = []
        self._headers: list[str] = []
        self._cells: list[list[str]] = []
        self._into: list[str] | None = None
        self._table = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "table":
            self._table, self._heads = str(named["id"]), []
            self.lines[self._table] = {}
        elif tag == "tr":
            self._headers, self._cells = [], []
        elif tag == "th":
            self._into = self._headers if named["scope"] == "row" else self._heads
            self._into.append("")
        elif tag == "td":
            self._into = []
            self._cells.append(self._into)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._into = None
        elif tag == "tr" and self._cells:
            columns = self._heads[len(self._headers) :]
            # Class names of a confusion matrix are cut, and may be cut alike: places tell them.
            if self._table.startswith("confusion-"):
                columns = [str(place) for place in range(len(columns))]
            cells = [tuple(piece.strip() for piece in cell) for cell in self._cells]
            line = dict(zip(columns, cells, strict=True))
            assert len(line) == len(cells), f"columns of {self._table} are named alike: {columns}"
            assert tuple(self._headers) not in self.lines[self._table], self._headers
            self.lines[self._table][tuple(self._headers)] = line

    def handle_data(self, data: str) -> None:
        if self._into is None:
            return
        if self._into is self._headers or self._into is self._heads:
            self._into[-1] += data
        else:
            self._into.append(data)


def mistakes(html: str, study: Path) -> list[str]:
    """Return each cell that says something else than `results.json`, as "table: line, column"."""
    shown, expected = Tables(html).lines, expected_tables(study)
    found = []
    for name, lines in shown.items():
        kind = name.partition("-")[0]
        if kind not in KINDS:
            continue
        wanted = expected.get(name, {})
        found += [f"{name}: {line}" for line in lines.keys() ^ wanted.keys()]
        for line in lines.keys() & wanted.keys():
            cells = (lines[line], wanted[line])
            columns = dict.fromkeys([*cells[0], *cells[1]])
            found += [
                f"{name}: {line}, {column}"
                for column in columns
                if cells[0].get(column) != cells[1].get(column)
            ]
    return found


def expected_tables(study: Path) -> dict[str, Lines]:
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    tables = dict(_result_tables(results)) | dict(_model_tables(results, study))
    if results["analysis"]:
        tables |= dict(_analysis_tables(results))
    return tables


def hundredths(value: float | None) -> str:
    return "–" if value is None else minus(f"{100 * value:.1f}")


def thousandths(value: float | None) -> str:
    return "–" if value is None else minus(f"{value:.3f}")


def minus(text: str) -> str:
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def plus(value: float) -> str:
    return ("+" if value > 0 else "") + hundredths(value)


def scored(
    value: float | None, limits: Sequence[float] | None, write: Callable[[float | None], str]
) -> Cell:
    """Return a score with its interval under it."""
    if limits is None:
        return (write(value),)
    low, high = map(write, limits)
    return write(value), f"{low} to {high}" if low[0] == "−" else f"{low}–{high}"


def label_share(fraction: float) -> str:
    return f"{100 * fraction:g}\u00a0%"


def title(model: Raw) -> str:
    if model["method"] == "supervised":
        return "Supervised baseline"
    if model["method"] == "ensemble":
        return "Ensemble"
    return f"{METHODS[model['method']]}, {STAGES[model['stage']]}"


def rows_of(results: Raw) -> list[Raw]:
    """Return rows of results with those of ensembles, without the control on random labels."""
    rows = [row for row in results["rows"] if row["method"] != "random_labels"]
    return rows + results["analysis"].get("ensembles", [])


def _over_seeds(rows: Sequence[Raw], metric: str) -> Cell:
    write = hundredths if metric in PERCENT else thousandths
    values = [row["metrics"][metric] for row in rows]
    if len(values) == 1:
        return (write(values[0]),)
    return write(statistics.fmean(values)), f"± {write(statistics.stdev(values))}"


def _result_tables(results: Raw) -> Iterator[tuple[str, Lines]]:
    protocols = results["study"]["protocols"]
    arms: dict[tuple[str, str], dict[tuple[float, str], list[Raw]]] = {}
    for row in rows_of(results):
        cell = arms.setdefault((row["protocol"], row["split"]), {})
        cell.setdefault((row["label_fraction"], title(row)), []).append(row)
    for protocol in protocols:
        yield f"main-{protocol}-test", _main(arms[protocol, "test"])
        for metric in ("accuracy", "f1_macro"):
            overview: Lines = {}
            for (fraction, name), rows in arms[protocol, "test"].items():
                cells = overview.setdefault((name,), {})
                cells[label_share(fraction)] = _over_seeds(rows, metric)
            yield f"overview-{protocol}-{metric}", overview
        for split in ("train", "val", "test"):
            for kind, metrics in (("percent", PERCENT), ("other", OTHER)):
                yield (
                    f"full-{protocol}-{split}-{kind}",
                    {
                        (label_share(fraction), name, str(row["seed"])): {
                            metrics[m]: _score(row, m) for m in metrics
                        }
                        for (fraction, name), rows in arms[protocol, split].items()
                        for row in rows
                    },
                )
        yield f"counts-{protocol}", _counts(results["study"]["splits"][protocol]["counts"])
    for metric in ("accuracy", "f1_macro"):
        yield f"protocols-{metric}", dict(_by_protocol(arms, protocols, metric))


def _main(arms: dict[tuple[float, str], list[Raw]]) -> Lines:
    heads = {m: f"{name}, %" for m, name in PERCENT.items()} | OTHER
    lines: Lines = {}
    for (fraction, name), rows in arms.items():
        key = (label_share(fraction), name)
        if len(rows) > 1:
            lines[*key, "mean\u00a0±\u00a0sd"] = {heads[m]: _over_seeds(rows, m) for m in MAIN}
        for row in rows:
            lines[*key, str(row["seed"])] = {heads[m]: _score(row, m) for m in MAIN}
    return lines


def _counts(counts: dict[str, dict[str, int]]) -> Lines:
    names = {"train": "Training", "val": "Validation", "test": "Test"}
    frame = pd.DataFrame(counts)[list(names)].rename(columns=names)
    frame.loc["All classes"] = frame.sum()
    frame["All"] = frame.sum(axis=1)
    return {
        (str(label),): {str(head): (str(n),) for head, n in row.items()}
        for label, row in frame.iterrows()
    }


def _by_protocol(
    arms: dict[tuple[str, str], dict[tuple[float, str], list[Raw]]],
    protocols: Sequence[str],
    metric: str,
) -> Iterator[tuple[Headers, dict[str, Cell]]]:
    first = protocols[0]
    for (fraction, name), rows in arms[first, "test"].items():
        found = {p: arms[p, "test"][fraction, name] for p in protocols}
        means = {p: statistics.fmean(r["metrics"][metric] for r in found[p]) for p in protocols}
        assert found[first] == rows
        gaps = {f"{p} − {first}, points": (plus(means[p] - means[first]),) for p in protocols[1:]}
        cells = {p: _over_seeds(found[p], metric) for p in protocols}
        yield (label_share(fraction), name), cells | gaps


def _score(row: Raw, metric: str) -> Cell:
    limits = None if metric == "ece" else (row["intervals"] or {}).get(metric)
    write = hundredths if metric in PERCENT else thousandths
    return scored(row["metrics"][metric], limits, write)


def _model_tables(results: Raw, study: Path) -> Iterator[tuple[str, Lines]]:
    classes = results["study"]["classes"]
    for row in rows_of(results):
        file = study / row["step"] / "predictions.parquet"
        if row["split"] != "test" or not file.is_file():
            continue
        key = (row["method"], row["stage"], row["protocol"])
        name = f"{'-'.join(key)}-f{row['label_fraction']:g}-s{row['seed']}"
        by_class: Lines = {}
        for label, scores in row["per_class"].items():
            limits = scores["intervals"]
            by_class[(label,)] = {"Images": (f"{scores['support']:.0f}",)}
            for metrics, write, unit in (
                (BY_CLASS, hundredths, ", %"),
                (BY_CLASS_OTHER, thousandths, ""),
            ):
                by_class[(label,)] |= {
                    head + unit: scored(scores[m], limits[m], write) for m, head in metrics.items()
                }
        yield f"classes-{name}", by_class
        yield f"confusion-{name}", _confusion(pd.read_parquet(file), classes)


def _confusion(frame: pd.DataFrame, classes: Sequence[str]) -> Lines:
    test = frame[frame["split"] == "test"]
    said = test[[f"logit:{name}" for name in classes]].to_numpy().argmax(axis=1)
    names = [classes[i] for i in said]
    counts = confusion_matrix(test["label"].astype(str), names, labels=list(classes))
    lines: Lines = {}
    for label, row in zip(classes, counts.tolist(), strict=True):
        cells = [(str(n), f"{100 * n / sum(row):.0f} %") if n else ("·",) for n in row]
        lines[(label,)] = {str(i): cell for i, cell in enumerate((*cells, (str(sum(row)),)))}
    return lines


def _analysis_tables(results: Raw) -> Iterator[tuple[str, Lines]]:
    analysis, protocols = results["analysis"], results["study"]["protocols"]
    rows = [r for r in rows_of(results) if r["split"] == "test"]
    yield "controls", {(c["protocol"],): _control(c, rows) for c in analysis["random_labels"]}
    yield (
        "optimism",
        {
            (label_share(gap["label_fraction"]), title(gap), gap["protocol"]): {
                "Under it": (hundredths(gap["accuracy"]),),
                f"Under “{protocols[0]}”": (hundredths(gap["honest"]),),
                "Optimism": (plus(gap["difference"]), *scored(0, gap["interval"], hundredths)[1:]),
            }
            for gap in analysis["optimism"]
        },
    )
    differences: dict[str, Lines] = {}
    for pair in analysis["comparisons"]:
        if pair["metric"] == "accuracy" and pair["protocol"] == protocols[0]:
            table = differences.setdefault(f"differences-f{pair['label_fraction']:g}", {})
            names = title(pair["first"]), title(pair["second"])
            low, high = pair["interval"]
            for sign, (one, two), ends in (
                (1, names, (low, high)),
                (-1, names[::-1], (-high, -low)),
            ):
                small = " to ".join(map(hundredths, ends))
                line = table.setdefault((one,), {one: ("·",)})
                line[two] = (plus(sign * pair["difference"]), small)
    yield from differences.items()
    yield from _explanation_tables(analysis["explanations"]["models"])
    models = {
        (title(row), str(row["seed"])): (row, analysis["models"][row["step"]])
        for row in rows
        if row["protocol"] == protocols[0] and row["step"] in analysis["models"]
    }
    yield "factors", {key: _factors(row, about) for key, (row, about) in models.items()}
    yield "planes", {key: _planes(about["planes"]) for key, (_, about) in models.items()}
    yield "calibration", {key: _calibrated(about) for key, (_, about) in models.items()}
    yield "coverage", {key: _covered(about["conformal"]) for key, (_, about) in models.items()}
    chosen = max(
        (r for r in rows_of(results) if r["split"] == "val" and r["protocol"] == protocols[0]),
        key=lambda row: row["metrics"]["f1_macro"],
    )
    yield "coverage-classes", _class_coverage(analysis["models"][chosen["step"]]["conformal"])
    of_chosen = analysis["models"][chosen["step"]]["subgroups"]
    yield "subgroups-chosen", _subgroups(of_chosen, set_against=True)
    yield (
        "subgroups-models",
        {
            (*key, *line): cells
            for key, (_, about) in models.items()
            for line, cells in _subgroups(about["subgroups"]).items()
        },
    )
    yield (
        "novelty",
        {
            key: _strange(about["novelty"])
            for key, (_, about) in models.items()
            if "novelty" in about
        },
    )


def _learnt(control: Raw) -> str:
    if control["learnt"]:
        return "yes: it leaks"
    low, high = control["interval"]
    return "cannot tell" if high >= 0.1 or high - low > 0.2 else "not shown"


def _control(control: Raw, rows: Sequence[Raw]) -> dict[str, Cell]:
    own = [r for r in rows if (r["protocol"], r["method"]) == (control["protocol"], "untrained")]
    most = max(row["label_fraction"] for row in own)
    untrained = [r["metrics"]["accuracy"] for r in own if r["label_fraction"] == most]
    under = scored(0, control["interval"], hundredths)[1:]
    return {
        "Random labels": (hundredths(control["accuracy"]),),
        "Guessing": (hundredths(control["guessing"]),),
        "Difference": (plus(control["difference"]), *under),
        "Learnt?": (_learnt(control),),
        "True labels, untrained encoder": (hundredths(statistics.fmean(untrained)),),
    }


def _factors(row: Raw, about: Raw) -> dict[str, Cell]:
    cells = {"All classes: accuracy": _score(row, "accuracy")}
    for name, head in (("family", "Tumour family"), ("sequence", "Sequence")):
        for metric in ("accuracy", "balanced_accuracy"):
            place = f"{head}: {PERCENT[metric].lower()}"
            cells[place] = _score(about["factors"][name], metric)
    return cells


def _planes(planes: Raw) -> dict[str, Cell]:
    return {
        f"{name} ({found['n']} images)": scored(found["accuracy"], found["interval"], hundredths)
        for name, found in planes.items()
    }


def _subgroups(found: Raw, *, set_against: bool = False) -> Lines:
    lines: Lines = {}
    for column in found["columns"]:
        for value in column["values"]:
            cells = {"Images": (str(value["n"]),), "Groups": (str(value["groups"]),)}
            for metric in ("accuracy", "balanced_accuracy"):
                limits = value["intervals"][metric]
                cells[f"{PERCENT[metric]}, %"] = scored(value[metric], limits, hundredths)
            gap = value["difference"]
            if set_against:
                cells |= {"Difference": DASH, "p": DASH}
            if set_against and gap:
                ends = " to ".join(map(hundredths, gap["interval"]))
                cells |= {"Difference": (plus(gap["difference"]), ends)}
                cells |= {"p": (f"{gap['p_holm']:.3f}",)}
            lines[column["column"].capitalize(), value["value"] or "unknown"] = cells
    return lines


def _calibrated(about: Raw) -> dict[str, Cell]:
    found = about["calibration"]
    cells = {"Temperature": (thousandths(found["temperature"]),)}
    scores = {"nll": "NLL", "brier": "Brier", "ece": "ECE", "classwise_ece": "Classwise ECE"}
    for name, head in scores.items():
        for when, end in (("before", ""), ("after", ", scaled")):
            limits = found[when]["intervals"].get(name)
            cells[head + end] = scored(found[when][name], limits, thousandths)
    return cells


def _covered(sets: Raw) -> dict[str, Cell]:
    cells = {}
    for found, end in ((sets, ""), (sets["by_class"], ": by class")):
        known = [c["coverage"] for c in found["per_class"].values() if c["coverage"] is not None]
        cells[f"Coverage, %{end}"] = scored(found["coverage"], found["interval"], hundredths)
        cells[f"Least of a class, %{end}"] = (hundredths(min(known)),)
        cells[f"Classes in a set{end}"] = (f"{found['mean_size']:.1f}",)
    return cells


def _class_coverage(sets: Raw) -> Lines:
    lines: Lines = {}
    for name, found in sets["per_class"].items():
        few = " (too few)" if found["calibration"] < 9 else ""
        own = sets["by_class"]["per_class"][name]
        lines[(name,)] = {
            "Test images": (str(found["n"]),),
            "Validation images": (f"{found['calibration']}{few}",),
            "One threshold": scored(found["coverage"], found["interval"], hundredths),
            "A threshold each": scored(own["coverage"], own["interval"], hundredths),
        }
    return lines


def _explanation_tables(models: Sequence[Raw]) -> Iterator[tuple[str, Lines]]:
    measures = {m: f"{head}, %" for m, head in LOCATED_PERCENT.items()} | LOCATED | PIXELS
    complete: Lines = {}
    for model in models:
        for score in model["scores"]:
            write = hundredths if score["measure"] in LOCATED_PERCENT else thousandths
            line = complete.setdefault(
                (title(model), MAPS[score["map"]]), dict.fromkeys(measures.values(), DASH)
            )
            line[measures[score["measure"]]] = scored(score["mean"], score["interval"], write)
    yield "explanations-all", complete
    short = {key: line for key, line in complete.items() if key[1] == "Grad-CAM"}
    for blind in ("Random map", "Blob in the centre"):
        line = complete[title(models[0]), blind]
        short["Whatever the model", blind] = line | dict.fromkeys(PIXELS.values(), DASH)
    yield "explanations-gradcam", short


def _strange(novelty: Raw) -> dict[str, Cell]:
    cells = {}
    for score, head in (("msp", "Probability"), ("energy", "Energy")):
        found, limits = novelty[score], novelty[score]["intervals"]
        cells[f"{head}: AUROC"] = scored(found["auroc"], limits["auroc"], thousandths)
        cells[f"{head}: FPR95, %"] = scored(found["fpr95"], limits["fpr95"], hundredths)
    return cells


KINDS = {
    *("main", "overview", "full", "protocols", "classes", "confusion", "counts"),
    *(
        "controls",
        "optimism",
        "differences",
        "factors",
        "planes",
        "subgroups",
        "calibration",
        "coverage",
        "novelty",
        "explanations",
    ),
}
