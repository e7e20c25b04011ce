"""Makes tests/goldens/checkpoints: tiny checkpoints and what the real libraries make of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

import candidates
import loader
import tiny_tokenizer
from catalog import SPECS
from common import GOLDENS, rng_for, versions, write_json
from golden import (
    MAX_NEW_TOKENS,
    Golden,
    add_captions,
    add_merged,
    generation,
    ids_without_adapter,
    realise,
)
from layout import save_adapters, save_checkpoint, save_training_leftovers
from model import build
from specs import Spec

MIN_MARGIN = 0.002
MIN_DISTINCT = 6
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


def draw_images(size: int, name: str) -> list[Image.Image]:
    """Return noise, a drawn scene and a gradient with a checkerboard, at the model's size."""
    rng = rng_for("images", name)
    noise = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), "RGB")
    scene = Image.new("RGB", (size, size), (90, 150, 230))
    pen = ImageDraw.Draw(scene)
    pen.rectangle((0, size * 2 // 3, size, size), fill=(40, 140, 50))
    pen.ellipse((size // 8, size // 4, size // 2, size * 3 // 4), fill=(220, 30, 40))
    pen.polygon([(size - 4, 3), (size - 12, 14), (size - 2, 12)], fill=(250, 230, 20))
    y, x = np.mgrid[0:size, 0:size]
    checker = ((x // 4 + y // 4) % 2) * 90
    planes = [x * 255 // size, y * 160 // size + checker, 255 - (x + y) * 127 // size]
    return [noise, scene, Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))]


def processor(spec: Spec) -> Any:
    """Return the encoder family's own image processor at the model's size."""
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    size = {"height": spec.image_side, "width": spec.image_side}
    cut = {"size": {"shortest_edge": spec.edge}, "crop_size": size}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "siglip_vision_model": (SiglipImageProcessorPil, {"size": size}),
        "vit": (ViTImageProcessorPil, {"size": size}),
        "clip_vision_model": (CLIPImageProcessorPil, cut),
        "dinov2": (BitImageProcessorPil, cut),
        "dinov2_with_registers": (BitImageProcessorPil, cut),
    }
    made, options = kinds[spec.vision["model_type"]]
    if spec.vision["model_type"].startswith("dinov2"):
        options = options | {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
    return made(**options)


def problems(document: dict[str, Any], spec: Spec) -> list[str]:
    """Say why a golden would be a weak test: ties, repetition, parts without effect."""
    found = []
    for case in document["cases"]:
        for caption in case["captions"]:
            if caption["min_margin"] < MIN_MARGIN:
                found.append(f"{case['name']}: margin {caption['min_margin']}")
        distinct = sorted(len(set(c["ids"])) for c in case["captions"])
        if distinct[0] < 2 or distinct[1] < MIN_DISTINCT:
            found.append(f"{case['name']}: too few distinct tokens {distinct}")
        for part in [case["prompt"], *case["variants"]]:
            if part["min_margin"] < MIN_MARGIN:
                found.append(f"{case['name']}: margin {part['min_margin']} in {list(part)[:2]}")
        pad = document["pad_token_id"]
        for image, ids in zip(case["batch"]["images"], case["batch"]["ids"], strict=True):
            alone = case["captions"][image]["ids"]
            if ids != alone + [pad] * (len(ids) - len(alone)):
                found.append(f"{case['name']}: image {image} differs in a batch")
        rows = {tuple(c["ids"]) for c in case["captions"]}
        if len(rows) < 3:
            found.append(f"{case['name']}: two images give one caption")
        if case.get("without_adapter") == case["captions"][0]["ids"]:
            found.append(f"{case['name']}: the adapter changes nothing")
        for beams in case["beams"]:
            if not all(row["robust"] for row in beams["results"]):
                found.append(f"{case['name']}: {beams['options']} is near a tie")
    lengths = [len(c["ids"]) for c in document["cases"][0]["captions"][:2]]
    if spec.stops and not 4 <= min(lengths) < max(lengths) == MAX_NEW_TOKENS:
        found.append(f"no end token in one of two captions: lengths {lengths}")
    every = [tuple(c["captions"][0]["ids"]) for c in document["cases"]]
    if len(set(every)) < len(every):
        found.append("two cases give the same caption")
    return found


def header(spec: Spec, images: list[str]) -> dict[str, Any]:
    """Return the part of golden.json that holds for all cases."""
    config = generation(spec)
    return {
        "format": 1,
        "name": spec.name,
        "seed": spec.seed,
        "gain": spec.gain,
        "versions": versions(),
        "checkpoint": spec.checkpoint,
        "dtype": spec.dtype,
        "adapter_dtype": spec.adapter_dtype or spec.dtype,
        "merge_dtype": "float32",
        "image_size": spec.image_side,
        "vocab_size": spec.text["vocab_size"],
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "max_new_tokens": MAX_NEW_TOKENS,
        "images": images,
    }


def make(spec: Spec, folder: Path) -> Golden:
    """Write one checkpoint and its golden folder; return the golden."""
    from transformers import AutoTokenizer

    vlm = build(spec)
    checkpoint = folder / spec.checkpoint
    save_checkpoint(vlm, spec, checkpoint)
    save_adapters(vlm, spec, folder)
    tiny_tokenizer.save(tiny_tokenizer.train(spec.tokenizer_size), checkpoint, spec.eos, spec.pad)
    if spec.edge:
        processor(spec).save_pretrained(checkpoint)
    if spec.name_prefix:
        save_training_leftovers(checkpoint)
    out = folder / "golden"
    out.mkdir(parents=True, exist_ok=True)
    pictures = draw_images(spec.image_side, spec.name)
    names = [f"image{i}.png" for i in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        picture.save(out / name)
    golden = Golden(header(spec, names))
    pixels = processor(spec)(images=pictures, return_tensors="pt")["pixel_values"]
    golden.tensors["pixel_values"] = pixels
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    if spec.text["model_type"] != "gpt2":
        vlm = loader.load(checkpoint, spec)
    cases = []
    for case in spec.cases:
        made = realise(vlm, case, folder, torch.float32)
        part: dict[str, Any] = {
            "name": case.name,
            "adapters": [{"path": path, "weight": weight} for path, weight in case.adapters],
        }
        part.update(add_captions(golden, made, spec, case, tokenizer))
        if case.adapters or spec.lora or spec.vision_lora:
            part["without_adapter"] = ids_without_adapter(made, pixels, spec)
            part["merged"] = list(spec.merged)
            add_merged(golden, vlm, spec, case, folder)
        cases.append(part)
    golden.document["prefix_shape"] = list(golden.tensors["prefix"].shape)
    golden.document["cases"] = cases
    write_json(out / "golden.json", golden.document)
    save_file({k: v.contiguous() for k, v in golden.tensors.items()}, out / "golden.safetensors")
    if golden.merged:
        save_file(golden.merged, out / "merged.safetensors")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return golden


if __name__ == "__main__":
    sys.exit(
        candidates.run(
            SPECS,
            GOLDENS / "checkpoints",
            lambda spec, folder: make(spec, folder).document,
            problems,
        )
    )
