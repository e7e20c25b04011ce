"""The golden checkpoints with cross attention, one row each. Seeds: `make_cross.py --search`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specs import Lora, siglip, vit


@dataclass(frozen=True)
class CrossSpec:
    """One checkpoint whose decoder attends to the encoder's states.

    kind: the model_type of config.json.
    layout: "v5" as transformers 5 saves, or "v4": names and buffers as old files have them, ids of
    special tokens in config.json and no generation_config.json.
    old_adapter: the adapter also under the names that transformers 4 gave a ViT's modules.
    wrapped: also one file with PEFT's names in it.
    position_gain: a factor on the decoder's position embeddings, without which tiny models repeat.
    stops, swap, merged: as in specs.Spec; names of `merged` are those of the file.
    """

    name: str
    seed: int
    vision: dict[str, Any]
    text: dict[str, Any]
    kind: str = "vision-encoder-decoder"
    gain: float = 10.0
    position_gain: float = 1.0
    dtype: str = "bfloat16"
    layout: str = "v5"
    lora: Lora | None = None
    old_adapter: bool = False
    wrapped: bool = False
    start: int = 0
    eos: int = 0
    pad: int = 0
    tokenizer: str = "bpe"
    tokenizer_size: int = 320
    prompts: tuple[str, ...] = ("a red circle", "two yellow stars", "a dog", "the boat is")
    stops: bool = False
    swap: int = 0
    merged: tuple[str, ...] = ()
    beams: dict[str, Any] = field(default_factory=lambda: {"num_beams": 3, "max_new_tokens": 20})

    @property
    def checkpoint(self) -> str:
        """The folder of the checkpoint, relative to the golden's folder."""
        return "base" if self.lora else "."


def deit(hidden: int, heads: int, inter: int) -> dict[str, Any]:
    """Return a small DeiT config; class and distillation token stand before the patches."""
    return siglip(hidden, heads, inter) | {"model_type": "deit"}


def gpt2(hidden: int, heads: int, **more: Any) -> dict[str, Any]:
    """Return a small GPT-2 config; the feed-forward is 4 * hidden wide unless told otherwise."""
    return {
        "model_type": "gpt2",
        "vocab_size": 320,
        "n_embd": hidden,
        "n_head": heads,
        "n_layer": 2,
        "n_positions": 64,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "add_cross_attention": True,
        "is_decoder": True,
        **more,
    }


def trocr(hidden: int, heads: int, inter: int, **more: Any) -> dict[str, Any]:
    """Return a small TrOCR decoder config with the tiny tokenizer's special tokens."""
    return {
        "model_type": "trocr",
        "vocab_size": 320,
        "d_model": hidden,
        "decoder_attention_heads": heads,
        "decoder_ffn_dim": inter,
        "decoder_layers": 2,
        "max_position_embeddings": 64,
        "decoder_start_token_id": 1,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 2,
        "is_decoder": True,
        **more,
    }


def blip_vision(hidden: int, heads: int, inter: int, **more: Any) -> dict[str, Any]:
    """Return a small config of BLIP's vision tower."""
    return siglip(hidden, heads, inter) | {"model_type": "blip_vision_model", **more}


def blip_text(hidden: int, heads: int, inter: int, **more: Any) -> dict[str, Any]:
    """Return a small config of BLIP's text decoder; as in the real one, the start token follows
    the tokenizer's last.
    """
    return {
        "model_type": "blip_text_model",
        "vocab_size": 132,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": inter,
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 130,
        "eos_token_id": 2,
        "sep_token_id": 3,
        "pad_token_id": 0,
        **more,
    }


SPECS = (
    CrossSpec(
        name="vitgpt2",
        seed=1,
        vision=vit(24, 2, 32),
        text=gpt2(48, 3, n_inner=56),
    ),
    CrossSpec(
        name="vitgpt2lora",
        seed=3,
        swap=91,
        vision=vit(32, 4, 40),
        text=gpt2(32, 2, n_layer=3, n_inner=40, bos_token_id=1, activation_function="gelu"),
        start=1,
        pad=2,
        lora=Lora(
            3,
            6,
            ("c_attn", "c_proj", "q_attn", "q_proj", "v_proj"),
            {"fan_in_fan_out": True},
        ),
        old_adapter=True,
        wrapped=True,
        stops=True,
        merged=(
            "decoder.transformer.h.0.attn.c_attn.weight",
            "decoder.transformer.h.1.crossattention.c_attn.weight",
            "decoder.transformer.h.1.crossattention.q_attn.weight",
            "decoder.transformer.h.2.mlp.c_proj.weight",
            "encoder.encoder.layer.1.attention.attention.query.weight",
        ),
    ),
    CrossSpec(
        name="deitgpt2",
        seed=4,
        vision=deit(24, 3, 36),
        text=gpt2(32, 2, n_positions=48),
        layout="v4",
    ),
    CrossSpec(
        name="siglipgpt2",
        seed=1,
        dtype="float32",
        vision=siglip(24, 2, 32, vision_use_head=False),
        text=gpt2(32, 4, n_inner=48, tie_word_embeddings=False),
    ),
    CrossSpec(
        name="trocr",
        seed=14,
        swap=198,
        gain=12.0,
        position_gain=6.0,
        vision=deit(24, 2, 32),
        text=trocr(32, 4, 40, cross_attention_hidden_size=24),
        start=1,
        pad=2,
        stops=True,
    ),
    CrossSpec(
        name="trocrsin",
        seed=2,
        vision=vit(32, 2, 40),
        text=trocr(
            32,
            2,
            48,
            activation_function="relu",
            scale_embedding=True,
            use_learned_position_embeddings=False,
            layernorm_embedding=False,
            tie_word_embeddings=False,
        ),
        start=1,
        pad=2,
        lora=Lora(2, 4, ("q_proj", "v_proj", "fc1")),
        merged=(
            "decoder.model.decoder.layers.0.encoder_attn.q_proj.weight",
            "decoder.model.decoder.layers.1.fc1.weight",
        ),
    ),
    CrossSpec(
        name="blip",
        seed=6,
        swap=97,
        gain=12.0,
        position_gain=3.0,
        kind="blip",
        vision=blip_vision(24, 3, 40),
        text=blip_text(32, 2, 48),
        start=130,
        eos=3,
        tokenizer="wordpiece",
        tokenizer_size=130,
        stops=True,
    ),
    CrossSpec(
        name="bliplora",
        seed=1,
        gain=12.0,
        position_gain=4.0,
        kind="blip",
        vision=blip_vision(32, 2, 40, hidden_act="gelu"),
        text=blip_text(48, 3, 40),
        layout="v4",
        dtype="float32",
        start=130,
        eos=3,
        tokenizer="wordpiece",
        tokenizer_size=130,
        lora=Lora(3, 6, ("query", "value", "qkv")),
        merged=(
            "text_decoder.bert.encoder.layer.0.attention.self.query.weight",
            "text_decoder.bert.encoder.layer.1.crossattention.self.value.weight",
            "vision_model.encoder.layers.0.self_attn.qkv.weight",
        ),
    ),
)
