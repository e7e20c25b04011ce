"""Makes tests/goldens/tiles: images that the processors of SmolVLM and Idefics3 cut."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from common import GOLDENS, quiet, versions, write_json
from make_images import picture

TILE = 32
LONGEST = 128
IMAGE_TOKENS = 3
SIZES = ((90, 50), (50, 91), (64, 64), (33, 20), (200, 13), (7, 7), (300, 301))
TOKENS = {
    "image": "<image>",
    "around": "<fake_token_around_image>",
    "global": "<global-img>",
    "tile": "<row_{row}_col_{col}>",
}


def settings(longest: int, split: bool) -> dict[str, Any]:
    """Return a processor's settings; its tiles stay as 8-bit values."""
    return {
        "size": {"longest_edge": longest},
        "max_image_size": {"longest_edge": TILE},
        "do_image_splitting": split,
        "do_rescale": False,
        "do_normalize": False,
    }


def case(out: Path, size: tuple[int, int], longest: int, split: bool) -> dict[str, Any]:
    """Cut one image; its tiles are written below each other."""
    image = picture(*size, f"tiles {size}")
    name = f"{size[0]}x{size[1]}_{longest}_{'split' if split else 'whole'}.png"
    source = f"{size[0]}x{size[1]}.png"
    image.save(out / source)
    chosen = settings(longest, split)
    found = SmolVLMImageProcessorPil(**chosen)([image], return_row_col_info=True)
    other = Idefics3ImageProcessorPil(**chosen)([image], return_row_col_info=True)
    tiles = np.asarray(found["pixel_values"])[0]
    if not np.array_equal(tiles, np.asarray(other["pixel_values"])[0]):
        raise ValueError(f"{name}: the two processors differ")
    rows, cols = (int(np.ravel(found[key])[0]) for key in ("rows", "cols"))
    strip = tiles.transpose(0, 2, 3, 1).reshape(-1, TILE, 3)
    Image.fromarray(strip.astype(np.uint8), "RGB").save(out / name, optimize=True)
    prompt = get_image_prompt_string(
        rows, cols, IMAGE_TOKENS, TOKENS["around"], TOKENS["image"], TOKENS["global"]
    )
    return {
        "image": source,
        "tiles": name,
        "enabled": split,
        "longest_edge": longest,
        "count": len(tiles),
        "rows": rows,
        "cols": cols,
        "prompt": prompt,
    }


def main() -> None:
    """Write tiles.json and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "tiles")
    out = parser.parse_args().out
    quiet()
    out.mkdir(parents=True, exist_ok=True)
    cases = [case(out, size, LONGEST, split) for size in SIZES for split in (True, False)]
    cases.append(case(out, (90, 50), TILE, split=True))  # one tile, not split
    document = {
        "format": 1,
        "versions": versions("transformers", "pillow"),
        "tile_size": TILE,
        "image_tokens": IMAGE_TOKENS,
        "tokens": TOKENS,
        "cases": cases,
    }
    write_json(out / "tiles.json", document)


if __name__ == "__main__":
    main()
