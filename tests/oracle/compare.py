"""Compares two folders of goldens by meaning: tensors, numbers and pixels, not bytes."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from common import GOLDENS, PARTS

NUMBERS = 2e-4  # how far computed numbers may drift between machines, relative to their scale
PIXELS = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif")
COMPUTED = (
    "golden.safetensors",
    "merged.safetensors",
    "processed.safetensors",
    "tables.safetensors",
)


def computed(path: Path) -> bool:
    """Say whether a file holds results of floating point work rather than seeded weights."""
    embedded = path.parent.name.endswith("_embedded")  # its base is what an SVD left
    return path.name in COMPUTED or path.parent.name in ("merge", "float64") or embedded


def tensor_problems(old: Path, new: Path) -> list[str]:
    """Compare two safetensors files; seeded weights must be equal bit by bit."""
    a, b = load_file(str(old)), load_file(str(new))
    if set(a) != set(b):
        return [f"tensors {sorted(set(a) ^ set(b))[:4]} are in one file only"]
    found = []
    for name, tensor in a.items():
        other = b[name]
        if tensor.dtype != other.dtype or tensor.shape != other.shape:
            found.append(f"{name}: {tensor.dtype} {tensor.shape}, {other.dtype} {other.shape}")
        elif not torch.equal(tensor, other):
            left, right = tensor.double(), other.double()
            drift = float((left - right).abs().max() / left.abs().max().clamp_min(1e-30))
            narrow = 2e-2 if tensor.dtype in (torch.float16, torch.bfloat16) else NUMBERS
            if not computed(old) or drift > narrow:
                found.append(f"{name}: differs by {drift:.3g} of its largest value")
    return found


def json_problems(old: Any, new: Any, where: str = "") -> list[str]:
    """Compare two JSON values; floats may drift, versions may change."""
    if isinstance(old, dict) and isinstance(new, dict):
        if set(old) != set(new):
            return [f"{where}: keys {sorted(set(old) ^ set(new))}"]
        keys = [k for k in old if k not in ("versions", "transformers_version", "peft_version")]
        return [p for k in keys for p in json_problems(old[k], new[k], f"{where}.{k}")]
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return [f"{where}: {len(old)} entries, now {len(new)}"]
        pairs = enumerate(zip(old, new, strict=True))
        return [p for i, (x, y) in pairs for p in json_problems(x, y, f"{where}[{i}]")]
    if isinstance(old, float) and isinstance(new, float):
        close = math.isclose(old, new, rel_tol=1e-3, abs_tol=5e-4)
        return [] if close else [f"{where}: {old}, now {new}"]
    return [] if old == new else [f"{where}: {old!r:.80}, now {new!r:.80}"]


def pixel_problems(old: Path, new: Path) -> list[str]:
    """Compare two image files by mode, size and pixels."""
    with Image.open(old) as a, Image.open(new) as b:
        same = (a.mode, a.size, a.getexif()) == (b.mode, b.size, b.getexif())
        return [] if same and a.tobytes() == b.tobytes() else ["other pixels"]


def file_problems(old: Path, new: Path) -> list[str]:
    """Compare two files of one kind."""
    if old.suffix == ".safetensors":
        return tensor_problems(old, new)
    if old.suffix == ".json":
        return json_problems(json.loads(old.read_text("utf-8")), json.loads(new.read_text("utf-8")))
    if old.suffix in PIXELS:
        return pixel_problems(old, new)
    return [] if old.read_bytes() == new.read_bytes() else ["other bytes"]


def main() -> int:
    """Compare the committed goldens with those of another folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("new", type=Path, help="folder of freshly made goldens")
    parser.add_argument("--old", type=Path, default=GOLDENS)
    parser.add_argument("folders", nargs="*", default=PARTS.values())
    args = parser.parse_args()
    bad = checked = 0
    for folder in args.folders:
        sides = [
            {p.relative_to(root) for p in (root / folder).rglob("*") if p.is_file()}
            for root in (args.old, args.new)
        ]
        for path in sorted(sides[0] ^ sides[1]):
            print(f"{path}: {'not made any more' if path in sides[0] else 'not committed'}")
            bad += 1
        for path in sorted(sides[0] & sides[1]):
            checked += 1
            for problem in file_problems(args.old / path, args.new / path):
                print(f"{path}: {problem}")
                bad += 1
    print(f"goldens: {checked} files compared, {bad} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
