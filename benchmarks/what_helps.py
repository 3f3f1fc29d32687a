"""What makes fine-tuning better? Each part alone and in combinations, judged on validation.

A collection is divided into grouped folds. In each fold an encoder is pretrained once (for each
label fraction and seed, where its method learns from labels), given, or fresh (`--method
supervised`), and trained with labels: as the settings say (`default`), with each
part of `PARTS` alone, and with the combinations that are asked for. Figures are of the validation
sets of all folds together, in which no image stands twice, in the mean over training seeds. The
difference to the default has a 95 % interval of the paired cluster bootstrap: the same groups are
drawn for both. Intervals are not widened for the number of parts, and do not hold the scatter over
further seeds. Validation also chose the epoch of each training, the default's too, so that all
figures are somewhat too good.

The choice is made by these figures. Those of the test sets are written beside them, for whoever has
chosen, and choose nothing here.

Trainings are kept in a folder beside the JSON file, each complete or absent: called again, the
command goes on, and knows further parts, label fractions and seeds.

    python benchmarks/what_helps.py stores/mri44-48 --method simclr --set encoder.name=resnet10t \
        --combine gentle=head-start,layer-decay,average --out results/what-helps.json
"""

import argparse
import hashlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.data.store import ImageStore, is_store
from brainssl.evaluation.calibration import best_nll
from brainssl.evaluation.intervals import percentile_intervals, resample
from brainssl.evaluation.metrics import METRICS, evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, write_json
from brainssl.methods import METHODS
from brainssl.models.encoder import Encoder, build_encoder, load_encoder
from brainssl.settings import LABELLED_METHODS, Settings, load_settings
from brainssl.studies.pooling import pool
from brainssl.studies.record import environment
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import finetune_stage

DEFAULT, SUPERVISED = "default", "supervised"
PARTS = {
    DEFAULT: (),
    "head-start": ("finetune.head_start=probe",),
    "layer-decay": ("finetune.layer_decay=0.7",),
    "average": ("finetune.average_half_life=2",),
    "mixup": ("finetune.mixup=0.2",),
    "cutmix": ("finetune.cutmix=1",),
    "label-smoothing": ("finetune.label_smoothing=0.1",),
    "frozen-batchnorm": ("finetune.freeze_batchnorm=true",),
    "pretraining-views": ("finetune.views=pretraining",),
    "test-views": ("finetune.test_views=4",),
    "inverse-weights": ("finetune.class_weights=inverse",),
    "effective-weights": ("finetune.class_weights=effective",),
}
CHOSEN_BY = {"f1_macro": max, "nll": min}
FIGURES = (*CHOSEN_BY, "accuracy")


@dataclass(frozen=True)
class Task:
    """One training: a part (its name and settings), a label fraction, a fold and a seed."""

    name: str
    part: tuple[str, ...]
    fraction: LabelFraction
    fold: int
    seed: int


@dataclass(frozen=True)
class Bench:
    """What all trainings share; it goes to other processes, and identifies the folder.

    Attributes:
        source: a prepared store.
        folder: where trainings are kept.
        method: of the pretraining, or `supervised`.
        encoders: files, one a fold or one for all; empty: pretrained here, or fresh.
        vouched: the encoders were pretrained on other patients.
        preset: whose settings are the default's.
        overrides: of them, by hand.
        folds: how many.
    """

    source: Path
    folder: Path
    method: str
    encoders: tuple[Path, ...]
    vouched: bool
    preset: str
    overrides: tuple[str, ...]
    folds: int

    def settings(self, part: Sequence[str] = ()) -> Settings:
        """Return the settings of the default, or with a part."""
        return load_settings(self.preset, [*self.overrides, *part])[0]

    def step(self, task: Task) -> Path:
        """Return the folder of a training; a part that has other settings now has another."""
        digest = hashlib.sha256(" ".join(task.part).encode()).hexdigest()[:6]
        place = f"f{task.fraction:g}-k{task.fold + 1}-s{task.seed}"
        return self.folder / "steps" / f"{task.name}-{digest}-{place}"

    def asked(self) -> dict[str, Any]:
        """Return what must be the same for trainings to be used again."""
        own = {k: v for k, v in asdict(self).items() if k not in ("source", "folder", "encoders")}
        digests = [hashlib.sha256(_file(path).read_bytes()).hexdigest() for path in self.encoders]
        data = [data.facts() for data in data_of(self)]
        settings = self.settings().written()
        settings.pop("run")
        return json.loads(  # type: ignore[no-any-return]
            json.dumps(own | {"encoders": digests, "data": data, "settings": settings})
        )


@lru_cache(maxsize=1)
def data_of(bench: Bench) -> tuple[Data, ...]:
    """Return store and split of each fold."""
    store = ImageStore.open(bench.source)
    share = bench.settings().split.val_fraction
    folds = make_folds(store.manifest, folds=bench.folds, seed=0, val_fraction=share)
    return tuple(Data(store, split) for split in folds)


def encoder_of(bench: Bench, task: Task) -> Path:
    """Return the folder of a fold's encoder, pretrained with the labels of a training at most."""
    own = f"-f{task.fraction:g}-s{task.seed}" if bench.method in LABELLED_METHODS else ""
    return bench.folder / f"pretrain-k{task.fold + 1}{own}"


def pretrained(bench: Bench, task: Task) -> None:
    """Pretrain the encoder of a training, unless it is there."""
    out, data = encoder_of(bench, task), data_of(bench)[task.fold]
    if not out.is_dir():
        run: dict[str, Any] = {"method": bench.method, "settings": bench.settings()}
        if bench.method in LABELLED_METHODS:
            run |= {"label_fraction": task.fraction, "seed": task.seed}
        pretrain(data.store, data.split, out, resume=True, **run)


def start(bench: Bench, task: Task, settings: Settings) -> Encoder:
    """Return the encoder that a training begins with."""
    if bench.method == SUPERVISED:
        return build_encoder(**settings.encoder.model_dump(), seed=task.seed)
    if not bench.encoders:
        return load_encoder(encoder_of(bench, task))
    encoder = load_encoder(bench.encoders[task.fold % len(bench.encoders)])
    if not bench.vouched:
        data_of(bench)[task.fold].refuse_seen(encoder.facts)
    return encoder


def trained(bench: Bench, task: Task) -> None:
    """Train with labels, unless that is done; a training that was killed goes on."""
    out = bench.step(task)
    if out.is_dir():
        return
    settings = bench.settings(task.part).of(bench.method)
    stage = SUPERVISED if bench.method == SUPERVISED else "finetune"
    finetune_stage(
        data_of(bench)[task.fold],
        start(bench, task, settings),
        out,
        facts={"method": bench.method, "stage": stage},
        settings=settings,
        label_fraction=task.fraction,
        seed=task.seed,
    )


def each(jobs: int, work: Callable[[Any], None], tasks: Iterable[Any]) -> Iterator[None]:
    """Do work on each task, here or in so many processes, and tell of each in order that it is."""
    if jobs == 1:
        yield from map(work, tasks)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=torch.set_num_threads, initargs=(threads,)
    ) as processes:
        yield from processes.map(work, tasks)


def told(
    bench: Bench, tasks: Sequence[Task], default: Sequence[Task], draws: int
) -> dict[str, Any]:
    """Return all figures of one part at one label fraction, and what they took."""
    ours, base = (pooled(bench, own) for own in (tasks, default))
    val, base_val = ([one.of("val") for one in own] for own in (ours, base))
    found: dict[str, Any] = {"validation": figures(val)}
    found["validation"]["nll_at_best_temperature"] = float(np.mean([best_nll(v)[0] for v in val]))
    if tasks != default:
        samples = (
            np.mean([resample(one, draws=draws).overall for one in own], axis=0)
            for own in (val, base_val)
        )
        limits = percentile_intervals(next(samples) - next(samples), 0.95)
        before = figures(base_val)
        found["minus_default"] = {
            name: {
                "difference": found["validation"][name] - before[name],
                "interval": [None if math.isnan(x) else x for x in limits[METRICS.index(name)]],
            }
            for name in FIGURES
        }
    found["test"] = figures([one.of("test") for one in ours])
    rows = [read_json(bench.step(task) / "rows.json", "the rows of a training") for task in tasks]
    return found | {"seconds": sum(float(own[0]["seconds"]) for own in rows)}


def figures(models: Sequence[Predictions]) -> dict[str, float]:
    """Return the figures of a model in the mean over its seeds."""
    found = [evaluate(one.labels, one.probabilities()) for one in models]
    return {name: float(np.mean([own[name] for own in found])) for name in FIGURES}


def pooled(bench: Bench, tasks: Sequence[Task]) -> list[Predictions]:
    """Return what the models of all folds say together, for each seed."""
    by_seed: dict[int, list[Predictions]] = {}
    for task in tasks:
        file = bench.step(task) / "predictions.parquet"
        by_seed.setdefault(task.seed, []).append(Predictions.load(file))
    return [pool(own) for own in by_seed.values()]


def chosen(parts: dict[str, Any], fraction: str) -> dict[str, str]:
    """Return the part with the best validation figure at a label fraction, the first of equals."""
    held = {name: own["fractions"][fraction]["validation"] for name, own in parts.items()}
    return {
        metric: best(held, key=lambda name: held[name][metric])
        for metric, best in CHOSEN_BY.items()
    }


def _file(path: Path) -> Path:
    return path / "encoder.safetensors" if path.is_dir() else path


def parsed() -> tuple[argparse.Namespace, dict[str, tuple[str, ...]]]:
    """Return the arguments, and the settings of each part and combination, the default first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path, help="a prepared store, or class folders of images")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--method", choices=[*METHODS, SUPERVISED], help="pretrained in each fold")
    start.add_argument("--encoders", type=Path, nargs="+", help="pretrained ones, one a fold")
    parser.add_argument("--other-data", action="store_true", help="the encoders know none of these")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated")
    parser.add_argument(
        "--combine", action="append", default=[], help="name=part,part,section.key=value …"
    )
    parser.add_argument("--label-fractions", default="0.1,1.0")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the trainings")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    if not arguments.out.suffix:
        parser.error("--out is a file such as helps.json: its stem names the folder beside it")
    if arguments.encoders and len(arguments.encoders) not in (1, arguments.folds):
        parser.error(f"--encoders: give one, or one for each of the {arguments.folds} folds")
    names = [DEFAULT, *(name for name in arguments.only.split(",") if name not in (DEFAULT, ""))]
    parts = {name: PARTS.get(name, ("",)) for name in names}
    for text in arguments.combine:
        name, _, members = text.partition("=")
        if name in parts:
            parser.error(f"--combine: {name} is the name of a part: give another")
        held = [PARTS.get(own, (own if "=" in own else "",)) for own in members.split(",")]
        parts[name] = tuple(setting for own in held for setting in own)
    if unknown := [name for name, own in parts.items() if "" in own or not name]:
        parser.error(f"no part {unknown[0]}, or not all of it: choose of {', '.join(PARTS)}")
    return arguments, parts


def begun(arguments: argparse.Namespace) -> Bench:
    """Open or prepare the source, and make the folder this benchmark's."""
    folder, overrides = arguments.out.with_suffix(""), tuple(arguments.set)
    if arguments.encoders:
        first = load_encoder(arguments.encoders[0])
        overrides = (f"encoder.name={first.name}", *overrides)
    source = arguments.source
    if not is_store(source):
        source = folder / "store"
        if not is_store(source):
            found = scan(arguments.source)
            found.refuse_questions()
            size = load_settings(arguments.preset, list(overrides))[0].encoder.image_size
            prepare(found, source, size=size)
    bench = Bench(
        source=source,
        folder=folder,
        method=arguments.method or str(first.facts.get("method", "unknown")),
        encoders=tuple(arguments.encoders or ()),
        vouched=arguments.other_data,
        preset=arguments.preset,
        overrides=(*overrides, f"encoder.image_size={ImageStore.open(source).size}"),
        folds=arguments.folds,
    )
    asked, file = bench.asked(), folder / "asked.json"
    if file.is_file() and read_json(file, "what was asked for") != asked:
        raise BrainsslError(f"{folder} was begun with other settings or data: name another --out")
    write_json(file, asked)
    return bench


def main() -> None:
    """Train all that is asked for, and write the figures after each part."""
    arguments, parts = parsed()
    try:
        fractions = [label_fraction(text) for text in arguments.label_fractions.split(",")]
        run(arguments, parts, fractions)
    except (BrainsslError, ValueError) as error:
        sys.exit(f"what_helps: {error}")


def run(
    arguments: argparse.Namespace,
    parts: dict[str, tuple[str, ...]],
    fractions: Sequence[LabelFraction],
) -> None:
    """Train and write."""
    bench = begun(arguments)
    settings = bench.settings()
    for part in parts.values():
        bench.settings(part)  # refused before anything is trained
    tasks = {
        (name, fraction): [
            Task(name, part, fraction, fold, seed)
            for seed in range(arguments.seeds)
            for fold in range(bench.folds)
        ]
        for name, part in parts.items()
        for fraction in fractions
    }
    result: dict[str, Any] = {
        "what": "parts of fine-tuning on validation, beside the settings as they are",
        "command": shlex.join(["python", *sys.argv]),
        "environment": environment(settings),
        **{name: value for name, value in bench.asked().items() if name != "settings"},
        "sets": [
            {part: len(getattr(data.split, part)) for part in ("train", "val", "test")}
            for data in data_of(bench)
        ],
        "seeds": arguments.seeds,
        "draws": settings.evaluation.draws,
        "chosen_on_validation": {},
        "parts": {},
    }
    every = [task for own in tasks.values() for task in own]
    if bench.method != SUPERVISED and not bench.encoders:
        once = {encoder_of(bench, task): task for task in every}
        list(each(arguments.jobs, partial(pretrained, bench), once.values()))
    done = each(arguments.jobs, partial(trained, bench), every)
    for name, part in parts.items():
        own = {}
        for fraction in fractions:
            ours, default = tasks[name, fraction], tasks[DEFAULT, fraction]
            for _ in ours:
                next(done)
            own[f"{fraction:g}"] = told(bench, ours, default, result["draws"])
        result["parts"][name] = {"settings": list(part), "fractions": own}
        result["chosen_on_validation"] = {key: chosen(result["parts"], key) for key in own}
        write_json(arguments.out, rounded(result))
        print(json.dumps({name: rounded(own)}), flush=True)


def rounded(value: Any) -> Any:
    """Return the same with numbers of five decimals."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: rounded(own) for name, own in value.items()}
    return [rounded(own) for own in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
