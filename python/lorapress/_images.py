"""Images as the library takes them. Neither numpy nor Pillow is imported: their objects say what they are."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Union, cast

from ._errors import LorapressError, invalid_argument
from ._library import IMAGE_BYTES, IMAGE_PATH, IMAGE_PIXELS, Image, path_bytes

if TYPE_CHECKING:
    import numpy
    import PIL.Image

# A path, the bytes of an image file, a Pillow image, or uint8 [height, width, 3] (RGB; also 4 with an alpha that is
# dropped, and 1 or [height, width] for gray) with any strides.
ImageSource = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    "PIL.Image.Image",
    "numpy.ndarray[Any, Any]",
]


def is_image(value: object) -> bool:
    """Whether a value is one image and not several."""
    return isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)) or (
        _is_pillow(value) or hasattr(value, "__array_interface__")  # which decodes a Pillow image
    )


def to_images(value: ImageSource | Iterable[ImageSource]) -> Iterator[ImageSource]:
    """Return the images of a call's argument, which is one of them or several."""
    if is_image(value):
        return iter([cast("ImageSource", value)])
    if _is_file(value):  # its lines are no images
        raise _no_image(value)
    try:
        return iter(cast("Iterable[ImageSource]", value))
    except TypeError:
        raise _no_image(value) from None


def _is_file(value: object) -> bool:
    return hasattr(value, "readline")


def _is_pillow(value: object) -> bool:
    module = sys.modules.get("PIL.Image")  # absent: nobody can have made an image
    return module is not None and isinstance(value, module.Image)


def to_struct(source: ImageSource, kept: list[Any]) -> Image:
    """Return the lorapress_image; `kept` gets what must live as long as it.

    Raises:
        LorapressError: for everything that is wrong with the image.
    """
    try:
        return _to_struct(source, kept)
    except LorapressError:
        raise
    except Exception as error:  # of the image's own code: Pillow reads late, and what it then finds raises many things
        if _is_pillow(source):
            raise LorapressError("invalid_file", f"{source!r}: {error!r}") from None
        raise invalid_argument(f"an image of type {type(source).__name__}: {error!r}") from None


def _to_struct(source: ImageSource, kept: list[Any]) -> Image:
    if isinstance(source, (str, os.PathLike)):
        return _bytes_struct(IMAGE_PATH, path_bytes(source), kept)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _bytes_struct(IMAGE_BYTES, bytes(source), kept)
    if _is_pillow(source):
        image: Any = source
        from PIL import ImageOps

        rgb = (ImageOps.exif_transpose(image) or image).convert("RGB")
        pixels = _bytes_struct(IMAGE_PIXELS, rgb.tobytes(), kept)
        pixels.width, pixels.height = rgb.size
        pixels.row_stride, pixels.column_stride, pixels.channel_stride = 3 * pixels.width, 3, 1
        return pixels
    if hasattr(source, "__array_interface__"):
        return _array_struct(source, kept)
    raise _no_image(source)


def _no_image(value: object) -> LorapressError:
    found = type(value).__name__ + ("; pass what its read() returns" if _is_file(value) else "")
    return invalid_argument(f"an image is a path, bytes, a PIL image or a uint8 array [height, width, 3], not {found}")


def _bytes_struct(kind: int, data: bytes, kept: list[Any]) -> Image:
    buffer = ctypes.c_char_p(data)  # points into `data`, without a copy
    kept.append((buffer, data))
    return Image(kind, ctypes.cast(buffer, ctypes.c_void_p), len(data))


def _array_struct(array: Any, kept: list[Any]) -> Image:
    facts = array.__array_interface__
    shape, samples = facts["shape"], facts["typestr"]
    channels = shape[2] if len(shape) == 3 else 1
    if samples != "|u1" or len(shape) not in (2, 3) or channels not in (1, 3, 4):
        raise invalid_argument(
            f"an array of {samples} {list(shape)}, expected uint8 (|u1) [height, width, 3]; also [height, width] for "
            "gray, or 4 channels, the last of which is dropped"
        )
    if not isinstance(facts["data"], tuple):  # the protocol's other form, a buffer, has no address here
        raise invalid_argument(f"an array of type {type(array).__name__} without an address; numpy.asarray() makes one")
    strides = facts.get("strides") or (shape[1] * channels, channels, 1)
    kept.append(array)
    return Image(
        IMAGE_PIXELS,
        facts["data"][0],
        0,
        shape[0],
        shape[1],
        strides[0],
        strides[1],
        0 if channels == 1 else strides[2],  # gray: the same sample three times
    )
