"""The checkpoint folder, exactly as the trainer of such models leaves it.

Everything lies in one safetensors file under PEFT's names, nothing is merged, and the vision tower
carries the names of transformers 4.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, PreTrainedTokenizerFast, SiglipVisionConfig

from . import tokenizer as words
from .model import PrefixCaptioner
from .settings import MAX_NEW_TOKENS, Settings

TOWER = "vision_encoder."
TOWER_SAVED = "vision_encoder.vision_model."
TIED_SUFFIX = "lm_head.weight"


def saved_name(name: str) -> str:
    """A parameter's name in the file."""
    if name.startswith(TOWER) and not name.startswith(TOWER_SAVED):
        return TOWER_SAVED + name.removeprefix(TOWER)
    return name


def _plain(config: SiglipVisionConfig | LlamaConfig) -> dict[str, Any]:
    skipped = {"_name_or_path", "architectures"}
    return {k: v for k, v in config.to_dict().items() if k not in skipped}


def config_of(model: PrefixCaptioner, settings: Settings) -> dict[str, Any]:
    """The `config.json` of a model."""
    text = _plain(model.language_model.config)
    text["rope_theta"] = text["rope_parameters"]["rope_theta"]
    return {
        "model_type": "prefix_conditioning_vlm",
        "architectures": ["PrefixConditioningVLM"],
        "projection_type": "linear",
        "mlp_hidden_dim": 2048,
        "lora_r": settings.lora_rank,
        "lora_alpha": settings.lora_alpha,
        "lora_target_modules": None,
        "max_length": MAX_NEW_TOKENS,
        "vision_config": _plain(model.vision_encoder.config),
        "text_config": text,
    }


def save(
    model: PrefixCaptioner,
    tokenizer: PreTrainedTokenizerFast,
    settings: Settings,
    folder: Path,
) -> None:
    """Writes config, weights in bfloat16 and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {
        saved_name(name): value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith(TIED_SUFFIX)
    }
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    config = json.dumps(config_of(model, settings), indent=2)
    (folder / "config.json").write_text(config + "\n", encoding="utf-8")
    words.save(tokenizer, folder)


def load(folder: Path) -> tuple[PrefixCaptioner, PreTrainedTokenizerFast]:
    """Reads a checkpoint folder back, for computing in float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vision = SiglipVisionConfig.from_dict(config["vision_config"])
    text = LlamaConfig.from_dict(config["text_config"])
    model = PrefixCaptioner(vision, text)
    model.add_lora(config["lora_r"], config["lora_alpha"])
    stored = load_file(folder / "model.safetensors")
    state = model.state_dict()
    wanted = {n: saved_name(n) for n in state if not n.endswith(TIED_SUFFIX)}
    if set(wanted.values()) != set(stored):
        raise ValueError(f"names differ: {sorted(set(wanted.values()) ^ set(stored))}")
    model.load_state_dict({n: stored[s].float() for n, s in wanted.items()}, strict=False)
    return model.eval(), words.load(folder)
