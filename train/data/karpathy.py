"""Karpathy's `dataset_*.json`: pictures with their sentences. Its own split is not used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import TrainError
from .rows import Row, entries, fields, read_json


def read(path: Path) -> Iterator[Row]:
    """One row a sentence."""
    for number, picture in enumerate(entries(read_json(path), "images", path)):
        where = f"images[{number}]"
        name, sentences = fields(picture, ("filename", "sentences"), f"{path}: {where}")
        folder = picture.get("filepath", "")
        if not isinstance(name, str) or not isinstance(folder, str):
            raise TrainError(f"{path}: {where}: filename is no text")
        if not isinstance(sentences, list):
            raise TrainError(f"{path}: {where}: sentences is no list")
        for sentence in sentences:
            (caption,) = fields(sentence, ("raw",), f"{path}: {where}: sentences")
            if not isinstance(caption, str):
                raise TrainError(f"{path}: {where}: a caption that is no text")
            yield Row(where, f"{folder}/{name}" if folder else name, caption)
