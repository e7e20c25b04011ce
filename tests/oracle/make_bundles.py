"""Makes tests/goldens/bundles: batched searches and prompts around the image, by transformers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import loader
from catalog import SPECS
from common import GOLDENS, quiet, read_json, versions, write_json
from golden import MAX_NEW_TOKENS, generation, margins, realise, run
from model import PrefixConditioningVLM
from specs import Spec

CHECKPOINTS = ("base", "odd", "dora", "ropescale", "qwen2", "qwen3", "mistral", "phi3")
BEAMS = (1, 2, 3, 5)
LEAST_MARGIN = 2e-3
TEXTS = ("It is", "A red", "on the", "No!", "two of 3", "What")


def early_end(captions: list[dict[str, Any]]) -> int:
    """Return a token in the middle of the first caption: as end token it cuts rows unequally."""
    ids = captions[0]["ids"]
    return next(i for n, i in enumerate(ids) if n >= 3 and i not in ids[:n])


def searches(
    vlm: PrefixConditioningVLM, prefix: torch.Tensor, spec: Spec, eos: list[int]
) -> list[dict[str, Any]]:
    """Search with several beams over all images at once, and over each alone."""
    found = []
    config = generation(spec)
    pad = config.pad_token_id
    for beams in BEAMS:
        options = {"num_beams": beams}
        made = generation(spec, **options)
        made.eos_token_id, made.pad_token_id = eos, pad
        batch = run(vlm, prefix, made).sequences.tolist()
        alone = [
            run(vlm, prefix[i : i + 1], made).sequences[0].tolist() for i in range(len(prefix))
        ]
        found.append({"num_beams": beams, "batch": batch, "alone": alone})
    return found


def around(
    vlm: PrefixConditioningVLM, prefix: torch.Tensor, spec: Spec, ids: list[int]
) -> tuple[list[dict[str, Any]], float]:
    """Generate with text before, after and on both sides of image 0; also the smallest margin."""
    embed = vlm.language_model.get_input_embeddings()
    with torch.no_grad():
        text = embed(torch.tensor([ids]))
    found, low = [], float("inf")
    for before, after in ((False, False), (False, True), (True, False), (True, True)):
        parts = [text] * before + [prefix[:1]] + [text] * after
        out = run(vlm, torch.cat(parts, dim=1), generation(spec))
        low = min(low, *margins(out.logits))
        found.append({"before": before, "after": after, "ids": out.sequences[0].tolist()})
    return found, low


def prompts(
    vlm: PrefixConditioningVLM, prefix: torch.Tensor, spec: Spec, tokenizer: Tokenizer
) -> dict[str, Any]:
    """Return the first text whose results hang on no near tie."""
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        found, low = around(vlm, prefix, spec, ids)
        if low >= LEAST_MARGIN:
            return {"text": text, "ids": ids, "results": found}
    raise ValueError(f"{spec.name}: every text has a near tie")


def checkpoint(name: str) -> dict[str, Any]:
    """Return everything about one checkpoint's first case."""
    spec = next(s for s in SPECS if s.name == name)
    folder = GOLDENS / "checkpoints" / name
    golden = read_json(folder / "golden" / "golden.json")
    case = golden["cases"][0]
    vlm = realise(
        loader.load(folder / golden["checkpoint"], spec), spec.cases[0], folder, torch.float32
    )
    tokenizer = Tokenizer.from_file(str(folder / golden["checkpoint"] / "tokenizer.json"))
    prefix = load_file(str(folder / "golden" / "golden.safetensors"))["prefix"]
    own = generation(spec).eos_token_id
    own = own if isinstance(own, list) else [own]
    early = [*own, early_end(case["captions"])]
    return {
        "checkpoint": name,
        "max_new_tokens": MAX_NEW_TOKENS,
        "searches": [
            {"eos_token_id": eos, "results": searches(vlm, prefix, spec, eos)}
            for eos in (own, early)
        ],
        "prompts": prompts(vlm, prefix, spec, tokenizer),
    }


def main() -> int:
    """Write bundles.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "bundles")
    args = parser.parse_args()
    quiet()
    document = {
        "format": 1,
        "versions": versions("torch", "transformers", "tokenizers"),
        "checkpoints": [checkpoint(name) for name in CHECKPOINTS],
    }
    write_json(args.out / "bundles.json", document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
