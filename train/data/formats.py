"""The formats of data sets: one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import TrainError
from . import captions_csv, captions_jsonl, coco, flickr, image_folder, karpathy
from .rows import Row


@dataclass(frozen=True)
class Format:
    """Where a format's table of captions lies below the folder, and what reads it."""

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], Iterator[Row]]


FORMATS = (
    Format("csv", ("captions.csv",), captions_csv.read),
    Format("jsonl", ("captions.jsonl",), captions_jsonl.read),
    Format("imagefolder", ("metadata.jsonl", "*/metadata.jsonl"), image_folder.read),
    Format("flickr", ("*.token", "*.token.txt", "captions.txt", "results.csv"), flickr.read),
    Format("karpathy", ("dataset_*.json", "dataset.json"), karpathy.read),
    Format("coco", ("captions_*.json", "annotations/captions_*.json"), coco.read),
)


def tables(folder: Path, name: str | None) -> tuple[Format, list[Path]]:
    """The format of a folder (`name`, if it is given) and the files that it is in."""
    found = [(row, [f for g in row.files for f in sorted(folder.glob(g))]) for row in FORMATS]
    found = [(row, files) for row, files in found if files and name in (None, row.name)]
    if not found:
        wanted = ", ".join(g for row in FORMATS for g in row.files if name in (None, row.name))
        raise TrainError(f"{folder}: no captions, expected one of {wanted}")
    if len(found) > 1:
        names = " and ".join(f"{files[0].name} ({row.name})" for row, files in found)
        raise TrainError(f"{folder}: has {names}; FORMAT={found[0][0].name} chooses one")
    return found[0]
