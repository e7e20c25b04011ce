"""The captioner: a SigLIP tower, a linear projection and a Llama decoder behind image tokens.

The picture becomes a prefix of 64 embeddings. No text and no start token follow: the first word is
predicted at the last image position.
"""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, SiglipVisionConfig, SiglipVisionModel

from .settings import MAX_NEW_TOKENS

IGNORED = -100
LORA_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]


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


class Projection(nn.Module):
    """Vision width to text width."""

    def __init__(self, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(vision_width, text_width)

    def forward(self, features: Tensor) -> Tensor:
        return self.projection(features)


class PrefixCaptioner(nn.Module):
    """Image tokens in, caption out. Attribute names are the names in the checkpoint."""

    def __init__(self, vision: SiglipVisionConfig, text: LlamaConfig) -> None:
        super().__init__()
        # On a CPU written-out attention with bf16 autocast is far faster than the fused kernel.
        vision._attn_implementation = "eager"
        text._attn_implementation = "eager"
        self.vision_encoder = SiglipVisionModel(vision)
        self.projection = Projection(vision.hidden_size, text.hidden_size)
        self.language_model: nn.Module = LlamaForCausalLM(text)
        self.image_tokens = (vision.image_size // vision.patch_size) ** 2
        self.text_width = text.hidden_size

    def add_lora(self, rank: int, alpha: int) -> None:
        """Freezes both towers and wraps the decoder's attention projections with PEFT."""
        self.requires_grad_(False)
        config = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=LORA_MODULES, task_type="CAUSAL_LM"
        )
        self.language_model = get_peft_model(self.language_model, config)
        self.projection.requires_grad_(True)

    def prefix(self, pixels: Tensor) -> Tensor:
        """Projected image tokens; only `last_hidden_state` is used, the pooling head is idle."""
        return self.projection(self.vision_encoder(pixel_values=pixels).last_hidden_state)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of caption tokens."""
        return self.language_model.get_input_embeddings()(ids)

    def loss(self, prefix: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the captions; `IGNORED` marks padding."""
        shown = labels[:, :-1].clamp(min=0)
        embedded = torch.cat([prefix, self.embed(shown).to(prefix.dtype)], dim=1)
        length = labels.shape[1]
        logits = self.language_model(
            inputs_embeds=embedded, use_cache=False, logits_to_keep=length
        ).logits
        return nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED
        )

    @torch.no_grad()
    def generate(self, pixels: Tensor) -> Tensor:
        """Greedy caption tokens by transformers' own generate()."""
        prefix = self.prefix(pixels)
        return self.language_model.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
        )


def build(vocabulary: int) -> PrefixCaptioner:
    """A fresh base model."""
    return PrefixCaptioner(vision_config(), text_config(vocabulary))
