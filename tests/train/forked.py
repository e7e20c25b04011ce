"""Trainings in children of this process, which have torch already: it is imported once."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from harness import PROGRAM
from train.tune import run as work
from train.tune.__main__ import main
from train.tune.settings import Settings

FORK = multiprocessing.get_context("fork")
torch.set_num_threads(1)  # as trainings of small models have it; threads do not survive a fork
# PyTorch replaces its thread pool in the child at the first use, without a lock: threads that load
# a checkpoint would meet there ("Invalid thread pool!"). Here it is used before there are threads.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
os.environ["LORAPRESS"] = PROGRAM


def _attempt(settings: Settings, run: Path) -> None:
    """A child's whole work; what it says lies beside its folder."""
    os.dup2(os.open(_said(run), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    work.make_deterministic()
    work.train(settings, run)


def _said(run: Path) -> Path:
    return run.with_name(f"{run.name}.stderr")


def start(settings: Settings, run: Path):
    """A training in a process of its own."""
    child = FORK.Process(target=_attempt, args=(settings, run))
    child.start()
    return child


def succeeded(child, run: Path) -> None:
    """Waits for a training, which must work."""
    child.join()
    if child.exitcode != 0:
        raise AssertionError(f"exit code {child.exitcode}: {_said(run).read_text()[-4000:]}")


def _main(called, options: list[str], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
    code = called(options)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def call(called, options) -> subprocess.CompletedProcess:
    """A module's main in a child."""
    given = [str(option) for option in options]
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        child = FORK.Process(target=_main, args=(called, given, str(out), str(err)))
        child.start()
        child.join()
        texts = [path.read_text() if path.exists() else "" for path in (out, err)]
    return subprocess.CompletedProcess(given, child.exitcode, *texts)


def train(*options) -> subprocess.CompletedProcess:
    """`python -m train.tune`, which is what `make train` calls."""
    return call(main, options)


def repr_of(value) -> object:
    """A state as comparable values: every bit of every tensor."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: repr_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [repr_of(inner) for inner in value]
    return value.tobytes() if hasattr(value, "tobytes") else value


def differing(first: Path, second: Path) -> list[str]:
    """Files of two folders that differ; times and speeds in trainer_state.json do not count."""
    names = {p.name for p in first.iterdir()} ^ {p.name for p in second.iterdir()}
    for path in first.iterdir():
        other = second / path.name
        if path.name in names or path.name == work.STATE:
            continue
        if path.suffix in (".pt", ".pth"):
            a, b = (torch.load(p, weights_only=False) for p in (path, other))
            equal = repr_of(a) == repr_of(b)
        else:
            equal = path.read_bytes() == other.read_bytes()
        if not equal:
            names.add(path.name)
    return sorted(names)
