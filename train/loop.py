"""The training loop both stages share: batches, schedule, progress and restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .model import IGNORED
from .settings import Stage

PartLoss = Callable[[int, int], Tensor]
Gradients = tuple[Tensor, tuple[Tensor | None, ...]]

REPORT_EVERY = 50
SAVE_EVERY = 250


@dataclass
class Data:
    """Pictures as bytes and captions as padded token ids, on the host."""

    images: np.ndarray
    labels: Tensor

    def pixels(self, index: np.ndarray, device: torch.device) -> Tensor:
        """SigLIP's preprocessing of rows that already have the right size."""
        return to_pixels(self.images[index]).to(device)


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] to float [n, 3, h, w] in -1..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def pad(rows: list[list[int]]) -> Tensor:
    """Token ids to one matrix, filled up with `IGNORED`."""
    width = max(map(len, rows))
    return torch.tensor([row + [IGNORED] * (width - len(row)) for row in rows])


def trim(labels: Tensor) -> Tensor:
    """Cuts columns that are padding in every row."""
    used = (labels != IGNORED).any(dim=0).nonzero().max().item()
    return labels[:, : int(used) + 1]


def pick_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _rate(step: int, stage: Stage) -> float:
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    return min(1.0, (stage.steps - step) / (stage.falling * stage.steps))


@dataclass
class Spent:
    """What a stage took."""

    steps: int
    wall_seconds: float
    cpu_seconds: float


class Run:
    """One stage: optimizer, schedule, progress lines and a file to go on from."""

    def __init__(self, name: str, model: nn.Module, stage: Stage, folder: Path) -> None:
        self.name, self.model, self.stage = name, model, stage
        self.path = folder / f"{name}.pt"
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=stage.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=stage.weight_decay,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _rate(step, stage)
        )
        self.step = 0
        self.wall = self.cpu = 0.0
        self._restore()

    def _restore(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.wall, self.cpu = state["step"], state["wall"], state["cpu"]
        print(f"[{self.name}] goes on from step {self.step}", flush=True)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "wall": self.wall,
            "cpu": self.cpu,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.path)

    def _gradients(self, loss_of: PartLoss, part: int, device: torch.device) -> Gradients:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = loss_of(self.step, part)
        return loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True)

    def _advance(self, results: list[Gradients]) -> float:
        for index, parameter in enumerate(self.parameters):
            found = [grads[index] for _, grads in results]
            if found[0] is not None:
                parameter.grad = torch.stack(found).mean(0) if len(found) > 1 else found[0]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return sum(loss.item() for loss, _ in results) / len(results)

    def go(self, loss_of: PartLoss, parts: int, device: torch.device) -> Spent:
        """Runs what is left of the stage; `loss_of(step, part)` is the loss of a share of a batch.

        On a CPU the shares run side by side, each on one thread: such small matrices gain little
        from threads inside one operator and lose much when another program wants a core.
        """
        self.model.train()
        threads = 1 if device.type == "cpu" else torch.get_num_threads()
        torch.set_num_threads(threads)
        shown, shown_at = [], time.monotonic()
        with ThreadPoolExecutor(
            parts, initializer=torch.set_num_threads, initargs=(threads,)
        ) as pool:
            while self.step < self.stage.steps:
                wall, cpu = time.monotonic(), time.process_time()
                work = [pool.submit(self._gradients, loss_of, p, device) for p in range(parts)]
                shown.append(self._advance([done.result() for done in work]))
                self.wall += time.monotonic() - wall
                self.cpu += time.process_time() - cpu
                last = self.step == self.stage.steps
                if self.step % REPORT_EVERY == 0 or last:
                    self._report(shown, time.monotonic() - shown_at)
                    shown, shown_at = [], time.monotonic()
                if self.step % SAVE_EVERY == 0 or last:
                    self._save()
        torch.set_num_threads(parts)
        return Spent(self.step, round(self.wall, 1), round(self.cpu, 1))

    def _report(self, losses: list[float], seconds: float) -> None:
        print(
            f"[{self.name}] step {self.step}/{self.stage.steps} "
            f"loss {sum(losses) / len(losses):.4f} {len(losses) / seconds:.2f} steps/s, "
            f"{self.wall:.0f} s wall, {self.cpu:.0f} s cpu",
            flush=True,
        )


def shuffled(seed: int, rows: int, batch: int, parts: int) -> Callable[[int, int], np.ndarray]:
    """Row numbers of a share of a step's batch.

    Every epoch is its own permutation, found again after a restart.
    """
    per_epoch = rows // batch
    share = batch // parts

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(rows)

    def at(step: int, part: int) -> np.ndarray:
        epoch, place = divmod(step, per_epoch)
        start = place * batch + part * share
        return order(epoch)[start : start + share]

    return at
