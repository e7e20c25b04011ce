"""Presses every checkpoint of transformers' Trainer.

`Trainer(..., callbacks=[PressCallback("out")])`: after each save `lorapress watch RUN OUT --once` runs beside the
training, finds what is new, and keeps the newest and the best (docs/training.md).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ._program import program as own_program


def _find_program() -> str:
    own = own_program()
    found = str(own) if own.exists() else shutil.which("lorapress")
    if found is None:
        raise FileNotFoundError(
            "no lorapress in this package or on the path; PressCallback(program=...) or LORAPRESS names it"
        )
    return found


class PressCallback(TrainerCallback):  # type: ignore[misc] # where transformers has no types
    """OUT gets `newest`, `best`, `watch.json` and a page for `lorapress serve OUT`.

    A press that fails is told on standard error; the training goes on.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        dtype: str = "q4,fp32",
        images: str | Path | None = None,
        metric: str = "eval_loss",
        program: str | None = None,
    ) -> None:
        self.command = [program or _find_program(), "watch"]
        self.options = [str(out), "--once", "--dtype", dtype, "--metric", metric]
        if images is not None:
            self.options += ["--images", str(images)]
        self.running: subprocess.Popen[str] | None = None

    def _start(self, run: str) -> None:
        self.running = subprocess.Popen(
            [*self.command, run, *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _finish(self) -> None:
        if self.running is None:
            return
        said, _ = self.running.communicate()
        if self.running.returncode != 0:
            print(f"PressCallback: {said.strip()}", file=sys.stderr, flush=True)
        self.running = None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Starts unless the one before still runs: that one, or the next, sees this checkpoint."""
        if not state.is_world_process_zero:
            return
        if self.running is not None and self.running.poll() is None:
            return
        self._finish()
        self._start(args.output_dir)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Waits, and presses what was saved meanwhile."""
        if not state.is_world_process_zero:
            return
        self._finish()
        self._start(args.output_dir)
        self._finish()
