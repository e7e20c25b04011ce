"""The shared library behind the package: where it lies, its functions (include/lorapress/c_api.h), its errors."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Callable

from ._errors import LorapressError, invalid_argument

ABI_VERSION = 1
PACKAGE = Path(__file__).resolve().parent

IMAGE_PATH, IMAGE_BYTES, IMAGE_PIXELS = range(3)


class Image(ctypes.Structure):
    """lorapress_image."""

    _fields_ = [
        ("kind", c_int32),
        ("data", c_void_p),
        ("size", c_size_t),
        ("height", c_int64),
        ("width", c_int64),
        ("row_stride", c_int64),
        ("column_stride", c_int64),
        ("channel_stride", c_int64),
    ]


class Error(ctypes.Structure):
    """lorapress_error."""

    _fields_ = [("code", c_int32), ("message", c_char_p)]


ProgressFn = ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, c_uint64, c_uint64)

_text = POINTER(c_void_p)
_command = [c_char_p, ProgressFn, c_void_p, _text, POINTER(Error)]
# Texts that the caller frees are c_void_p: ctypes would make bytes of c_char_p and lose the pointer.
FUNCTIONS: dict[str, tuple[list[Any], Any]] = {
    "lorapress_abi_version": ([], c_int32),
    "lorapress_version": ([], c_char_p),
    "lorapress_code_name": ([c_int32], c_char_p),
    "lorapress_free_text": ([c_void_p], None),
    "lorapress_free_error": ([POINTER(Error)], None),
    "lorapress_press": (_command, c_int32),
    "lorapress_export": (_command, c_int32),
    "lorapress_merge": (_command, c_int32),
    "lorapress_quantize": (_command, c_int32),
    "lorapress_verify": (_command, c_int32),
    "lorapress_inspect": ([c_char_p, _text, POINTER(Error)], c_int32),
    "lorapress_captioner_open": ([c_char_p, c_char_p, _text, POINTER(Error)], c_int32),
    "lorapress_captioner_info": ([c_void_p, _text, POINTER(Error)], c_int32),
    "lorapress_captioner_caption": (
        [c_void_p, POINTER(Image), c_size_t, c_char_p, _text, POINTER(Error)],
        c_int32,
    ),
    "lorapress_captioner_close": ([c_void_p], None),
}


def _file_name() -> str:
    if sys.platform == "win32":
        return "lorapress_c.dll"
    return "liblorapress_c.dylib" if sys.platform == "darwin" else "liblorapress_c.so"


def _packaged() -> Path:
    """Where a wheel has it: on Windows beside the program, which looks for it there."""
    return PACKAGE / ("bin" if sys.platform == "win32" else "lib") / _file_name()


def _find() -> Path:
    """LORAPRESS_LIBRARY, else the one in the package, else that of the source tree's build."""
    if given := os.environ.get("LORAPRESS_LIBRARY"):
        return Path(given)
    packaged = _packaged()
    built = PACKAGE.parents[1] / "build" / _file_name()
    if not packaged.exists() and built.exists():
        return built
    return packaged


def _name_onnx_runtime() -> None:
    """Let a wheel's library find the ONNX Runtime that `pip install lorapress[ort]` brought."""
    if "LORAPRESS_ORT" in os.environ:
        return
    for folder in map(Path, sys.path):
        for pattern in ("libonnxruntime.so.*", "libonnxruntime.*.dylib", "onnxruntime.dll"):
            found = sorted((folder / "onnxruntime" / "capi").glob(pattern))
            if found:
                os.environ["LORAPRESS_ORT"] = str(found[0])
                return


_lock = threading.Lock()
_loaded: ctypes.CDLL | None = None


def library() -> ctypes.CDLL:
    """Load the library once; a call of its functions releases the interpreter's lock."""
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
        return _loaded


def _load() -> ctypes.CDLL:
    path = _find()
    if path == _packaged():
        _name_onnx_runtime()
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise LorapressError(
            "not_found",
            f"{path}: {error}; a wheel of lorapress has this library, and `make build` makes it; "
            "LORAPRESS_LIBRARY names another one",
        ) from None
    for name, (arguments, result) in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes = arguments
        function.restype = result
    found = loaded.lorapress_abi_version()
    if found != ABI_VERSION:
        raise LorapressError("mismatch", f"{path}: ABI version {found}, this package is for {ABI_VERSION}")
    return loaded


def version() -> str:
    """Return the version of the library, as "0.1.0"."""
    return str(library().lorapress_version().decode())


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a path as the library takes it: on Windows UTF-8, elsewhere the system's bytes.

    Raises:
        LorapressError: invalid_argument for what is no path.
    """
    try:
        data = os.fsdecode(path).encode() if sys.platform == "win32" else os.fsencode(path)
    except (TypeError, UnicodeError) as error:
        raise invalid_argument(f"{path!r} is no path: {error}") from None
    if b"\0" in data:  # where the library would end it
        raise invalid_argument(f"{path!r} is no path: it has a zero byte")
    return data


def to_error(error: Error) -> LorapressError:
    """Turn the error into an exception and free it."""
    name = library().lorapress_code_name(error.code)
    message = (error.message or b"").decode(errors="replace")
    library().lorapress_free_error(ctypes.byref(error))
    return LorapressError(name.decode() if name else "runtime", message)


def call(function: str, *arguments: Any) -> Any:
    """Call a function whose last two parameters are a text and an error; return the text's JSON."""
    text = c_void_p()
    error = Error()
    code = getattr(library(), function)(*arguments, ctypes.byref(text), ctypes.byref(error))
    if code != 0:
        raise to_error(error)
    try:
        return json.loads(ctypes.string_at(text.value or 0))
    finally:
        library().lorapress_free_text(text)


def to_json(options: dict[str, Any]) -> bytes:
    """Return the options that are given (not None) as JSON; paths become texts."""
    members = [f"{json.dumps(key)}: {to_json_value(key, value)}" for key, value in options.items() if value is not None]
    return f"{{{', '.join(members)}}}".encode()


def to_json_value(name: str, value: Any) -> str:
    """Return a value as JSON that can be encoded as UTF-8; paths become texts, numpy's numbers numbers.

    Raises:
        LorapressError: invalid_argument, with the name, for what JSON has not.
    """
    try:
        text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except UnicodeEncodeError:
        raise invalid_argument(
            f"{name}: {value!r} is not UTF-8, expected text or a path that is; a link can give a folder another name"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_argument(f"{name}: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        raise TypeError("expected text, found bytes")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)) or hasattr(value, "__iter__"):
        return list(value)
    if hasattr(value, "__index__"):
        return int(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"{type(value).__name__} is neither a number, text, path nor a list of them")


Progress = Callable[[str, int, int], None]
