"""Pictures and captions as batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.collect import Picture
from .model import IGNORED
from .pictures import Preprocessing

KEPT_BYTES = 2 << 30  # of pictures that were read and resized already


class Squares:
    """Resized pictures, kept while there is room."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.kept: dict[str, np.ndarray] = {}
        self.bytes = 0

    def of(self, picture: Picture) -> np.ndarray:
        """Bytes [side, side, 3]."""
        found = self.kept.get(picture.name)
        if found is None:
            found = self.preprocessing.square(picture.image())
            if self.bytes + found.nbytes <= KEPT_BYTES:
                self.kept[picture.name] = found
                self.bytes += found.nbytes
        return found


class Captions(Dataset):
    """One row for each caption of each picture."""

    def __init__(
        self, pictures: list[Picture], squares: Squares, tokenizer: Any, most: int
    ) -> None:
        self.squares = squares
        told = [(picture, caption) for picture in pictures for caption in picture.captions]
        ids = tokenizer([caption for _, caption in told], add_special_tokens=False)["input_ids"]
        end = tokenizer.eos_token_id
        self.cut = sum(len(row) >= most for row in ids)
        self.rows = [
            (picture, [*row[: most - 1], end]) for (picture, _), row in zip(told, ids, strict=True)
        ]

    def __len__(self) -> int:
        """Captions, not pictures."""
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, list[int]]:
        """A resized picture and the ids of one of its captions."""
        picture, ids = self.rows[index]
        return self.squares.of(picture), ids


class Collate:
    """Rows to tensors; captions are filled up with what the loss ignores."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def __call__(self, rows: list[tuple[np.ndarray, list[int]]]) -> dict[str, Tensor]:
        width = max(len(ids) for _, ids in rows)
        labels = [ids + [IGNORED] * (width - len(ids)) for _, ids in rows]
        return {
            "pixel_values": self.preprocessing.pixels(np.stack([square for square, _ in rows])),
            "labels": torch.tensor(labels),
        }
