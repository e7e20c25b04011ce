"""One training: read, split, build, go on where it stood, keep the best."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from transformers import set_seed

from ..data.collect import DRAWN, SHAPES_COUNT, digest, read_pictures
from ..data.split import Split, split
from ..errors import TrainError
from . import prefix, smolvlm
from .metrics import score
from .qat import check_kind
from .run_folder import checkpoints, own, publish, staging, write_atomically
from .settings import Settings, remember
from .task import Task
from .trainer import SHOWN, STATE, CaptionTrainer

BEST = "best"
REPORT = "report.json"
SMALL = 30_000_000  # parameters


def tell(text: str) -> None:
    """Progress is on standard error; standard output has the result."""
    print(text, file=sys.stderr, flush=True)


def read_split(settings: Settings) -> tuple[Split, str]:
    """The pictures in three shares, and their digest."""
    drawn = settings.sample or SHAPES_COUNT
    pictures = read_pictures(settings.dataset, settings.format, drawn)
    sample = None if settings.dataset in DRAWN else settings.sample
    return split(pictures, settings.seed, sample), digest(pictures)


def build(settings: Settings, shares: Split) -> Task:
    """A model and what belongs to it; what is new is random by the seed."""
    check_kind(settings.qat, settings.start)
    if settings.shares > 1 and (settings.lora_dropout > 0 or torch.cuda.is_available()):
        raise TrainError(
            "--shares is for CPUs, and needs --lora-dropout 0: threads would share random numbers"
        )
    set_seed(settings.seed)
    attention = "sdpa" if torch.cuda.is_available() else "eager"  # eager is faster on CPUs
    if settings.model is not None:
        return smolvlm.build(settings, attention)
    return prefix.build(settings, shares, attention)


def _stopped_early(run: Path, settings: Settings) -> bool:
    """Whether the last checkpoint is one behind which early stopping had ended the training."""
    state = json.loads((checkpoints(run)[-1] / STATE).read_text(encoding="utf-8"))
    stopping = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    counted = stopping.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return counted >= settings.patience or state["global_step"] >= state["max_steps"]


def _best(run: Path) -> Path:
    state = json.loads((checkpoints(run)[-1] / STATE).read_text(encoding="utf-8"))
    return run / f"checkpoint-{state['best_global_step']}"


def _report(trainer: CaptionTrainer, shares: Split, best: Path) -> dict[str, object]:
    """What the best model does on pictures that no choice was made on."""
    checked = shares.test[: 5 * SHOWN]
    said = trainer.caption(checked)
    exact = sum(said[p.name] in p.captions for p in checked) / len(checked)
    measured = score(said, {p.name: list(p.captions) for p in checked})
    return {"step": int(best.name.split("-")[1]), "test_pictures": len(checked), "exact": exact} | {
        key: round(value, 6) for key, value in measured.items()
    }


def train(settings: Settings, run: Path) -> dict[str, object]:
    """Trains in `run` until the end; returns the report of the best checkpoint."""
    settings = prefix.follow_start(settings)
    lock = own(run)
    try:
        shares, pictures = read_split(settings)
        remember(settings, pictures, run)
        if (run / BEST).is_dir() and (run / REPORT).is_file():
            tell(f"{run} is trained already; remove it to train again")
            return json.loads((run / REPORT).read_text(encoding="utf-8"))
        task = build(settings, shares)
        rows = task.rows(shares.train)
        learning = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
        whole = sum(p.numel() for p in task.model.parameters())
        choose_threads(whole)
        tell(
            f"{len(shares.train)} pictures to train on ({len(rows)} captions), "
            f"{len(shares.validation)} to validate, {len(shares.test)} to test; "
            f"{learning:,} of {whole:,} parameters learn"
        )
        if task.cut:
            tell(f"note: {task.cut} captions are cut to MAX_LENGTH {settings.max_length} tokens")
        trainer = CaptionTrainer(task, settings, run, rows, shares.validation)
        saved = checkpoints(run)
        if saved:
            tell(f"goes on from {saved[-1].name}")
        if not saved or not _stopped_early(run, settings):
            trainer.train(resume_from_checkpoint=str(saved[-1]) if saved else None)
        best = _best(run)
        task.load(best)
        report = _report(trainer, shares, best)
        target = run / BEST
        part = staging(target)
        task.save(part)
        publish(part, target)
        write_atomically(run / REPORT, json.dumps(report, indent=2) + "\n")
        return report
    finally:
        lock.close()


def make_deterministic() -> None:
    """The same numbers in every run on the same machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def choose_threads(parameters: int) -> None:
    """One thread for small models: their operators gain little from a second one, and lose much
    where another program wants its core.
    """
    if parameters < SMALL and not torch.cuda.is_available():
        torch.set_num_threads(1)
