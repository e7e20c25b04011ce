"""`captions.csv`: a header, a column of pictures, a column of captions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ..errors import TrainError
from .rows import CAPTION_COLUMNS, IMAGE_COLUMNS, Row, column, read_text


def read_table(path: Path, delimiter: str) -> Iterator[Row]:
    """The rows of a table with a header; a picture with several captions has several rows."""
    table = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    table.fieldnames = [name.strip() for name in table.fieldnames or []]
    image = column(table.fieldnames, IMAGE_COLUMNS, "image", str(path))
    caption = column(table.fieldnames, CAPTION_COLUMNS, "caption", str(path))
    try:
        for row in table:
            where = f"line {table.line_num}"
            if None in row or None in row.values():
                found = sum(v is not None for k, v in row.items() if k) + len(row.get(None) or [])
                wanted = len(table.fieldnames)
                raise TrainError(f"{path}: {where}: expected {wanted} columns, found {found}")
            yield Row(where, row[image].strip(), row[caption])
    except csv.Error as error:
        raise TrainError(f"{path}: line {table.line_num}: {error}") from None


def read(path: Path) -> Iterator[Row]:
    """Commas between the columns."""
    return read_table(path, ",")
