"""The shapes of the small parts that `shapes` trains from nothing."""

from __future__ import annotations

from transformers import LlamaConfig, SiglipVisionConfig


def vision_config() -> SiglipVisionConfig:
    """64x64 pixels in 8x8 patches: 64 image tokens."""
    return SiglipVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
    )


def text_config(vocabulary: int) -> LlamaConfig:
    """Four layers, grouped queries, tied embeddings."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
