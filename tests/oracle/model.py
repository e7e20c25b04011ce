"""The vision-language model as trainers build it, from transformers and PEFT modules alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig
from transformers import PreTrainedModel as HubModel

from common import rng_for
from specs import DEFAULT_TARGETS, QKVO, Lora, Spec

LORA_GAIN = 0.15


class PrefixConfig(PreTrainedConfig):
    """config.json of a prefix-conditioning checkpoint."""

    model_type = "prefix_conditioning_vlm"

    def __init__(self, **fields: Any) -> None:
        """Keep every field as it is given; the sub-configs stay dictionaries."""
        own = {k: fields.pop(k) for k in list(fields) if k in CONFIG_FIELDS}
        super().__init__(**fields)
        for key, value in own.items():
            setattr(self, key, value)


CONFIG_FIELDS = (
    "vision_config",
    "text_config",
    "projection_dim",
    "projection_type",
    "mlp_hidden_dim",
    "freeze_vision_encoder",
    "vision_unfreeze_layers",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
)


class Projection(nn.Module):
    """Vision features to decoder embeddings, inside a module called `projection` once more."""

    def __init__(self, kind: str, vision_dim: int, text_dim: int, hidden: int) -> None:
        super().__init__()
        self.projection: nn.Module
        if kind == "linear":
            self.projection = nn.Linear(vision_dim, text_dim)
        else:
            first, last = nn.Linear(vision_dim, hidden), nn.Linear(hidden, text_dim)
            self.projection = nn.Sequential(first, nn.GELU(), nn.Dropout(0.1), last)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project [batch, tokens, vision] to [batch, tokens, text]."""
        return self.projection(features)


class PrefixConditioningVLM(HubModel):
    """SigLIP-type encoder, projection, causal decoder with adapters."""

    config_class = PrefixConfig

    def __init__(self, config: PrefixConfig, vision: nn.Module, head: nn.Module, text: nn.Module):
        super().__init__(config)
        self.vision_encoder = vision
        self.projection = head
        self.language_model = text

    def vision_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the encoder's last hidden state [batch, tokens, vision]."""
        return self.vision_encoder(pixel_values).last_hidden_state

    def prefix(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the projected image tokens [batch, tokens, text]."""
        return self.projection(self.vision_features(pixel_values))


def lora_config(lora: Lora, **more: Any) -> LoraConfig:
    """Return the LoraConfig of one adapter."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=list(lora.targets),
        lora_dropout=0.0,
        **{**lora.options, **more},
    )


def _new_values(name: str, shape: tuple[int, ...], gain: float, rng: np.random.Generator) -> Any:
    noise = rng.standard_normal(shape).astype(np.float32)
    if "lora_" in name:
        return LORA_GAIN * noise
    if "lambda" in name:
        return 0.7 + 0.2 * noise
    if re.search(r"norm\d?\.|ln_\w\.|layernorm", name):
        return 0.1 * noise + (1.0 if name.endswith(".weight") else 0.0)
    return 0.02 * gain * noise


@torch.no_grad()
def randomize(module: nn.Module, gain: float, seed: tuple[object, ...], only: str = "") -> None:
    """Give every parameter (or those whose name contains `only`) seeded random values."""
    for name, parameter in module.named_parameters():
        if (only and only not in name) or "lora_magnitude_vector" in name:
            continue
        values = _new_values(name, tuple(parameter.shape), gain, rng_for(*seed, name))
        parameter.copy_(torch.from_numpy(np.asarray(values)).to(parameter.dtype))


@torch.no_grad()
def randomize_magnitudes(module: nn.Module, seed: tuple[object, ...]) -> None:
    """Set DoRA magnitudes near the norms of the base weights, as training leaves them."""
    for name, layer in module.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        for adapter, dora in layer.lora_magnitude_vector.items():
            weight = layer.get_base_layer().weight
            weight = weight.T if getattr(layer, "fan_in_fan_out", False) else weight
            noise = rng_for(*seed, name, adapter).standard_normal(tuple(dora.weight.shape))
            factor = torch.from_numpy(1.0 + 0.2 * noise.astype(np.float32))
            norm = torch.linalg.norm(weight, dim=1) if dora.weight.ndim == 1 else dora.weight
            dora.weight.copy_(norm * factor)


@torch.no_grad()
def round_to(module: nn.Module, dtype: torch.dtype, adapter_dtype: torch.dtype) -> None:
    """Round the parameters to what a file of these dtypes can hold, keeping float32 storage."""
    for name, parameter in module.named_parameters():
        kind = adapter_dtype if "lora_" in name else dtype
        parameter.copy_(parameter.to(kind).to(parameter.dtype))


def text_model(config: dict[str, Any]) -> HubModel:
    """Build a decoder from its config dictionary."""
    fields = dict(config)
    made = AutoConfig.for_model(fields.pop("model_type"), **fields)
    return AutoModelForCausalLM.from_config(made, attn_implementation="eager")


def vision_model(config: dict[str, Any]) -> HubModel:
    """Build an encoder from its config dictionary."""
    fields = dict(config)
    made = AutoConfig.for_model(fields.pop("model_type"), **fields)
    return AutoModel.from_config(made, attn_implementation="eager")


def checkpoint_config(spec: Spec, vision: HubModel, text: HubModel) -> PrefixConfig:
    """Return config.json's object with the fields a trainer writes."""
    lora = spec.lora or Lora(16, 16)
    default = DEFAULT_TARGETS.get(spec.text["model_type"], QKVO)
    targets = None if lora.targets == default else list(lora.targets)
    return PrefixConfig(
        vision_config=vision.config.to_dict(),
        text_config=text.config.to_dict(),
        projection_dim=512,
        projection_type=spec.projection,
        mlp_hidden_dim=spec.mlp_hidden,
        freeze_vision_encoder=True,
        vision_unfreeze_layers=0,
        lora_r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=0.1,
        lora_target_modules=targets,
    )


def build(spec: Spec) -> PrefixConditioningVLM:
    """Build the seeded model in float32, with its own adapters, its values as a file holds them."""
    vision, text = vision_model(spec.vision), text_model(spec.text)
    config = checkpoint_config(spec, vision, text)
    head = Projection(
        spec.projection, vision.config.hidden_size, text.config.hidden_size, spec.mlp_hidden
    )
    seed = (spec.name, spec.seed)
    for part, label in ((vision, "vision"), (head, "projection"), (text, "text")):
        randomize(part, spec.gain, (*seed, label))
    swap_rows(text, spec)
    if spec.vision_lora:
        vision = get_peft_model(vision, lora_config(spec.vision_lora))
    if spec.lora:
        text = get_peft_model(text, lora_config(spec.lora, task_type="CAUSAL_LM"))
    for part, label in ((vision, "vision"), (text, "text")):
        if isinstance(part, PeftModel):
            perturb_adapter(part, spec, (*seed, label))
    vlm = PrefixConditioningVLM(config, vision, head, text).eval()
    dtype = getattr(torch, spec.dtype)
    round_to(vlm, dtype, getattr(torch, spec.adapter_dtype or spec.dtype))
    return vlm


@torch.no_grad()
def swap_rows(text: HubModel, spec: Spec) -> None:
    """Relabel the vocabulary: the end token and `spec.swap` trade embedding and output rows."""
    if not spec.swap:
        return
    pair = torch.tensor([spec.eos, spec.swap])
    tables = {id(m.weight): m.weight for m in (text.get_input_embeddings(), text.lm_head)}
    for table in tables.values():
        table[pair] = table[pair.flip(0)]


def perturb_adapter(model: PeftModel, spec: Spec, seed: tuple[object, ...]) -> None:
    """Give the adapter's factors, saved modules, biases and magnitudes values of a trained one."""
    randomize(model, spec.gain, (*seed, "factors"), only="lora_")
    randomize(model, spec.gain, (*seed, "saved"), only="modules_to_save")
    if any(config.bias != "none" for config in model.peft_config.values()):
        randomize(model, spec.gain, (*seed, "bias"), only="base_layer.bias")
    randomize_magnitudes(model, (*seed, "magnitude"))
