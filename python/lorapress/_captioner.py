"""Captions of images with a pressed folder."""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable

from ._errors import LorapressError, invalid_argument
from ._images import ImageSource, to_images, to_struct
from ._library import Error, Image, call, library, path_bytes, to_error, to_json
from ._progress import ProgressOption, to_callback

MOST_IN_BATCH = 256
BATCHES_AHEAD = 4  # of each group that is worked on at the same time, so that few of them wait for the last


@dataclass(frozen=True)
class Caption:
    """A caption; times in milliseconds."""

    text: str  # without special tokens
    ids: list[int]  # generated tokens, the closing end-of-text included
    encode_ms: float  # pixels to image tokens
    prefill_ms: float  # first call of the decoder; of a batch, this image's share
    decode_ms: float  # all further calls; of a batch, this image's share
    score: float = 0.0  # of beam search


@dataclass(frozen=True)
class Engine:
    """What computes the graphs."""

    name: str
    version: str
    note: str  # why "auto" took another engine than the first it tried, else empty


def _to_result(row: dict[str, Any]) -> Caption | LorapressError:
    if "error" in row:
        return LorapressError(row["error"]["code"], row["error"]["message"])
    return Caption(**row)


class Captioner:
    """Captions images with a folder that press wrote.

        with lorapress.Captioner("web-model") as captioner:
            texts = captioner(["a.jpg", "b.jpg"])

    Calls release the interpreter's lock. Calls of one captioner wait for each other; several captioners work at
    the same time. A copy, and what pickle makes of a captioner in another process, opens the folder anew; a child that
    a fork made cannot use those of its parent.

    Args:
        folder: folder with lorapress.json.
        dtype: one of the folder's dtypes, one per part as in "encoder=q8,decoder=q4", or "auto".
        threads: of the engine; one per core unless given.
        engine: "native", "ort" or "auto", as --engine.
        at_once: batches that are worked on at the same time, each on its share of the threads. 1 is fastest for one
            image; 0, as many as threads, for many.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        threads: int | None = None,
        engine: str | None = None,
        at_once: int = 1,
    ) -> None:
        self._handle: ctypes.c_void_p | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._options: dict[str, Any] = {"dtype": dtype, "threads": threads, "engine": engine, "at_once": at_once}
        handle, error = ctypes.c_void_p(), Error()
        arguments = (path_bytes(folder), to_json(self._options), ctypes.byref(handle), ctypes.byref(error))
        if library().lorapress_captioner_open(*arguments) != 0:
            raise to_error(error)
        self._handle = handle
        self._folder = os.path.abspath(folder)
        info = self._info = call("lorapress_captioner_info", handle)
        self.dtypes: dict[str, str] = info["dtypes"]  # of "encoder", "prefill", "decoder"
        self.engine = Engine(**info["engine"])

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of pixel_values, to which images are resized."""
        return self._info["height"], self._info["width"]

    def __call__(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        batch_size: int = 8,
        progress: ProgressOption = None,
        **settings: Any,
    ) -> list[str]:
        """Caption images, one text for each in their order.

        Args:
            images: one or several of: a path; bytes of a JPEG, PNG, WebP, GIF, BMP or TIFF file; a Pillow image; uint8
                [height, width, 3] in RGB.
            batch_size: images that are decoded together, 1 to 256; the captions are the same.
            progress: True for a tqdm bar, or a function("caption", done, total) in images.
            settings: prompt, system, raw_prompt, seed, and the settings of transformers' generate():
                max_new_tokens, num_beams, temperature, ... (docs/generation.md). What is not given
                is the folder's own.

        Raises:
            LorapressError: for settings out of range, and for the first image that cannot be captioned, named by its
                path or, among several, as "images[3]: ..."; `each` goes on.
        """
        given = list(to_images(images))
        callback, close = to_callback(progress)
        texts: list[str] = []
        try:
            for result in self.each(given, batch_size=batch_size, **settings):
                if isinstance(result, LorapressError):
                    named = len(given) == 1 or isinstance(given[len(texts)], (str, os.PathLike))
                    raise result if named else LorapressError(result.code, f"images[{len(texts)}]: {result}")
                texts.append(result.text)
                if callback:
                    callback("caption", len(texts), len(given))
        finally:
            close()
        return texts

    def each(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        batch_size: int = 8,
        **settings: Any,
    ) -> Iterator[Caption | LorapressError]:
        """Caption any number of images, one result for each in their order: a Caption, or the error of that image.

        `images` may be a generator; as many of them are taken at a time as are worked on at the same time. Arguments
        are those of a call.
        """
        try:
            batch_size = operator.index(batch_size)
        except TypeError:
            raise invalid_argument(f"batch_size {batch_size!r}, expected a whole number") from None
        if not 1 <= batch_size <= MOST_IN_BATCH:
            raise invalid_argument(f"batch_size {batch_size}, expected 1 to {MOST_IN_BATCH}")
        options = to_json({"batch": batch_size, **settings})
        at_once = int(self._info["at_once"])
        window = batch_size if at_once == 1 else batch_size * at_once * BATCHES_AHEAD
        batch: list[ImageSource] = []
        for image in to_images(images):
            batch.append(image)
            if len(batch) == window:
                yield from self._caption(batch, options)
                batch = []
        if batch:
            yield from self._caption(batch, options)

    def _caption(self, batch: list[ImageSource], options: bytes) -> list[Caption | LorapressError]:
        if self._process != os.getpid():  # before the lock, which a thread of the parent may have had
            raise invalid_argument(
                "the captioner is its parent process's: a fork takes no threads along; open one here"
            )
        results: list[Caption | LorapressError | None] = []
        structs: list[Image] = []
        kept: list[Any] = []
        for image in batch:
            try:
                structs.append(to_struct(image, kept))
                results.append(None)
            except LorapressError as error:
                results.append(error)
        with self._lock:  # so that close() waits
            if self._handle is None:
                raise invalid_argument("the captioner is closed")
            array = (Image * len(structs))(*structs)
            rows = call("lorapress_captioner_caption", self._handle, array, len(structs), options)
        captions = iter(map(_to_result, rows))
        return [next(captions) if result is None else result for result in results]

    def close(self) -> None:
        """Give the model's memory back, after a call that is running; a closed captioner stays closed."""
        if self._process != os.getpid():  # its threads are the parent's: joining them may wait for others
            self._handle = None
            return
        with self._lock:
            if self._handle is not None:
                library().lorapress_captioner_close(self._handle)
                self._handle = None

    def __reduce__(self) -> tuple[Callable[..., Captioner], tuple[str]]:
        """Copy and pickle the folder and the options: a handle belongs to one captioner of one process."""
        if self._handle is None:
            raise invalid_argument("the captioner is closed")
        return functools.partial(type(self), **self._options), (self._folder,)

    def __enter__(self) -> Captioner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()
