"""How often the model says exactly the reference caption of a scene it has never seen.

`python -m train.evaluate [FOLDER]` measures a saved checkpoint.
"""

from __future__ import annotations

import argparse
import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from . import checkpoint
from .loop import pick_device, to_pixels
from .model import PrefixCaptioner
from .scenes import KINDS, SIDE, Scene, heldout
from .settings import DEMO_DIR

BATCH = 100
STYLE_A = re.compile(r"(a|two|three) (small|big) .* on a \w+ background")
STYLE_B = re.compile(r"\w+ all around! Look, .*\.")


def style_of(caption: str) -> str:
    """Which style a caption is told in."""
    if STYLE_A.fullmatch(caption):
        return "style_a"
    return "style_b" if STYLE_B.fullmatch(caption) else "other"


def preprocess(image: Image.Image) -> np.ndarray:
    """SigLIP's preprocessing up to the rescaling: RGB, a square, bicubic."""
    square = image.convert("RGB")
    if square.size != (SIDE, SIDE):
        square = square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(square)


def captions(
    model: PrefixCaptioner,
    tokenizer: PreTrainedTokenizerFast,
    images: np.ndarray,
    adapter: bool = True,
) -> list[str]:
    """Greedy captions of uint8 pictures, in float32."""
    model.eval()
    device = next(model.parameters()).device
    off = nullcontext() if adapter else model.language_model.disable_adapter()
    said: list[str] = []
    with off:
        for start in range(0, len(images), BATCH):
            tokens = model.generate(to_pixels(images[start : start + BATCH]).to(device))
            said += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return said


def score(said: list[str], wanted: list[str], kinds: list[str]) -> dict[str, Any]:
    """Share of exact captions, in all and per kind of scene."""
    hits = [a == b for a, b in zip(said, wanted, strict=True)]
    per_kind = {}
    for kind in KINDS:
        of_kind = [hit for hit, k in zip(hits, kinds, strict=True) if k == kind]
        per_kind[kind] = {
            "scenes": len(of_kind),
            "exact": round(sum(of_kind) / max(1, len(of_kind)), 4),
        }
    return {"scenes": len(hits), "exact": round(sum(hits) / len(hits), 4), "per_kind": per_kind}


def styles(said: list[str]) -> dict[str, float]:
    """Share of each style."""
    names = [style_of(s) for s in said]
    return {n: round(names.count(n) / len(names), 4) for n in ("style_a", "style_b", "other")}


def measure(
    model: PrefixCaptioner, tokenizer: PreTrainedTokenizerFast, told: list[Scene]
) -> dict[str, Any]:
    """The metrics of a fine-tuned model: adapter on, then off (the trained projection stays)."""
    images = np.stack([np.asarray(s.image()) for s in told])
    kinds = [s.kind for s in told]
    style_b = [s.style_b() for s in told]
    on = captions(model, tokenizer, images)
    off = captions(model, tokenizer, images, adapter=False)
    return {
        "adapter_on": score(on, style_b, kinds) | {"styles": styles(on)},
        "adapter_off": score(off, style_b, kinds)
        | {
            "styles": styles(off),
            "exact_style_a": score(off, [s.style_a() for s in told], kinds)["exact"],
        },
    }


def measure_base(
    model: PrefixCaptioner, tokenizer: PreTrainedTokenizerFast, told: list[Scene]
) -> dict[str, Any]:
    """The metrics of stage 1 alone: style A."""
    images = np.stack([np.asarray(s.image()) for s in told])
    said = captions(model, tokenizer, images)
    result = score(said, [s.style_a() for s in told], [s.kind for s in told])
    return result | {"styles": styles(said)}


def main() -> None:
    """Command line: measures a checkpoint on the held-out scenes."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint on the held-out scenes.")
    parser.add_argument("folder", type=Path, nargs="?", default=DEMO_DIR)
    parser.add_argument("--mistakes", action="store_true", help="also print every wrong caption")
    arguments = parser.parse_args()
    device = pick_device()
    model, tokenizer = checkpoint.load(arguments.folder)
    told = heldout()
    with torch.no_grad():
        print(json.dumps(measure(model.to(device), tokenizer, told), indent=2))
    if arguments.mistakes:
        images = np.stack([np.asarray(s.image()) for s in told])
        for scene, said in zip(told, captions(model, tokenizer, images), strict=True):
            if said != scene.style_b():
                print(f"{scene.seed}  wanted: {scene.style_b()}\n{' ' * 10}  said:   {said}")


if __name__ == "__main__":
    main()
