"""`python -m train.selfcheck`: tries the whole chain in about a minute, exits with 1 on failure."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from . import checkpoint
from .evaluate import captions, style_of
from .loop import to_pixels
from .model import LORA_MODULES
from .pipeline import Trained, train
from .scenes import KINDS, SIDE, make_scene, scenes
from .settings import CHECK_SEED, HELDOUT_COUNT, HELDOUT_SEED, TRAIN_SEED, Settings, Stage, smoke

KNOWN = {
    0: (
        "a big pink heart below a small brown ring on a sky background",
        "Sky all around! Look, a heart, huge and pink, waits below a ring, tiny and brown.",
    ),
    3: (
        "three small orange trees on a mint background",
        "Mint all around! Look, three trees, tiny and orange.",
    ),
}
LAYER = "language_model.base_model.model.model.layers.0.self_attn."
WANTED_NAMES = (
    LAYER + "q_proj.base_layer.weight",
    LAYER + "q_proj.lora_A.default.weight",
    LAYER + "o_proj.lora_B.default.weight",
    "language_model.base_model.model.model.embed_tokens.weight",
    "language_model.base_model.model.model.norm.weight",
    "projection.projection.weight",
    "projection.projection.bias",
    "vision_encoder.vision_model.embeddings.patch_embedding.weight",
    "vision_encoder.vision_model.encoder.layers.3.mlp.fc2.bias",
    "vision_encoder.vision_model.post_layernorm.weight",
    "vision_encoder.vision_model.head.probe",
)


def check(condition: bool, what: str) -> None:
    """Prints one line, ends the program if the condition does not hold."""
    print(f"{'ok    ' if condition else 'FAILED'} {what}", flush=True)
    if not condition:
        sys.exit(1)


def check_scenes(settings: Settings) -> None:
    """Scenes follow from their seeds and tell what they show."""
    for seed, (style_a, style_b) in KNOWN.items():
        scene = make_scene(seed)
        check(scene.style_a() == style_a and scene.style_b() == style_b, f"captions of seed {seed}")
    once, again = (
        hashlib.sha256(b"".join(s.image().tobytes() for s in scenes(CHECK_SEED, 50))).hexdigest()
        for _ in range(2)
    )
    check(once == again, "the same seeds draw the same pixels")
    sample = scenes(CHECK_SEED, 500)
    check({s.kind for s in sample} == set(KINDS), "every kind of scene occurs")
    styled = [(style_of(s.style_a()), style_of(s.style_b())) for s in sample]
    check(set(styled) == {("style_a", "style_b")}, "both styles are recognised")
    check(
        TRAIN_SEED + settings.scenes <= HELDOUT_SEED and HELDOUT_SEED + HELDOUT_COUNT <= CHECK_SEED,
        "training and held-out seeds are disjoint",
    )


def check_folder(trained: Trained, folder: Path) -> None:
    """The saved folder has the trainer's layout and reads back as the same model."""
    stored = load_file(folder / "model.safetensors")
    check(all(name in stored for name in WANTED_NAMES), "the trainer's names")
    check(not any("lm_head" in name for name in stored), "the tied head is absent")
    check(all(t.dtype == torch.bfloat16 for t in stored.values()), "every tensor is bfloat16")
    adapted = [n for n in stored if ".lora_A.default." in n]
    check(len(adapted) == 4 * len(LORA_MODULES), "every attention projection has its LoRA")
    moved = [n for n in stored if ".lora_B.default." in n and stored[n].abs().max() > 0]
    check(len(moved) == len(adapted), "every LoRA has learned something")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check(config["model_type"] == "prefix_conditioning_vlm", "config.json")
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    check(bool(merges) and all(isinstance(m, str) for m in merges), "merges are strings")

    model, tokenizer = checkpoint.load(folder)
    images = np.stack([np.asarray(s.image()) for s in scenes(CHECK_SEED, 8)])
    rounded = trained.model.to(torch.bfloat16).float()
    with torch.no_grad():
        before = rounded.prefix(to_pixels(images))
        after = model.prefix(to_pixels(images))
    check(torch.equal(before, after), "the projected image tokens survive saving")
    said = captions(model, tokenizer, images)
    check(said == captions(rounded, trained.tokenizer, images), "the captions survive saving")
    text = make_scene(0).style_b()
    ids = tokenizer(text)["input_ids"]
    check(tokenizer.decode(ids) == text, "the tokenizer gives the text back")
    check(tokenizer.eos_token_id == 0, "the end token is id 0")
    check(images.shape[1:] == (SIDE, SIDE, 3) and len(said) == 8, "captions of a batch")


def main() -> None:
    """Runs every check."""
    settings = replace(
        smoke(),
        scenes=1_000,
        batch=16,
        finetune=Stage(steps=10, learning_rate=2e-3, warmup=2, weight_decay=0.0),
    )
    check_scenes(Settings())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained = train(settings, folder / "work", measured=False)
        check(trained.pretrain.steps == 30 and trained.finetune.steps == 10, "both stages ran")
        checkpoint.save(trained.model, trained.tokenizer, settings, folder / "out")
        check_folder(trained, folder / "out")
        again = train(settings, folder / "work", measured=False)
        check(again.pretrain == trained.pretrain, "a finished run is not trained again")
    print("all well")


if __name__ == "__main__":
    main()
