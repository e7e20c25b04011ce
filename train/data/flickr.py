"""The text files of Flickr8k and Flickr30k.

`*.token`, `*.token.txt`: "picture.jpg#0<tab>caption". `captions.txt`: a table with commas,
`results.csv` a table with "|", as these sets are passed on today.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import TrainError
from .captions_csv import read_table
from .rows import Row, read_text


def read(path: Path) -> Iterator[Row]:
    """Either kind, known by the file's name."""
    if path.name == "captions.txt":
        yield from read_table(path, ",")
        return
    if path.name == "results.csv":
        yield from read_table(path, "|")
        return
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        image, mark, _ = name.rpartition("#")
        if not tab or not mark:
            raise TrainError(f"{path}: line {number}: expected NAME#N, a tab and a caption")
        yield Row(f"line {number}", image, caption)
