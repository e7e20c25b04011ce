"""The checkpoint folder, as the trainer leaves it: everything in one file, nothing merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import TrainError
from .families import DECODERS, UNSAID_TARGETS
from .model import PrefixConditioningVLM, Projection, lora_config
from .names import HEAD, TOWER, tower_names
from .parts import OWN, Parts

WEIGHTS = "model.safetensors"
MLP_HIDDEN = 2048


def _plain(config: Any) -> dict[str, Any]:
    skipped = {"_name_or_path", "architectures"}
    plain = {k: v for k, v in config.to_dict().items() if k not in skipped}
    rope = plain.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:  # where readers before transformers 5 look
        plain["rope_theta"] = rope["rope_theta"]
    return plain


def build(parts: Parts, settings: Any) -> PrefixConditioningVLM:
    """A model of these parts with a new projection and a new adapter."""
    projection = Projection(
        settings.projection,
        parts.vision.config.hidden_size,
        parts.text.config.hidden_size,
        MLP_HIDDEN,
    )
    lora = lora_config(
        parts.text.config.model_type, settings.lora_rank, settings.lora_alpha, settings.lora_dropout
    )
    return PrefixConditioningVLM(parts.row, parts.vision, parts.text, projection, lora)


def config_of(model: PrefixConditioningVLM, settings: Any) -> dict[str, Any]:
    """The `config.json` of a model."""
    text = model.language_model.config
    targets = DECODERS[text.model_type]
    return {
        "model_type": OWN,
        "architectures": ["PrefixConditioningVLM"],
        "projection_type": settings.projection,
        "mlp_hidden_dim": MLP_HIDDEN,
        "freeze_vision_encoder": True,
        "vision_unfreeze_layers": settings.unfreeze,
        "lora_r": settings.lora_rank,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "lora_target_modules": None if targets in UNSAID_TARGETS else list(targets),
        "max_length": settings.max_length,
        "vision_config": _plain(model.vision_encoder.config),
        "text_config": _plain(text),
    }


def saved_names(model: PrefixConditioningVLM) -> dict[str, str]:
    """Parameters of the model and their names in the file; a tied head is not in it."""
    tied = model.language_model.config.tie_word_embeddings
    names = {n: n for n in model.state_dict() if not (tied and n.endswith(HEAD))}
    for name, saved in tower_names(model.vision_encoder, model.row).items():
        names[TOWER + name] = TOWER + saved
    return names


def save(model: PrefixConditioningVLM, parts: Parts, settings: Any, folder: Path) -> None:
    """Writes config, weights in float32, tokenizer and preprocessing into an existing folder."""
    state = model.state_dict()
    tensors: dict[str, Tensor] = {
        saved: state[name].detach().to("cpu").contiguous().clone()
        for name, saved in saved_names(model).items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)
    config = json.dumps(config_of(model, settings), indent=2)
    (folder / "config.json").write_text(config + "\n", encoding="utf-8")
    parts.save_tokenizer(folder)
    parts.preprocessing.save(folder)


def load(model: PrefixConditioningVLM, folder: Path) -> None:
    """Puts a checkpoint's values, adapter and projection included, into a model of its kind."""
    stored = load_file(folder / WEIGHTS)
    names = saved_names(model)
    if set(names.values()) != set(stored):
        differing = sorted(set(names.values()) ^ set(stored))
        raise TrainError(
            f"{folder / WEIGHTS}: {len(differing)} names differ from the model's, "
            f"the first: {differing[0]}"
        )
    state = model.state_dict()
    with torch.no_grad():
        for name, saved in names.items():
            if state[name].shape != stored[saved].shape:
                raise TrainError(
                    f"{folder / WEIGHTS}: {saved} is {tuple(stored[saved].shape)}, "
                    f"expected {tuple(state[name].shape)}"
                )
            state[name].copy_(stored[saved].to(state[name].dtype))
