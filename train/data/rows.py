"""What every reader yields, and the fields that tables of captions are known to have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrainError

IMAGE_COLUMNS = ("image", "file_name", "filename", "image_name", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "alt_text", "comment")


@dataclass(frozen=True)
class Row:
    """One caption of one picture, and where it stands ("line 7")."""

    where: str
    image: str
    caption: str


def column(names: list[str], wanted: tuple[str, ...], what: str, where: str) -> str:
    """The one of `names` that holds `what`."""
    for name in wanted:
        if name in names:
            return name
    raise TrainError(
        f"{where}: no column of {what}s, expected one of {', '.join(wanted)}, "
        f"found {', '.join(map(str, names)) or 'none'}"
    )


def captions_of(value: Any, where: str) -> list[str]:
    """A caption, or a list of captions."""
    captions = value if isinstance(value, list) else [value]
    if not all(isinstance(caption, str) for caption in captions):
        raise TrainError(f"{where}: a caption that is no text: {json.dumps(value)[:80]}")
    return captions or [""]


def read_text(path: Path) -> str:
    """A UTF-8 file, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise TrainError(f"{path}: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """A JSON file."""
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise TrainError(f"{path}: not JSON ({error})") from None


def read_json_lines(path: Path) -> Iterator[Row]:
    """JSON objects, one a line, each with a picture's name and its caption or captions."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise TrainError(f"{path}: {where}: not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise TrainError(f"{path}: {where}: expected an object, found {line.strip()[:40]}")
        at = f"{path}: {where}"
        image = entry[column(list(entry), IMAGE_COLUMNS, "image", at)]
        if not isinstance(image, str):
            raise TrainError(f"{at}: an image that is no name: {json.dumps(image)[:80]}")
        text = entry[column(list(entry), CAPTION_COLUMNS, "caption", at)]
        for caption in captions_of(text, at):
            yield Row(where, image, caption)


def fields(entry: Any, names: tuple[str, ...], where: str) -> tuple[Any, ...]:
    """The values of an object's fields, all of which must be there."""
    if not isinstance(entry, dict):
        raise TrainError(f"{where}: expected an object, found {json.dumps(entry)[:40]}")
    for name in names:
        if name not in entry:
            raise TrainError(f"{where}: no field {name}, found {', '.join(entry) or 'none'}")
    return tuple(entry[name] for name in names)


def entries(document: Any, name: str, path: Path) -> list[Any]:
    """A list of a JSON document."""
    (found,) = fields(document, (name,), str(path))
    if not isinstance(found, list):
        raise TrainError(f"{path}: {name} is no list")
    return found
