"""`python -m train.demo RUN BASE`: the demo checkpoint's folder from two trainings (train/run.sh):
weights in bfloat16, pictures, expected captions, metrics, model card.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .data.collect import Picture
from .evaluate import captions, load, measure, measure_base
from .scenes import Scene, heldout, make_scene, write_heldout_list
from .settings import DEMO_DIR, HELDOUT_COUNT, HELDOUT_SEED, TRAIN_SEED
from .tune.prefix import PrefixTask
from .tune.run import BEST, REPORT

COMMAND = "make train-demo"
WEIGHTS = "model.safetensors"
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


def write_checkpoint(best: Path, folder: Path) -> None:
    """In bfloat16; preprocessing is SigLIP's own, for which there is no file."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = load_file(best / WEIGHTS)
    save_file({n: t.bfloat16() for n, t in stored.items()}, folder / WEIGHTS, {"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)
    for name in (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ):
        shutil.copyfile(best / name, folder / name)


def write_images(task: PrefixTask, folder: Path) -> None:
    """Draws the demo pictures and keeps what the model says about the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in demo_scenes():
        scene.image().save(folder / f"scene-{scene.seed}.png", optimize=True)
    _extra_scene("relation", 0).image(256, 192).save(folder / "wide-256x192.jpg", quality=92)
    _extra_scene("several", 500).image(160, 160).save(folder / "large-160x160.webp", quality=92)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    said = captions(task, [Picture(path.name, (), path) for path in files])
    expected = {path.name: text for path, text in zip(files, said, strict=True)}
    text = json.dumps(expected, indent=2)
    (folder / "captions.json").write_text(text + "\n", encoding="utf-8")


def stage(run: Path) -> dict[str, Any]:
    """What a training was made with, and how many steps its best checkpoint has."""
    report = json.loads((run / REPORT).read_text(encoding="utf-8"))
    return {"steps": report["step"], "settings": json.loads((run / "run.json").read_text("utf-8"))}


def metrics_of(run: Path, base: Path, told: list[Scene], task: PrefixTask) -> dict[str, Any]:
    """Everything `metrics.json` holds."""
    return {
        "heldout": {"first_seed": HELDOUT_SEED, "scenes": len(told)},
        "checkpoint": "bfloat16 weights read back from disk, computed in float32, greedy",
        **measure(task, told),
        "after_stage_1_style_a": measure_base(load(base / BEST), told),
        "training": {
            "first_seed": TRAIN_SEED,
            "pretrain": stage(base),
            "finetune": stage(run),
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
    steps = f"{training['pretrain']['steps']:,} + {training['finetune']['steps']:,} steps"
    settings = training["finetune"]["settings"]
    rank, alpha = settings["lora_rank"], settings["lora_alpha"]
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

Training took {steps}. `metrics.json` has all numbers, seeds and versions.

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


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m train.demo", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the training in style B")
    parser.add_argument("base", type=Path, help="folder of the training in style A")
    parser.add_argument("--out", type=Path, default=DEMO_DIR, help="checkpoint folder to write")
    parser.add_argument("--heldout", type=int, default=HELDOUT_COUNT, help="scenes to measure")
    arguments = parser.parse_args(given)
    out = arguments.out
    write_checkpoint(arguments.run / BEST, out)
    task, told = load(out), heldout()[: arguments.heldout]
    metrics = metrics_of(arguments.run, arguments.base, told, task)
    write_images(task, out / "images")
    write_heldout_list(out / "heldout.jsonl")
    text = json.dumps(metrics, indent=2)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (out / "README.md").write_text(model_card(metrics), encoding="utf-8")
    print(f"exact with the adapter: {metrics['adapter_on']['exact']:.1%}")
    print(f"exact without:          {metrics['adapter_off']['exact']:.1%}")
    print(f"written: {out}")


if __name__ == "__main__":
    main()
