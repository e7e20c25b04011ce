"""Merges the cases of goldens/llava and smolvlm with lorapress and loads them by Auto classes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

import placeholder
from common import GOLDENS, quiet, read_json

CASES = ("llava/clip", "llava/siglip", "llava/layers", "smolvlm/smolvlm", "smolvlm/idefics3")


def source(folder: Path) -> list[str]:
    """Return the words that name a case's checkpoint."""
    if (folder / "adapter").exists():
        return [str(folder / "adapter"), "--base", str(folder / "base")]
    return [str(folder / "base")]


def image_settings(folder: Path) -> dict[str, Any]:
    """Return the image processor's settings, from the file that transformers 5 or 4 wrote."""
    inner = read_json(folder / "processor_config.json").get("image_processor")
    return inner or read_json(folder / "preprocessor_config.json")


def pixel_values(folder: Path, row: dict[str, Any], settings: dict[str, Any]) -> torch.Tensor:
    """Return the golden's levels as the processor would normalise them."""
    with Image.open(folder / row["pixels"]) as image:
        levels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        height, width = image.height, image.width
    tiles = height // width
    values = levels.reshape(tiles, width, width, 3).permute(0, 3, 1, 2).double() / 255.0
    mean = torch.tensor(settings["image_mean"], dtype=torch.float64)
    std = torch.tensor(settings["image_std"], dtype=torch.float64)
    normal = (values - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)
    return normal.float()


def check(program: Path, name: str) -> list[str]:
    """Say what transformers finds wrong with a merged case."""
    folder = GOLDENS / name
    golden = read_json(folder / "golden.json")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        words = [str(program), "merge", *source(folder), "--dtype", "fp32"]
        words.insert(3, str(out))
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return [f"merge: {done.stderr.strip()}"]
        model, info = AutoModelForImageTextToText.from_pretrained(
            out, dtype=torch.float32, output_loading_info=True
        )
        settings = image_settings(out)
        wanted = read_json(folder / "base" / "config.json")["architectures"]
    found = [f"{key}: {names}" for key, names in info.items() if names]
    if [type(model).__name__] != wanted:
        found.append(f"loaded as {type(model).__name__}, expected {wanted}")
    for row in golden["captions"]:
        pixels = pixel_values(folder, row, settings)
        if name.startswith("smolvlm"):
            pixels = pixels[None]
        ids = torch.tensor([row["input_ids"]])
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels,
        }
        out_ids = model.eval().generate(
            **inputs, max_new_tokens=placeholder.NEW_TOKENS, do_sample=False
        )
        made = placeholder.new_ids(out_ids, inputs)
        if made != row["ids"]:
            found.append(f"{row['image']}: {made}, expected {row['ids']}")
    return found


def main() -> int:
    """Check all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="the lorapress binary")
    args = parser.parse_args()
    quiet()
    bad = 0
    for name in CASES:
        found = check(args.program.resolve(), name)
        bad += bool(found)
        for problem in found:
            print(f"{name}: {problem}")
    print(f"{len(CASES) - bad} of {len(CASES)} merged models say in transformers what they said")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
