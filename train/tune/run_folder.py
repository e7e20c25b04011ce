"""The folder of a run. Whatever has its final name there is whole.

RUN/checkpoint-500/      the trainer's layout, with the optimizer and the state of the run
RUN/.checkpoint-500.part while it is written
RUN/.checkpoint-500.old  while it is removed
RUN/best/                the checkpoint of least validation loss, without the optimizer
RUN/captions/500.jsonl   what the model said of the first validation pictures
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import TextIO

from ..errors import TrainError

CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints, the oldest first."""
    found = [(int(m[1]), p) for p in run.iterdir() if (m := CHECKPOINT.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def clean(run: Path) -> None:
    """Removes what a killed run left half written or half removed."""
    for path in run.glob(".*"):
        if path.suffix in (".part", ".old"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def own(run: Path) -> TextIO:
    """Makes the folder and holds it for this process."""
    run.mkdir(parents=True, exist_ok=True)
    lock = (run / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise TrainError(f"{run}: another training runs here") from None
    clean(run)
    return lock


def _sync(path: Path) -> None:
    for file in [*path.rglob("*"), path]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def staging(target: Path) -> Path:
    """An empty folder to write in what will be `target`."""
    part = target.with_name(f".{target.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    return part


def publish(part: Path, target: Path) -> None:
    """Gives a written folder its name, after all of it is on the disk."""
    _sync(part)
    if target.exists():
        remove(target)
    part.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def remove(target: Path) -> None:
    """Takes the name away first, so that nobody sees a part of it."""
    old = target.with_name(f".{target.name}.old")
    if old.exists():
        shutil.rmtree(old)
    target.rename(old)
    shutil.rmtree(old)


def write_atomically(path: Path, text: str) -> None:
    """The file is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
