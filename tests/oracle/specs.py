"""What a golden checkpoint is described by: shapes, adapters, layout, seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
DEFAULT_TARGETS = {"gpt2": ("c_attn", "c_proj")}  # QKVO of all others


@dataclass(frozen=True)
class Lora:
    """One adapter: rank, alpha, targets, and further LoraConfig fields."""

    r: int
    alpha: float
    targets: tuple[str, ...] = QKVO
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Which adapter folders are merged with which weights; none = the checkpoint as it is."""

    name: str
    adapters: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Spec:
    """One golden checkpoint.

    layout: "v5" (names and config as transformers 5 writes them) or "v4" (`vision_model.` in the
    vision names, rope_theta and rope_scaling in text_config, torch_dtype).
    stops: a seed counts as good only if image 0 or 1 reaches the end token and the other goes on.
    pixels: the side of pixel_values, where it is not the vision config's image_size.
    edge: shortest_edge of the image processor, which then cuts out the middle; a
    preprocessor_config.json is saved.
    swap: the vocabulary row that trades places with the end token's, so that some caption ends.
    """

    name: str
    seed: int
    vision: dict[str, Any]
    text: dict[str, Any]
    gain: float = 8.0
    dtype: str = "float32"
    adapter_dtype: str = ""
    projection: str = "linear"
    mlp_hidden: int = 2048
    layout: str = "v5"
    lora: Lora | None = None
    vision_lora: Lora | None = None
    adapters: dict[str, Lora] = field(default_factory=dict)
    cases: tuple[Case, ...] = (Case("default"),)
    eos: int = 0
    pad: int | None = 0
    tokenizer_size: int = 320
    max_shard: int = 0
    name_prefix: str = ""
    keep_lm_head: bool = False
    merged: tuple[str, ...] = ()
    beams: tuple[dict[str, Any], ...] = ({"num_beams": 3, "max_new_tokens": 30},)
    variants: tuple[tuple[int, dict[str, Any]], ...] = ()
    stops: bool = False
    swap: int = 0
    pixels: int = 0
    edge: int = 0

    @property
    def image_side(self) -> int:
        """The side of the images that the encoder sees."""
        return self.pixels or self.vision["image_size"]

    @property
    def folder_adapters(self) -> bool:
        """Whether the checkpoint is a plain base/ folder with PEFT folders beside it."""
        return bool(self.adapters)

    @property
    def checkpoint(self) -> str:
        """The folder of the checkpoint, relative to the golden's folder."""
        return "base" if self.folder_adapters else "."


def siglip(hidden: int, heads: int, inter: int, image: int = 32, **more: Any) -> dict[str, Any]:
    """Return a small SigLIP vision config."""
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": inter,
        "num_hidden_layers": 2,
        "image_size": image,
        "patch_size": 8,
        **more,
    }


def llama(hidden: int, heads: int, kv: int, inter: int, **more: Any) -> dict[str, Any]:
    """Return a small Llama config; tied unless told otherwise."""
    return {
        "model_type": "llama",
        "vocab_size": 320,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inter,
        "num_hidden_layers": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 0,
        **more,
    }


def qwen2(hidden: int, heads: int, kv: int, inter: int, **more: Any) -> dict[str, Any]:
    """Return a small Qwen2 config: a Llama whose queries, keys and values have biases."""
    return llama(hidden, heads, kv, inter) | {"model_type": "qwen2", "rms_norm_eps": 1e-6, **more}


def like_llama(
    model_type: str, hidden: int, heads: int, kv: int, inter: int, **more: Any
) -> dict[str, Any]:
    """Return a small config of a model that is a Llama but for what `more` says."""
    return llama(hidden, heads, kv, inter) | {"model_type": model_type, **more}


def vit(hidden: int, heads: int, inter: int, image: int = 32) -> dict[str, Any]:
    """Return a small ViT config; its class token makes the prefix one longer."""
    return siglip(hidden, heads, inter, image) | {"model_type": "vit"}


def clip(hidden: int, heads: int, inter: int, image: int = 32, **more: Any) -> dict[str, Any]:
    """Return a small CLIP vision config; quick_gelu unless told otherwise."""
    return siglip(hidden, heads, inter, image) | {"model_type": "clip_vision_model", **more}


def dinov2(hidden: int, heads: int, image: int, **more: Any) -> dict[str, Any]:
    """Return a small DINOv2 config, trained at `image` pixels."""
    config = siglip(hidden, heads, 0, image) | {"model_type": "dinov2", "mlp_ratio": 2, **more}
    del config["intermediate_size"]
    return config


def gpt2(hidden: int, heads: int, inter: int) -> dict[str, Any]:
    """Return a small GPT-2 config."""
    return {
        "model_type": "gpt2",
        "vocab_size": 320,
        "n_embd": hidden,
        "n_head": heads,
        "n_inner": inter,
        "n_layer": 2,
        "n_positions": 128,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.25, 1.5, 2.0, 2.75, 4.0],
    "long_factor": [1.5, 2.5, 4.0, 8.0, 12.0, 16.0],
}

EVERYTHING = {
    "bias": "lora_only",
    "modules_to_save": ["lm_head", "model.norm"],
}

ATTN = "language_model.model.layers.{}.self_attn.{}_proj.weight"
MLP = "language_model.model.layers.{}.mlp.{}_proj.weight"
