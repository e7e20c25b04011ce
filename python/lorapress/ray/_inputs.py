"""Where images lie: one row an image, small enough to be sent around; the worker reads the image."""

from __future__ import annotations

import functools
import glob
import os
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._errors import LorapressError, invalid_argument

# As src/runtime/image/image.h: what a folder's file is taken for an image by.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class Place(NamedTuple):
    """An image's name, which is unique, and where its bytes are."""

    image: str  # as given; bytes that are no UTF-8 as \\xHH, since it becomes a text of OUT
    kind: str  # "file"; "tar": `size` bytes at `at`; "parquet": row `at` of a row group `group`
    file: str  # absolute: a worker has a working directory of its own
    at: int = 0
    size: int = 0
    column: str = ""


def find(inputs: list[str], column: str) -> list[Place]:
    """Return the images of folders, files, globs, .parquet and .tar files, each once.

    Raises:
        LorapressError: not_found for an input that is not there or without images, invalid_file or io for one that
            cannot be read.
    """
    places: dict[str, Place] = {}
    for given in inputs:
        files = [given] if os.path.exists(given) else sorted(glob.glob(given, recursive=True))
        before = len(places)
        seen = 0
        for file in files:
            for found in _places(file, column):
                seen += 1
                place = found._replace(image=_text(found.image), file=os.path.abspath(found.file))
                places.setdefault(place.image, place)
        if seen == 0 and before == len(places):
            raise LorapressError(
                "not_found",
                f"{given}: no images: neither a file, a folder with images nor a glob that fits",
            )
    return list(places.values())


def _text(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _places(file: str, column: str) -> Iterator[Place]:
    if os.path.isdir(file):
        for name in _walk(file):
            yield Place(name, "file", name)
    elif file.endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")):
        raise LorapressError(
            "unsupported",
            f"{file}: is a compressed tar, in which no image can be found by its place; unpack it to .tar",
        )
    elif file.endswith(".tar"):
        yield from _tar_places(file)
    elif file.endswith(".parquet"):
        yield from _parquet_places(file, column)
    else:
        yield Place(file, "file", file)


def _walk(folder: str) -> Iterator[str]:
    """Images below a folder in order of their paths; links are followed, a folder reached twice is walked once."""
    seen: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        info = os.stat(root)
        if (info.st_dev, info.st_ino) in seen:
            folders.clear()
            continue
        seen.add((info.st_dev, info.st_ino))
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(IMAGE_SUFFIXES):
                yield os.path.join(root, name)


def _refuse(error: OSError) -> None:
    raise LorapressError("io", f"{error.filename}: {error.strerror}; no image below it can be found") from None


def _tar_places(file: str) -> Iterator[Place]:
    names: set[str] = set()
    try:
        with tarfile.open(file, "r:") as tar:  # headers are read, members are not
            for member in tar:
                if not member.isfile() or not member.name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                name = f"{file}#{member.name}"
                if name in names:  # a tar may have a name twice
                    name = f"{name}@{member.offset_data}"
                names.add(name)
                yield Place(name, "tar", file, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise unreadable(file, error) from None


def _parquet_places(file: str, column: str) -> Iterator[Place]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        facts = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from None
    if column not in facts.schema_arrow.names:
        raise invalid_argument(
            f"{file}: no column {column!r}, there are {', '.join(facts.schema_arrow.names)}; "
            "--column names that of the images"
        )
    row = 0
    for group in range(facts.num_row_groups):
        for at in range(facts.metadata.row_group(group).num_rows):
            yield Place(f"{file}#{row}", "parquet", file, at, group, column)
            row += 1


def unreadable(name: str, error: Exception) -> LorapressError:
    """Return the error of a file, or of an image in one, that another library could not read; one line."""
    if isinstance(error, OSError) and error.strerror:
        return LorapressError("io", f"{name}: {error.strerror}")
    return LorapressError("invalid_file", f"{name}: {' '.join(str(error).split())}")


@functools.lru_cache(maxsize=2)
def _row_group(file: str, group: int, column: str) -> Any:
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(file).read_row_group(group, columns=[column]).column(column)


def read(place: Place) -> Any:
    """Return the image as a path, bytes, or what a parquet cell holds.

    Raises:
        LorapressError: for an image that cannot be read.
    """
    if place.kind == "file":
        return place.file
    try:
        if place.kind == "parquet":
            return _row_group(place.file, place.size, place.column)[place.at].as_py()
        with open(place.file, "rb") as file:
            file.seek(place.at)
            data = file.read(place.size)
    except Exception as error:  # pyarrow raises what it finds: its own, UnicodeDecodeError, ...
        raise unreadable(place.image, error) from None
    if len(data) != place.size:
        raise LorapressError("invalid_file", f"{place.image}: the tar ends inside of it")
    return data
