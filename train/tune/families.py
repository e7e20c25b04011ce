"""The encoders and decoders that can be trained: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTModel,
)

BILINEAR, BICUBIC = 2, 3  # PIL.Image.Resampling


@dataclass(frozen=True)
class Encoder:
    """A vision tower: its classes, where its layers are, its preprocessing without a file."""

    model_type: str
    config: type[PreTrainedConfig]
    model: type[PreTrainedModel]
    outer: str | None  # model_type of a folder that has the tower as `vision_config`
    layers: str
    processor: str
    resample: int


ENCODERS = (
    Encoder(
        "siglip_vision_model",
        SiglipVisionConfig,
        SiglipVisionModel,
        "siglip",
        "encoder.layers",
        "SiglipImageProcessor",
        BICUBIC,
    ),
    Encoder("vit", ViTConfig, ViTModel, None, "layers", "ViTImageProcessor", BILINEAR),
)

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")

# model_type to the linear layers that get a LoRA, those of the trainer.
DECODERS: dict[str, tuple[str, ...]] = {
    "llama": QKVO,
    "mistral": QKVO,
    "qwen2": QKVO,
    "qwen3": QKVO,
    "smollm3": QKVO,
    "phi3": ("qkv_proj", "o_proj"),
    "gpt2": ("c_attn", "c_proj"),
    "opt": ("q_proj", "v_proj"),
}

# What `lora_target_modules: null` in config.json stands for.
UNSAID_TARGETS = {QKVO, DECODERS["gpt2"]}
