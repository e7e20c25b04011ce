"""The files around the demo checkpoint: pictures, expected captions, metrics, model card."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from .evaluate import captions, preprocess
from .model import PrefixCaptioner
from .pipeline import Trained
from .scenes import Scene, heldout, make_scene, write_heldout_list
from .settings import HELDOUT_COUNT, HELDOUT_SEED, TRAIN_SEED, Settings

COMMAND = "train/run.sh"
PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "pillow", "numpy")
PNG_PER_KIND = {"one": 2, "several": 2, "relation": 4}
EXTRA_SEED = HELDOUT_SEED + HELDOUT_COUNT


def demo_scenes() -> list[Scene]:
    """The first held-out scenes of each kind."""
    left = dict(PNG_PER_KIND)
    chosen = []
    for scene in heldout():
        if left[scene.kind]:
            left[scene.kind] -= 1
            chosen.append(scene)
    return chosen


def _extra_scene(kind: str, skip: int) -> Scene:
    """A scene beyond the held-out range, for the pictures of another size."""
    seeds = iter(range(EXTRA_SEED + skip, EXTRA_SEED + skip + 1_000))
    return next(s for s in map(make_scene, seeds) if s.kind == kind)


def write_images(
    model: PrefixCaptioner, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> dict[str, str]:
    """Draws the demo pictures and what the model says about the files; returns file to caption."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in demo_scenes():
        scene.image().save(folder / f"scene-{scene.seed}.png", optimize=True)
    _extra_scene("relation", 0).image(256, 192).save(folder / "wide-256x192.jpg", quality=92)
    _extra_scene("several", 500).image(160, 160).save(folder / "large-160x160.webp", quality=92)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    pixels = np.stack([preprocess(Image.open(path)) for path in files])
    said = captions(model, tokenizer, pixels)
    expected = {path.name: text for path, text in zip(files, said, strict=True)}
    text = json.dumps(expected, indent=2)
    (folder / "captions.json").write_text(text + "\n", encoding="utf-8")
    return expected


def metrics_of(trained: Trained, measured: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Everything `metrics.json` holds."""
    return {
        "heldout": {"first_seed": HELDOUT_SEED, "scenes": HELDOUT_COUNT},
        "checkpoint": "bfloat16 weights read back from disk, computed in float32, greedy",
        **measured,
        "after_stage_1_style_a": trained.base_metrics,
        "training": {
            "first_seed": TRAIN_SEED,
            "settings": asdict(settings),
            "pretrain": asdict(trained.pretrain),
            "finetune": asdict(trained.finetune),
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        },
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "command": COMMAND,
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _examples(scenes: list[Scene]) -> str:
    picked = [next(s for s in scenes if s.kind == kind) for kind in ("one", "several", "relation")]
    rows = ["| style A (base model) | style B (with the adapter) |", "| --- | --- |"]
    rows += [f"| {s.style_a()} | {s.style_b()} |" for s in picked]
    return "\n".join(rows)


def _results(metrics: dict[str, Any]) -> str:
    on, off = metrics["adapter_on"], metrics["adapter_off"]
    rows = ["| held-out scenes | number | exact, adapter on | exact, adapter off |"]
    rows += ["| --- | ---: | ---: | ---: |"]
    for kind, part in on["per_kind"].items():
        without = off["per_kind"][kind]["exact"]
        rows.append(
            f"| {kind} | {part['scenes']} | {_percent(part['exact'])} | {_percent(without)} |"
        )
    rows.append(
        f"| **all** | {on['scenes']} | **{_percent(on['exact'])}** | {_percent(off['exact'])} |"
    )
    return "\n".join(rows)


def model_card(metrics: dict[str, Any]) -> str:
    """The README of the checkpoint folder."""
    training, off = metrics["training"], metrics["adapter_off"]["styles"]
    first, second = training["pretrain"], training["finetune"]
    wall = f"{first['wall_seconds'] + second['wall_seconds']:,.0f} s"
    cpu = f"{first['cpu_seconds'] + second['cpu_seconds']:,.0f} s"
    steps = f"{first['steps']:,} + {second['steps']:,} steps"
    where = "a GPU" if training["device"] == "cuda" else "two CPU cores shared with other work"
    rank, alpha = training["settings"]["lora_rank"], training["settings"]["lora_alpha"]
    base = _percent(metrics["after_stage_1_style_a"]["exact"])
    return f"""# The demo checkpoint

A captioner of 2.7 million parameters that describes drawn 64x64 scenes. It exists to show and test
LoraPress: it has the layout, the names and the parts of a real LoRA-fine-tuned vision-language
checkpoint and is small enough to travel with the source. It knows nothing about photographs.

- **Vision**: SigLIP, hidden 128, 4 layers, 4 heads, 8x8 patches: 64 image tokens.
- **Projection**: linear, 128 to 192.
- **Decoder**: Llama, hidden 192, 4 layers, 6 heads, 2 KV heads, tied embeddings.
- **Adapter**: LoRA, rank {rank}, alpha {alpha}, on q/k/v/o of the decoder, beside the
  base weights, not merged.
- **Weights**: bfloat16, one `model.safetensors` with PEFT's names.
- **Preprocessing**: SigLIP's own (64x64, bicubic, 1/255, mean = std = 0.5); the folder holds no
  `preprocessor_config.json`, as the trainer saves none.

## What it says

Stage 1 trains everything on style A. Stage 2 freezes both towers and trains adapter and projection
on style B, so the style shows whether the adapter is in use.

{_examples(demo_scenes())}

Of two things the one whose colour comes first in the rainbow is named first.

## Measured

Exact captions, greedy, on {metrics["heldout"]["scenes"]} scenes with seeds that training never
uses; the bfloat16 file read back from disk and computed in float32.

{_results(metrics)}

Without the adapter (the trained projection stays) {_percent(off["style_a"])} of the captions
are in style A, {_percent(off["style_b"])} in style B and {_percent(off["other"])} in neither.
Stage 1 alone told {base} of the scenes exactly, in style A.

Nouns, colours, sizes and backgrounds of the held-out scenes all occur in training, and so do most
whole captions of one or several equal things; most combinations of two things do not.

Training took {steps}, {wall} by the clock and {cpu} of CPU time on
{where}. `metrics.json` has all numbers, seeds and versions.

## Files

- `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`,
  `special_tokens_map.json`: the checkpoint.
- `images/`: eight held-out scenes, one JPEG and one WebP of other sizes;
  `images/captions.json`: what the model says about each (transformers' `generate`, greedy).
- `heldout.jsonl`: seed, kind and reference captions of the held-out scenes. Draw them with
  `python -m train.scenes --heldout DIR`.

## Made by

```
{metrics["command"]}
```

Licence: Apache-2.0. The scenes are drawn by the project's own code.
"""


def write_demo(
    model: PrefixCaptioner,
    tokenizer: PreTrainedTokenizerFast,
    metrics: dict[str, Any],
    folder: Path,
) -> None:
    """Writes everything around the checkpoint."""
    write_images(model, tokenizer, folder / "images")
    write_heldout_list(folder / "heldout.jsonl")
    text = json.dumps(metrics, indent=2)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(metrics), encoding="utf-8")
