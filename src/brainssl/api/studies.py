"""Functions of whole studies: study, report, compare."""

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.api.answers import Answer
from brainssl.api.options import (
    Names,
    Where,
    depth_asked,
    fractions,
    known,
    level_of,
    listed,
    logger_names,
    method_names,
    outside,
    path_or_none,
    paths_listed,
    reading_of,
    seed_of,
    semi_supervised_names,
    settings_listed,
    settings_of,
    within,
)
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.studies.scheduling.scheduler import Scheduler

DEFAULT_FOLDS = 5
MOST_FOLDS = 50  # more would take days; `--leave-out patient` leaves one patient out
# Parameters whose options have another name; "" for one that is no option.
_OPTIONS = {"overrides": "set", "explained": "explain", "quiet": ""}
_REPEATED = ("overrides", "unlabelled")


def study(
    source: Where,
    out: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    families: Where | None = None,
    columns: Names | None = None,
    unlabelled: Where | Sequence[Where] | None = None,
    slices: str | int | None = None,
    plane: str = "native",
    label_by: str | None = None,
    lesion_slices: bool = False,
    key: Where | None = None,
    field_of_view: float | None = None,
    bits: int = 8,
    preset: Where = "quick",
    methods: Names = "simclr,byol,dino,mocov3",
    starts: Names | None = None,
    protocols: Names = "grouped",
    folds: int | None = None,
    leave_out: str | None = None,
    label_fractions: str | float | Sequence[float | str] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    overrides: Names | None = None,
    budget: str | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    storage: str | None = None,
    dry_run: bool = False,
    explained: int | None = None,
    lesions: Where | None = None,
    logger: Names | None = None,
    classical: bool = True,
    tune: int | None = None,
    quiet: bool = False,
) -> Answer:
    """Compare methods with supervised training on your data, and write the report.

    Args:
        source: folder of images, archive of volumes, or a prepared store.
        out: folder of the study; an unfinished one goes on.
        labels: CSV `folder,label` or `path,label[,patient]`, of volumes `patient,label`,
            `study,label` or `series,label`; an empty label means unlabelled.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        families: CSV `label,family,sequence` of each class; by default `families.csv` in the
            source, or else what the classes' names end in.
        columns: further columns of the tables, such as `site`: each makes subgroups.
        unlabelled: folders of more images, for pretraining alone, as for `prepare`.
        slices: as for `audit`.
        plane: as for `audit`.
        label_by: as for `audit`.
        lesion_slices: as for `audit`.
        key: as for `audit`; by default beside `out`.
        field_of_view: of slices of volumes, in mm, as for `prepare`.
        bits: of a stored pixel, 8 or 16, as for `prepare`.
        preset: quick, strong, paper, reference, or the path of a TOML file.
        methods: names of `brainssl.methods.METHODS`, and `fixmatch`; the supervised baseline is
            always there.
        starts: weights that encoders begin with, as `encoder.weights` takes them: random, imagenet,
            hub:OWNER/NAME, a path. Each method is pretrained from each of them; each is also probed
            as it is and fine-tuned without pretraining. By default that of the settings.
        protocols: grouped, image, paper; the report leads with the first.
        folds: of cross-validation: so many splits, whose test sets are all images; their
            predictions are pooled; 1: one split. By default 5, or what fits the budget; one
            split where the source gives a test set, or seeds are asked for. A study that has
            begun goes on as it was divided.
        leave_out: column of `patients.csv` or of the label table, such as `site`: each of its
            values is tested by models that saw none of its images.
        label_fractions: shares of the training labels, 0.0001 to 1, or so many images of each
            class: 8-shot,0.1,1.0; 0.1,1.0 without a budget.
        seeds: how many trainings of everything, in each fold; by default 1, or 2 on one split.
        seed: of the split; trainings have the seeds seed, seed + 1, ...
        overrides: `section.key=value` of settings, such as `["pretrain.epochs=10"]`.
        budget: a time such as `10m` or `2h`: it chooses encoder, image size, epochs and what else
            is not given, see `brainssl.studies.budget`.
        jobs: how many processes share the steps and the processor.
        cluster: address of a Ray cluster that does the steps: `auto`, host:port, ray://host:port;
            all its machines must see `out`, and `source` if that is a store, unless there is a
            `storage`.
        storage: URL of a folder, such as `s3://bucket/studies`, by which machines of the cluster
            get what they need and give what they made.
        dry_run: do nothing but say what would be done and how long it may take.
        explained: test slices that show where each classifier looks, 0: none; 40 without a budget.
        lesions: folder of masks, COCO JSON, or folder of YOLO text.
        logger: tensorboard, mlflow, wandb, beside `history.csv`.
        classical: whether a decision tree, LDA, SVM and nearest neighbours on hand-made features
            stand beside the networks.
        tune: settings that each method and the supervised baseline try, 2 to 10, of which each
            fold and seed chooses on validation; by default those given alone.
        quiet: show no progress.

    Returns:
        What `results.json` holds, `study`, `rows` and `analysis`; `report` and `results`, the paths
        of the page and of that file; and `failed`, the steps that failed. A notebook shows the
        report. With `dry_run` instead the `steps` and the `seconds` that they may take.

    Raises:
        BadUseError: a name, a setting or a number that cannot be.
        BrainsslError: the source is of no use, `out` holds another study, or no step succeeded.
    """
    asked = dict(locals())

    from brainssl.data.split import PROTOCOLS
    from brainssl.hardware.speed import settle_threads
    from brainssl.settings.loading import chosen_on
    from brainssl.studies.budget import Asked, choose, kept
    from brainssl.studies.division import Division, begun_division
    from brainssl.studies.estimate import estimate
    from brainssl.studies.ladder import SMALLEST
    from brainssl.studies.plan import Plan, count_values, gives_test_set
    from brainssl.studies.refusals import refuse_unknown_patients
    from brainssl.studies.run import Study
    from brainssl.studies.starts import read_starts

    source, out = Path(source), Path(out)
    extra = paths_listed(unlabelled)
    for folder in (source, *extra):
        outside(out, folder)
    _check(
        numbers=(
            ("seeds", seeds, 1),
            ("jobs", jobs, 1),
            ("explain", explained, 0),
        ),
        tune=tune,
        budget=budget,
        preset=preset,
        shared=(jobs, cluster, storage),
    )
    seed_of(seed)
    depth_asked(bits)
    reading = reading_of(
        source,
        out,
        slices=slices,
        plane=plane,
        label_by=label_by,
        lesion_slices=lesion_slices,
        key=key,
        field_of_view=field_of_view,
    )
    if out.exists() and not out.is_dir():
        raise BrainsslError(f"{out} is a file: choose another folder")
    settings, reasons = settings_of(preset, overrides, source)
    compared = known("--methods", listed(methods), (*method_names(), *semi_supervised_names()))
    begun_with = read_starts(listed(starts), settings.encoder.weights) if starts is not None else ()
    split_by = known("--protocols", listed(protocols), PROTOCOLS)
    shares = None if label_fractions is None else fractions(label_fractions)
    recorders = logger_names(logger)
    if folds is not None:
        within("--folds", folds, 1, MOST_FOLDS)
    held = begun_division(out) if folds is None and leave_out is None else None
    given = not (folds or leave_out or seeds) and gives_test_set(
        source, labels=path_or_none(labels), classes_at=level_of(classes_at), reading=reading
    )
    decided = Asked(
        overrides=tuple(settings_listed(overrides)),
        label_fractions=shares,
        seeds=seeds,
        explained=explained,
        divided=bool(folds or leave_out or seeds or held) or given,
    )
    if held:
        divisions, leave_out = held.folds, held.leave_out
    else:
        divisions = _folds(folds, leave_out)
        if leave_out is not None:
            divisions = count_values(
                source,
                leave_out,
                labels=path_or_none(labels),
                classes_at=level_of(classes_at),
                reading=reading,
            )
    plan = Plan(
        source=source,
        labels=path_or_none(labels),
        methods=compared,
        protocols=split_by,  # type: ignore[arg-type]
        label_fractions=decided.label_fractions or (0.1, 1.0),
        seeds=decided.seeds or (2 if decided.divided and divisions is None else 1),
        seed=seed,
        preset=str(preset),
        settings=settings,
        reasons=reasons,
        command=_command(study, asked),
        loggers=recorders,
        explained=40 if explained is None else explained,
        lesions=path_or_none(lesions),
        classes_at=level_of(classes_at),
        folds=divisions if decided.divided or budget else DEFAULT_FOLDS,
        leave_out=leave_out,
        classical=classical,
        families=path_or_none(families),
        unlabelled=extra,
        trials=tune or 1,
        chosen_on=chosen_on(str(preset)),
        starts=begun_with,
        reading=reading,
        bits=bits,
        columns=tuple(listed(columns)) if columns else (),
    )
    refuse_unknown_patients(plan)
    terminal = Terminal(quiet=quiet)
    if held and budget is None and held != Division(None if seeds or given else DEFAULT_FOLDS):
        terminal.say(f"{out} was begun with {held} and goes on so; --folds divides it otherwise")
    settle_threads(settings if budget is None else settings.with_encoder(*SMALLEST), terminal.say)
    if budget is not None:
        choice = kept(out, budget, plan, decided) or choose(plan, budget, decided, jobs=jobs)
        terminal.say(choice.table)
        plan = choice.applied(plan, decided.overrides)
    if dry_run:
        foreseen = estimate(plan, out, jobs=jobs)
        return Answer(foreseen.facts(), foreseen.text())
    made = Study(plan, out, terminal)
    page = made.run(_scheduler(jobs, cluster, storage, plan.settings.run.devices, out))
    said = [f"{len(made.failed)} steps failed; see the report."] if made.failed else []
    said += [f"Results: {out / 'results.json'}", f"Report:  {page}"]
    answer = _published(out, page, "\n".join(said), {"failed": made.failed})
    best = (answer["study"].get("best") or {}).get("classifier")
    if best:
        answer.text += f"\nBest on validation: {out / best}"
    return answer


def report(out: Where, *, files: bool = False, seed: int = 0, quiet: bool = False) -> Answer:
    """Analyse a finished study again and rebuild its report; nothing is trained.

    Args:
        out: folder of a finished study.
        files: write tables as CSV and LaTeX and figures as SVG and PNG, too.
        seed: accepted everywhere; the draws of the analysis are fixed.
        quiet: show no progress.

    Returns:
        As `study` does, without `failed`.

    Raises:
        BrainsslError: `results.json` is missing, damaged, or not the results of a study, or
            `study.toml` is not as it should be.
    """
    from brainssl.studies.publication import publish_again

    out = Path(out)
    seed_of(seed)
    page = publish_again(out, Terminal(quiet=quiet), files=files)
    return _published(out, page, f"Report: {page}", {})


def compare(studies: Sequence[Where], *, out: Where | None = None, seed: int = 0) -> Answer:
    """Set the models of several studies side by side; the others are compared with the first.

    Args:
        studies: folders of two finished studies or more.
        out: page to write, such as `comparison.html`; what was there is replaced.
        seed: accepted everywhere; the draws of the intervals are fixed.

    Returns:
        `studies` and `models`, as `brainssl.studies.compare.compare_studies` describes them. A
        notebook shows the page, where one was asked for.

    Raises:
        BadUseError: fewer than two studies, or `out` does not end in .html.
        BrainsslError: a folder holds no study.
    """
    from brainssl.studies.compare import compare_studies, text_of

    seed_of(seed)
    page, folders = path_or_none(out), [Path(folder) for folder in studies]
    if page and (page.suffix != ".html" or page.is_dir()):
        raise BadUseError(f"--out {page} is no page: give the name of a file that ends in .html")
    compared = compare_studies(folders)
    text = text_of(compared)
    if page:
        from brainssl.foundation.storage import write_text
        from brainssl.reporting.documents.comparison import render_comparison
        from brainssl.reporting.study import read_studies

        page.parent.mkdir(parents=True, exist_ok=True)
        write_text(page, render_comparison(read_studies(folders), compared))
        text += f"\nPage: {page}"
    return Answer(compared, text, page)


def _published(out: Path, page: Path, said: str, more: Mapping[str, Any]) -> Answer:
    from brainssl.foundation.storage import read_json

    file = out / "results.json"
    held = read_json(file, "the results of a study")
    return Answer({**held, "report": str(page), "results": str(file), **more}, said, page)


def _check(
    *,
    numbers: Sequence[tuple[str, int | None, int]],
    tune: int | None,
    budget: str | None,
    preset: Where,
    shared: tuple[int, str | None, str | None],
) -> None:
    """Refuse numbers that cannot be, what needs a package without it, what excludes each other."""
    from brainssl.foundation.extras import require
    from brainssl.studies.budget import seconds_of
    from brainssl.studies.trials import STARTUP

    for option, value, least in numbers:
        if value is not None:
            within(f"--{option}", value, least)
    if tune is not None:
        within("--tune", tune, 2, STARTUP)
        require("tune")
    jobs, cluster, storage = shared
    if storage is not None and cluster is None:
        raise BadUseError("--storage is between the machines of a cluster: give --cluster, too")
    if cluster is not None:
        if jobs > 1:
            raise BadUseError("--jobs and --cluster both share the steps: leave out one of them")
        require("cluster")
    if budget is not None:
        seconds_of(budget)
        if str(preset) != "quick":
            raise BadUseError(
                f"--budget chooses what --preset {preset} sets: leave out one of them"
            )


def _scheduler(
    jobs: int, cluster: str | None, storage: str | None, devices: int, out: Path
) -> "Scheduler":
    """Return who does the steps."""
    if cluster is not None:
        from brainssl.studies.scheduling.cluster import Cluster

        return Cluster(cluster, out, storage)
    if jobs > 1:
        from brainssl.studies.scheduling.processes import Processes

        return Processes(jobs, devices=devices)
    from brainssl.studies.scheduling.here import Here

    return Here()


def _folds(folds: int | None, leave_out: str | None) -> int | None:
    """Return how many folds there are; None for one split."""
    if leave_out is not None and folds is not None:
        raise BadUseError("--folds and --leave-out both divide the images: leave out one of them")
    return None if folds == 1 else folds


def _command(function: Callable[..., Answer], asked: Mapping[str, Any]) -> str:
    """Return the command as it was typed, or the one that would do what was asked of a function."""
    if Path(sys.argv[0]).name == "brainssl":
        return shlex.join(["brainssl", *sys.argv[1:]])
    words = ["brainssl", function.__name__]
    for name, parameter in inspect.signature(function).parameters.items():
        option, value = _OPTIONS.get(name, name.replace("_", "-")), asked[name]
        if parameter.default is parameter.empty:
            words.append(str(value))
        elif name in _REPEATED:
            every = [value] if isinstance(value, str | Path) else value or ()
            words += [word for one in every for word in (f"--{option}", str(one))]
        elif option and value != parameter.default:
            words.append(f"--no-{option}" if value is False else f"--{option}")
            if not isinstance(value, bool):
                listing = isinstance(value, Sequence) and not isinstance(value, str)
                words.append(",".join(map(str, value)) if listing else str(value))
    return shlex.join(words)
