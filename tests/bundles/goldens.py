"""tests/goldens/checkpoints as numpy, and folders pressed from them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKPOINTS = ROOT / "tests" / "goldens" / "checkpoints"
BUNDLES = json.loads((ROOT / "tests/goldens/bundles/bundles.json").read_text("ascii"))


class Golden:
    """One checkpoint: its golden.json, pixel values and first case."""

    def __init__(self, name: str) -> None:
        self.folder = CHECKPOINTS / name
        self.json = json.loads((self.folder / "golden" / "golden.json").read_text("ascii"))
        self.case: dict[str, Any] = self.json["cases"][0]
        self.eos: list[int] = np.atleast_1d(self.json["eos_token_id"]).tolist()
        self.most: int = self.json["max_new_tokens"]
        self.pixels = read_floats(self.folder / "golden" / "golden.safetensors", "pixel_values")
        entry = (c for c in BUNDLES["checkpoints"] if c["checkpoint"] == name)
        self.bundles: dict[str, Any] = next(entry)

    def press(self, out: Path, *options: str) -> Path:
        """Press the first case and return the folder."""
        command = [
            os.environ["LORAPRESS"],
            "press",
            str(self.folder / self.json["checkpoint"]),
            str(out),
            f"--max-new-tokens={self.most}",
            *options,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return out


def read_floats(path: Path, name: str) -> np.ndarray:
    """Return one float32 tensor of a safetensors file."""
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    entry = json.loads(content[8:start])[name]
    begin, end = entry["data_offsets"]
    return np.frombuffer(content[start + begin : start + end], "<f4").reshape(entry["shape"])


def until_end(ids: list[int], eos: list[int]) -> list[int]:
    """Return the ids before the first end token."""
    return next((ids[:n] for n, token in enumerate(ids) if token in eos), ids)
