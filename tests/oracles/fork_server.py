"""Processes that start in a moment: forked from one that has imported what takes seconds."""

import os
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import torch
from torch.multiprocessing.spawn import start_processes

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.settings import Settings
from brainssl.training.pretrain import pretrain


def fork_server() -> ForkServerContext:
    """Return the way to such processes; their server starts with the first of them."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["brainssl.training.pretrain"])
    return context


def start_forked(work: Callable[..., None], **options: object) -> object:
    """Start what `run_on_ranks` starts, which are spawned processes otherwise."""
    fork_server()
    return start_processes(work, **options | {"start_method": "forkserver"})


def pretrain_and_tell(
    store: Path, split: Split, out: Path, method: str, settings: Settings, told: Connection
) -> None:
    """Pretrain by a method and tell each step; wait after the last one to be killed."""

    def progress(done: int, total: int) -> None:
        told.send(done)
        if done == total:
            time.sleep(600)

    pretrain(
        ImageStore.open(store),
        split,
        out,
        method=method,
        settings=settings,
        seed=3,
        progress=progress,
    )


def command(words: list[str], errors: Path, threads: int) -> None:
    """Be `brainssl` with these words, and write into a file what it says."""
    from brainssl.cli import app

    torch.set_num_threads(threads)
    with errors.open("wb") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    app(words)
