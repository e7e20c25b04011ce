"""Reads a checkpoint folder back into the real libraries' modules, as its owner would."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from peft import get_peft_model
from safetensors.torch import load_file

from common import read_json
from model import (
    PrefixConditioningVLM,
    PrefixConfig,
    Projection,
    lora_config,
    text_model,
    vision_model,
)
from specs import Spec

# What files call the modules of ViT and DINOv2, and what transformers 5 calls them.
MODULES = {
    r"\.attention\.attention\.(query|key|value)\.": lambda m: f".attention.{m[1][0]}_proj.",
    r"\.attention\.output\.dense\.": ".attention.o_proj.",
    r"\.intermediate\.dense\.": ".mlp.fc1.",
    r"\.output\.dense\.": ".mlp.fc2.",
}


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a folder's weight files, whatever the sharding."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(str(path)))
    return tensors


def new_name(name: str, kind: str = "") -> str:
    """Return a tensor's name without wrapper prefixes, in the transformers 5 spelling."""
    name = re.sub(r"^module\.", "", name)
    name = re.sub(r"^(vision_encoder\..*?)vision_model\.", r"\1", name)
    if not name.startswith("vision_encoder."):
        return name
    for old, new in MODULES.items():
        name = re.sub(old, new, name)
    return name.replace("encoder.layer.", "layers.") if kind == "vit" else name


def load(folder: Path, spec: Spec) -> PrefixConditioningVLM:
    """Build the modules from config.json alone, wrap them as the spec says, load strictly."""
    config = read_json(folder / "config.json")
    vision, text = vision_model(config["vision_config"]), text_model(config["text_config"])
    tied = text.config.tie_word_embeddings
    head = Projection(
        config["projection_type"],
        vision.config.hidden_size,
        text.config.hidden_size,
        config["mlp_hidden_dim"],
    )
    if spec.vision_lora:
        vision = get_peft_model(vision, lora_config(spec.vision_lora))
    if spec.lora:
        text = get_peft_model(text, lora_config(spec.lora, task_type="CAUSAL_LM"))
    vlm = PrefixConditioningVLM(PrefixConfig(), vision, head, text).eval()
    kind = spec.vision["model_type"]
    state = {new_name(k, kind): v.float() for k, v in read_tensors(folder).items()}
    missing, unknown = vlm.load_state_dict(state, strict=False)
    allowed = ("lm_head.", "embed_tokens.") if tied else ()
    missing = [name for name in missing if not any(part in name for part in allowed)]
    if missing or unknown:
        raise ValueError(f"{folder}: missing {missing}, unknown {unknown}")
    return vlm
