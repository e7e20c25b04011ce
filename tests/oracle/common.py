"""Shared helpers of the oracle: JSON that diffs well, versions, seeds, quiet libraries."""

from __future__ import annotations

import json
import os
import warnings
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
# What make_NAME.py makes, and its folder there.
PARTS = {
    "adapters": "adapters",
    "bundles": "bundles",
    "chat": "chat",
    "checkpoints": "checkpoints",
    "cross": "cross",
    "float64": "float64",
    "generation": "generation",
    "images": "images",
    "llava": "llava",
    "merge": "merge",
    "smolvlm": "smolvlm",
    "tables": "tables",
    "text": "text",
    "tiles": "tiles",
    "tokenizers": "tokenizer",
}

LIBRARIES = ("torch", "transformers", "peft", "safetensors", "tokenizers", "pillow", "numpy")


def quiet() -> None:
    """Silence the libraries and make torch repeatable (one thread, deterministic kernels)."""
    warnings.filterwarnings("ignore")
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the named distributions (all of them by default)."""
    return {name: version(name) for name in (names or LIBRARIES)}


def rng_for(*parts: object) -> np.random.Generator:
    """Return a generator that depends on the parts alone, not on call order or platform."""
    entropy = [zlib.crc32(str(part).encode()) for part in parts]
    return np.random.Generator(np.random.PCG64(entropy))


def dumps(value: Any, indent: int = 0) -> str:
    """Format JSON with one key a line; a list without objects in it stays on one line."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value:
        rows = [f"{pad}{json.dumps(str(k))}: {dumps(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        rows = [pad + dumps(item, indent + 1) for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"
    return json.dumps(value)


def write_json(path: Path, value: Any) -> None:
    """Write a document as ASCII JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(value) + "\n", encoding="ascii")


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    return json.loads(path.read_text(encoding="utf-8"))


def folder_bytes(root: Path) -> int:
    """Return the bytes of all files under a folder."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
