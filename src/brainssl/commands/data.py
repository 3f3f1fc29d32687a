"""Commands that make and judge data: phantom, audit, prepare."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl.commands.shared import (
    AsJson,
    Labels,
    NoSeed,
    Out,
    Seed,
    refuse_store,
    teaching,
    tell,
)
from brainssl.errors import BrainsslError
from brainssl.progress import Terminal


@teaching
def phantom(
    out: Out,
    patients: Annotated[int, typer.Option(min=1, help="Simulated patients.")] = 130,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side in pixels.")] = 224,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate brain MRI of patients with and without tumours, with masks of the lesions.

    Example: brainssl phantom data/phantom --patients 40 --size 96
    """
    from brainssl.phantom import simulate

    terminal = Terminal()
    with terminal.task("phantom") as progress:
        try:
            simulate(out, patients=patients, size=size, seed=seed, progress=progress)
        except ValueError as error:
            raise BrainsslError(str(error)) from None
    tell({"phantom": str(out)}, f"Simulated patients are in {out}", as_json)


@teaching
def audit(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    labels: Labels = None,
    out: Annotated[Path, typer.Option(help="Folder of audit.json and audit.html.")] = Path("audit"),
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Say what is in a collection, what is wrong with it, and what a random split would leak.

    Example: brainssl audit data/mri --labels labels.csv --out audit
    """
    from brainssl.data.audit import audit as run

    refuse_store(source)
    with Terminal().task("audit") as progress:
        result = run(source, labels=labels, out=out, progress=progress)
    lines = [
        *(f"- {finding['text']}" for finding in result["findings"]),
        f"See {out / 'audit.html'}",
    ]
    tell(result, "\n".join(lines), as_json)


@teaching
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    store: Out,
    labels: Labels = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side in pixels.")] = 224,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Decode every image once into a store that all other commands read.

    Example: brainssl prepare data/mri stores/mri --size 96
    """
    from brainssl.data.scan import scan
    from brainssl.data.store import prepare as run
    from brainssl.storage import refuse_existing

    refuse_store(source)
    refuse_existing(store)
    terminal = Terminal()
    with terminal.task("scan") as progress:
        found = scan(source, labels=labels, progress=progress)
    for path, reason in found.unreadable:
        terminal.say(f"left out {path}: {reason}")
    with terminal.task("prepare") as progress:
        made = run(found, store, size=size, progress=progress)
    facts = {
        "store": str(store),
        "images": len(made.images),
        "classes": len(made.classes),
        "groups": int(made.manifest["group"].nunique()),
        "unreadable": len(found.unreadable),
        "checksum": made.checksum,
    }
    said = "{images} images, {classes} classes, {groups} groups in {store}".format(**facts)
    tell(facts, said, as_json)
