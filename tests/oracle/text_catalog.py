"""The cases of tests/goldens/text: decoders alone, and the prompts that each continues."""

from __future__ import annotations

from typing import Any

from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

LAYER_NORM_PROMPTS = ("two cats on a table", "a", "the boat is on the water")
LLAMA_SHAPE = {
    "num_hidden_layers": 2,
    "intermediate_size": 44,
    "max_position_embeddings": 96,
    "rms_norm_eps": 1e-5,
}

CASES: tuple[dict[str, Any], ...] = (
    {
        "name": "llama",
        "config": LlamaConfig,
        "model": LlamaForCausalLM,
        "shape": {
            **LLAMA_SHAPE,
            **{"hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1},
        },
        "tied": False,
        "adapter": ["q_proj", "v_proj", "down_proj"],
        "template": None,
        "settings": {},
        "prompts": [
            {"prompt": "a red circle left of a blue square"},
            {"prompt": "two"},
            {"prompt": "d\u00e9j\u00e0 vu: \u4f60\u597d"},
            {"prompt": "the boat is on the water near the white bridge, the boat is on the"},
        ],
    },
    {
        "name": "qwen2",
        "config": Qwen2Config,
        "model": Qwen2ForCausalLM,
        # heads of 10: no multiple of 16, so that no runtime fuses the attention
        "shape": {
            **LLAMA_SHAPE,
            **{"hidden_size": 40, "num_attention_heads": 4, "num_key_value_heads": 2},
        },
        "tied": True,
        "adapter": None,
        "template": "qwen2.jinja",
        "settings": {"repetition_penalty": 1.2, "min_new_tokens": 3, "max_new_tokens": 14},
        "prompts": [
            {"prompt": "What is this?"},
            {"prompt": "a dog sits", "system": "two cats"},
            {"prompt": "a plate of food with", "raw_prompt": True},
            {"prompt": "a", "raw_prompt": True},  # one token: forced_bos_token_id comes behind it
        ],
    },
    {
        "name": "gpt2",
        "config": GPT2Config,
        "model": GPT2LMHeadModel,
        "shape": {
            **{"n_embd": 48, "n_head": 3, "n_inner": 44, "n_layer": 2, "n_positions": 96},
            "layer_norm_epsilon": 1e-5,
        },
        "tied": True,
        "adapter": ["c_attn", "c_proj"],  # Conv1D
        "template": None,
        "settings": {},
        "prompts": [{"prompt": prompt} for prompt in LAYER_NORM_PROMPTS],
    },
    {
        # OPT-350M's form: embeddings narrower than the layers, norms behind the sublayers
        "name": "opt",
        "config": OPTConfig,
        "model": OPTForCausalLM,
        "shape": {
            **{"hidden_size": 48, "num_attention_heads": 3, "ffn_dim": 44, "num_hidden_layers": 2},
            **{"word_embed_proj_dim": 32, "do_layer_norm_before": False},
            "max_position_embeddings": 96,
        },
        "tied": True,
        "adapter": None,
        "template": None,
        "settings": {"repetition_penalty": 1.1},
        "prompts": [{"prompt": prompt} for prompt in LAYER_NORM_PROMPTS],
    },
)
