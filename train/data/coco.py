"""COCO's `captions_*.json`: pictures with ids, and captions that name the id of their picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import TrainError
from .rows import Row, entries, fields, read_json


def read(path: Path) -> Iterator[Row]:
    """One row an annotation."""
    document = read_json(path)
    names: dict[object, str] = {}
    for number, picture in enumerate(entries(document, "images", path)):
        where = f"{path}: images[{number}]"
        key, name = fields(picture, ("id", "file_name"), where)
        if not isinstance(key, int | str) or not isinstance(name, str):
            raise TrainError(f"{where}: id is no number or file_name no text")
        names[key] = name
    for number, annotation in enumerate(entries(document, "annotations", path)):
        where = f"annotations[{number}]"
        key, caption = fields(annotation, ("image_id", "caption"), f"{path}: {where}")
        if not isinstance(key, int | str) or key not in names:
            raise TrainError(f"{path}: {where}: image_id {key} is no image of the file")
        if not isinstance(caption, str):
            raise TrainError(f"{path}: {where}: a caption that is no text")
        yield Row(where, names[key], caption)
