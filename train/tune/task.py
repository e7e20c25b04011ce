"""What the trainer asks of a kind of model: rows, a loss, captions, a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..data.collect import Picture


class Rows(Dataset):
    """One row for each caption of each picture."""

    def __init__(
        self,
        pictures: list[Picture],
        answers: Callable[[list[str]], list[list[int]]],
        row: Callable[[Picture, list[int]], Any],
    ) -> None:
        told = [(picture, caption) for picture in pictures for caption in picture.captions]
        ids = answers([caption for _, caption in told])
        self.row = row
        self.rows = [(picture, found) for (picture, _), found in zip(told, ids, strict=True)]

    def __len__(self) -> int:
        """Captions, not pictures."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        """What `row` makes of a picture and the ids of one of its captions."""
        return self.row(*self.rows[index])


class Kept:
    """Pictures as the model takes them, kept while there is room."""

    BYTES = 2 << 30

    def __init__(self, made: Callable[[Picture], tuple[Any, int]]) -> None:
        self.made = made
        self.kept: dict[str, Any] = {}
        self.bytes = 0

    def of(self, picture: Picture) -> Any:
        """`made` of a picture, which also says how many bytes it has."""
        found = self.kept.get(picture.name)
        if found is None:
            found, size = self.made(picture)
            if self.bytes + size <= self.BYTES:
                self.kept[picture.name] = found
                self.bytes += size
        return found


class Task(Protocol):
    """One model in training."""

    model: nn.Module
    cut: int  # captions of the rows so far that were longer than MAX_LENGTH

    def rows(self, pictures: list[Picture]) -> Dataset:
        """Rows for `collate`."""

    def collate(self, rows: list[Any]) -> dict[str, Tensor]:
        """The arguments of the model's forward."""

    def captions(self, pictures: list[Picture], device: torch.device) -> list[str]:
        """Greedy captions of one batch."""

    def rate(self, name: str) -> float:
        """The learning rate of a parameter of the model."""

    def save(self, folder: Path) -> None:
        """Writes the checkpoint into an existing folder."""

    def load(self, folder: Path) -> None:
        """Puts a checkpoint's values into the model."""
