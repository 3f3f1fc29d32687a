"""What a study hands over: results, classifier, report, model card, figures, tables."""

from pathlib import Path
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import read_json, write_json
from brainssl.reporting import render_report
from brainssl.reporting.assembly import sections, untimed_sections
from brainssl.reporting.documents.croissant import write_croissant
from brainssl.reporting.documents.exports import export
from brainssl.reporting.documents.model_card import write_model_card
from brainssl.reporting.findings.about import read_about, write_template
from brainssl.reporting.study import read_study, starts_of
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.analysis import analyse
from brainssl.studies.handover import hand_over
from brainssl.studies.journal import noting
from brainssl.studies.record import where_time_went

RESULTS = "results.json"


def publish(
    out: Path, study: dict[str, Any], rows: list[dict[str, Any]], terminal: Terminal
) -> Path:
    """Analyse the predictions of a study, write everything, and return the path of the report.

    A `study.toml` to fill in is written where there is none; one that is there is left as it is.

    Args:
        out: folder of the study.
        study: its record, see `brainssl.studies.record.describe`.
        rows: of results, each with its `step`.
        terminal: tells how far it is.

    Raises:
        BrainsslError: `study.toml` is not as it should be; the results are written all the same.
    """
    draws = study["settings"]["evaluation"]["draws"]
    with terminal.task("analysis") as progress, noting(out, "analysis"):
        analysis = analyse(
            out,
            rows,
            EvaluationSettings(draws=draws),
            progress,
            study.get("families"),
            starts_of(study),
        )
    results = {"study": study, "rows": rows, "analysis": analysis}
    write_json(out / RESULTS, results)
    write_template(out)
    with terminal.task("report"):
        with noting(out, "report"):
            hand_over(out, study, rows)
            write_model_card(read_study(out))
            write_croissant(read_study(out))
            built = untimed_sections(read_study(out))
        study["time"] = where_time_went(out)
        write_json(out / RESULTS, results)
        return render_report(out, built)


def publish_again(out: Path, terminal: Terminal, *, files: bool = False) -> Path:
    """Do the same for a study that is finished, from its stored results and predictions alone.

    Nothing is trained, and no network is run.

    Args:
        out: folder of the study.
        terminal: tells how far it is.
        files: write tables and figures as files as well, see
            `brainssl.reporting.documents.exports`.

    Raises:
        BrainsslError: `results.json` is missing, damaged, or not the results of a study, or
            `study.toml` is not as it should be.
    """
    read_about(out)  # a slip in it is told before the analysis, which takes its time
    file = out / RESULTS
    held = read_json(file, "the results of a study (see brainssl study)")
    try:
        study, rows = held["study"], held["rows"]
        study["settings"]["evaluation"]["draws"]
    except (KeyError, TypeError):
        raise BrainsslError(
            f"{file} is not the results of a study: run brainssl study again"
        ) from None
    report = publish(out, study, rows, terminal)
    if files:
        with terminal.task("tables and figures"):
            export(out, sections(read_study(out)))
    return report
