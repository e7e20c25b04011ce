"""Captions as a column of a Ray dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from .._captioner import MOST_IN_BATCH, Captioner
from .._errors import LorapressError, invalid_argument


def to_image(value: Any) -> Any:
    """Return an image as Captioner takes it: of a dict as `datasets` stores images, its bytes, else its path."""
    if isinstance(value, dict):
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if value is None:
        raise invalid_argument("there is no image: the value is null")
    return value


def read_images(values: Iterable[Any], errors: dict[int, LorapressError]) -> Iterator[Any]:
    """Yield the images of what can be read; `errors` gets the others by their index.

    A value may be a function that reads the image.
    """
    for index, value in enumerate(values):
        try:
            yield to_image(value() if callable(value) else value)
        except LorapressError as error:
            errors[index] = error


def caption_values(
    captioner: Captioner, values: list[Any], batch_size: int, settings: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Return (caption, error code, error) for each value; a caption has empty errors."""
    errors: dict[int, LorapressError] = {}
    results = captioner.each(read_images(values, errors), batch_size=batch_size, **settings)
    captions = list(results)
    rows: list[tuple[str, str, str]] = []
    done = iter(captions)
    for index in range(len(values)):
        result = errors[index] if index in errors else next(done)
        if isinstance(result, LorapressError):
            rows.append(("", result.code, str(result)))
        else:
            rows.append((result.text, "", ""))
    return rows


class CaptionBatch:
    """Adds captions to the batches of a Ray dataset.

        ds = ray.data.read_images("photos", mode="RGB")
        ds = ds.map_batches(
            CaptionBatch,
            fn_constructor_kwargs={"folder": "/shared/web-model"},
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=1,
        )

    Each worker loads the folder once. An image that cannot be captioned gets an empty caption and its error, and the
    others go on.

    Args:
        folder: folder that press wrote, at this path on every machine.
        column: column of images: uint8 [height, width, 3] arrays, bytes of image files, paths, or {"bytes", "path"} as
            `datasets` stores them.
        caption: name of the new column of texts.
        error: name of the new column of errors, empty texts where there is none.
        batch_size: images that are decoded together, 1 to 256; Ray's batches may be larger.
        threads: of the engine; as many as the worker's `num_cpus`.
        dtype, engine: as of Captioner.
        settings: as of a Captioner's call: prompt, max_new_tokens, num_beams, ...
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        column: str = "image",
        caption: str = "caption",
        error: str = "error",
        batch_size: int = 8,
        threads: int = 1,
        dtype: str | None = None,
        engine: str | None = None,
        **settings: Any,
    ) -> None:
        if len({column, caption, error}) != 3:
            raise invalid_argument(f"columns {column!r}, {caption!r} and {error!r}, expected three names")
        if not 1 <= batch_size <= MOST_IN_BATCH:
            raise invalid_argument(f"batch_size {batch_size}, expected 1 to {MOST_IN_BATCH}")
        self.captioner = Captioner(folder, dtype=dtype, threads=threads, engine=engine)
        self.column = column
        self.names = (caption, error)
        self.batch_size = batch_size
        self.settings = settings

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Caption a batch of numpy columns (map_batches' default format)."""
        import numpy as np

        if self.column not in batch:
            raise invalid_argument(f"no column {self.column!r}; there are {', '.join(batch)}")
        rows = caption_values(self.captioner, list(batch[self.column]), self.batch_size, self.settings)
        caption, error = self.names
        return {
            **batch,
            caption: np.array([text for text, _, _ in rows], dtype=object),
            error: np.array([message for _, _, message in rows], dtype=object),
        }
