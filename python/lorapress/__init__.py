"""LoraPress: LoRA-tuned vision-language models as folders that a browser runs, and captions with them.

    import lorapress

    report = lorapress.press("checkpoint", "web-model", adapter="lora", dtype="q4", progress=True)
    with lorapress.Captioner("web-model") as captioner:
        texts = captioner(["a.jpg", "b.jpg"])

Names and meanings are those of the command line, with underscores. Everything runs in this process, in C++ and without
the interpreter's lock; errors are `LorapressError`s. The modules `lorapress.ray` (many pictures on many machines) and
`lorapress.transformers` (a callback of Trainer) need these packages and are imported by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._captioner import Caption, Captioner, Engine
    from ._commands import export, inspect, merge, press, quantize, verify
    from ._errors import LorapressError
    from ._reports import (
        DtypeParity,
        ImageParity,
        KeptMatrix,
        LayerError,
        LogitDistance,
        MergeReport,
        OutputFile,
        PressReport,
        QuantizeReport,
        TrialCaption,
        VerifiedImage,
        VerifyReport,
    )

    __version__: str

__all__ = [
    "Caption",
    "Captioner",
    "DtypeParity",
    "Engine",
    "ImageParity",
    "KeptMatrix",
    "LayerError",
    "LogitDistance",
    "LorapressError",
    "MergeReport",
    "OutputFile",
    "PressReport",
    "QuantizeReport",
    "TrialCaption",
    "VerifiedImage",
    "VerifyReport",
    "export",
    "inspect",
    "merge",
    "press",
    "quantize",
    "verify",
]

_MODULES = {
    "_captioner": ("Caption", "Captioner", "Engine"),
    "_commands": ("export", "inspect", "merge", "press", "quantize", "verify"),
    "_errors": ("LorapressError",),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that importing the package costs nothing."""
    if name == "__version__":  # of the library
        return importlib.import_module("._library", __name__).version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((file for file, names in _MODULES.items() if name in names), "_reports")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
