"""The function that reviews the labels of a study."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.api.answers import Answer
from brainssl.api.options import Names, Where, listed, path_or_none, seed_of, within
from brainssl.api.serving import TOKEN, refuse_within_a_loop
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.nouns import agreed, counted

if TYPE_CHECKING:
    from brainssl.data.store import ImageStore
    from brainssl.serving.review import Deck
    from brainssl.studies.review import Review

_LOCK = ".review.lock"
_LONGEST = 200  # letters of a reviewer's name


def review(
    study: Where,
    *,
    out: Where | None = None,
    serve: bool = False,
    apply: Where | None = None,
    reviewer: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allow_host: Names | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Rank the labels of a finished study by how probably they are wrong, and take verdicts.

    Args:
        study: folder of a finished study; of one in folds all labelled images are reviewed, by
            models that never saw their group, else the test images alone.
        out: folder of `review.csv`, `review.json` and the verdicts; by default `review` within the
            study.
        serve: show the images on a page, one by one, and keep each verdict at once in
            `verdicts.jsonl`; goes on where it ended. It ends by Ctrl-C.
        apply: table to write, `path,label` of all images after the verdicts, with its changes
            beside it; must not exist.
        reviewer: who reviews, in words of their own; stands in each verdict.
        host: with `serve`, name or address to bind; one that other machines see needs a token.
        port: with `serve`, to bind; 0 for any that is free.
        token: with `serve`, that every request must carry; by default what BRAINSSL_TOKEN holds.
        allow_host: with `serve`, further names that the page is asked by.
        seed: of the draws of the intervals.
        quiet: show no log.

    Returns:
        What `review.json` holds and `table`, the path of `review.csv`; with `serve` also `url` and
        `verdicts`, how many images have one; with `apply` instead `labels`, the path of the table,
        and `changed`.

    Raises:
        BadUseError: `serve` with `apply`, a host that others see without a token, or another
            option that cannot be.
        BrainsslError: no finished study, its store is not what it was, `apply` exists or the
            verdicts are of another study.
    """
    from brainssl.data.verdicts import LOG

    seed_of(seed)
    within("--port", port, 0, 65535)
    who = reviewer or ""
    if len(who) > _LONGEST or not all(letter.isprintable() for letter in who):
        raise BadUseError(f"--reviewer: give at most {_LONGEST} printable letters")
    folder, table = Path(study), path_or_none(apply)
    where = folder / "review" if out is None else Path(out)
    if where.exists() and not where.is_dir():
        raise BrainsslError(f"{where} is a file: choose another folder")
    if table is not None:
        if serve:
            raise BadUseError("--apply writes what --serve collects: give them one after the other")
        return _applied(folder, where / LOG, table)
    if serve:
        require("serve")
        refuse_within_a_loop()

    from brainssl.studies.review import review_study
    from brainssl.studies.review_files import TABLE, facts_of, text_of, write_review

    found = review_study(folder, seed=seed)
    facts = facts_of(found, folder.resolve().name)
    write_review(found, where, facts)
    facts["table"] = str(where / TABLE)
    text = f"{text_of(found, facts)}\nTable: {where / TABLE}"
    if serve:
        facts |= _served(
            found,
            folder,
            where,
            who,
            quiet=quiet,
            host=host,
            port=port,
            token=token,
            allow_host=allow_host,
        )
        has = agreed(len(found.rows), "image has", "images have")
        text = f"{facts['verdicts']} of {len(found.rows)} {has} a verdict, in {where / LOG}"
    return Answer(facts, text)


def _applied(folder: Path, log: Path, table: Path) -> Answer:
    from brainssl.data.store import ImageStore
    from brainssl.data.verdicts import last_of, read_verdicts, write_labels

    verdicts = read_verdicts(log)
    if not verdicts:
        raise BrainsslError(f"{log} holds no verdict: give some with brainssl review --serve")
    changed = write_labels(table, ImageStore.open(folder / "store").manifest, verdicts)
    facts = {"labels": str(table), "changed": changed, "verdicts": len(last_of(verdicts))}
    by = counted(len(last_of(verdicts)), "verdict")
    return Answer(facts, f"{counted(changed, 'label')} changed, by {by}: {table}")


def _served(
    found: "Review",
    folder: Path,
    where: Path,
    reviewer: str,
    *,
    quiet: bool,
    host: str,
    port: int,
    token: str | None,
    allow_host: Names | None,
) -> dict[str, Any]:
    from brainssl.data.store import ImageStore
    from brainssl.data.verdicts import last_of, read_verdicts
    from brainssl.foundation.locks import locked
    from brainssl.serving.review import PAGE, ReviewService, review_routes_of
    from brainssl.serving.routes import page_paths
    from brainssl.serving.server import behind_door, bind, checked_token, run, url_of

    def say(line: str) -> None:
        if not quiet:
            print(f"brainssl: {line}", file=sys.stderr, flush=True)

    secret = checked_token(token or os.environ.get(TOKEN))
    with locked(where / _LOCK), bind(host, port, secret) as taken:
        deck = _deck(found, ImageStore.open(folder / "store"), where, reviewer)
        before = read_verdicts(deck.log)  # a damaged log is told now
        service = ReviewService(deck)
        guard = behind_door(
            review_routes_of(service),
            say,
            free=page_paths(PAGE),
            host=host,
            token=secret,
            allow_hosts=tuple(filter(None, listed(allow_host))),
        )
        url = url_of(taken)
        there = counted(len(last_of(before)), "verdict")
        say(f"{there} so far; {counted(len(deck.cards), 'image')} to look at")
        run(guard, service, taken, say)
        decided = last_of(read_verdicts(deck.log))
    own = sum(card["image_id"] in decided for card in deck.cards)
    return {"url": url, "verdicts": own}


def _deck(found: "Review", store: "ImageStore", where: Path, reviewer: str) -> "Deck":
    import pandas as pd

    from brainssl.data.verdicts import LOG
    from brainssl.serving.review import Deck
    from brainssl.studies.review_files import words_of

    manifest = store.manifest
    by_path = dict(zip(manifest["path"], manifest["image_id"], strict=True))
    cards: list[dict[str, Any]] = []
    for row in found.rows.to_dict("records"):
        known = not pd.isna(row["score"])
        shares = [row[f"p:{name}"] for name in found.classes] if known else None
        cards.append(
            {name: row[name] for name in ("image_id", "path", "label", "other", "other_label")}
            | {
                "score": row["score"] if known else None,
                "reason": words_of(row["why"]),
                "probabilities": shares,
                "other_id": by_path.get(row["other"]) if row["other"] else None,
            }
        )
    asked = {card[name] for card in cards for name in ("image_id", "other_id")} - {None}
    ids = manifest["image_id"].tolist()
    shown = {name: at for at, name in enumerate(ids) if name in asked}
    return Deck(cards, store.classes, store.images, shown, where / LOG, reviewer)
