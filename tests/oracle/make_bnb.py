"""Makes tests/goldens/bnb: tiny Llamas that transformers saved in bitsandbytes' 4 and 8 bits.

Needs bitsandbytes, which train/requirements.lock does not have: bnb_requirements.txt, on top of it.
Usage: make_bnb.py [--out tests/goldens/bnb]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.functional import dequantize_blockwise, int8_vectorwise_dequant
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from common import GOLDENS, folder_bytes, quiet, rng_for, versions, write_json

# 40 columns: blocks of 64 begin inside rows, and the last block of v_proj is not full.
SHAPE: dict[str, Any] = {
    "hidden_size": 40,
    "num_hidden_layers": 1,
    "num_attention_heads": 5,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "vocab_size": 20,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 0,
}
# 17408 values have 272 scales, so that their own scales are two.
WIDE = {"hidden_size": 128, "intermediate_size": 136, "num_attention_heads": 1, "head_dim": 16}
FOUR = {"load_in_4bit": True}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nf4": ("float32", {**FOUR, "bnb_4bit_quant_type": "nf4"}),
    "nf4_double": (
        "bfloat16",
        {**FOUR, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    ),
    "fp4_storage": (
        "float16",
        {**FOUR, "bnb_4bit_quant_type": "fp4", "bnb_4bit_quant_storage": "bfloat16"},
    ),
    "int8": ("float16", {"load_in_8bit": True}),
}


def seeded(*parts: object, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Return values that depend on the parts alone."""
    return torch.from_numpy(rng_for("bnb", *parts).standard_normal(shape)).float() * scale


def quantized(name: str, root: Path) -> Any:
    """Save a tiny Llama as it is, load it quantized."""
    dtype, options = CASES[name]
    plain = LlamaForCausalLM(LlamaConfig(**SHAPE | (WIDE if "double" in name else {})))
    with torch.no_grad():
        for key, parameter in plain.named_parameters():
            values = seeded(key, shape=tuple(parameter.shape), scale=0.2)
            parameter.copy_(values + 1 if "norm" in key else values)
    plain.to(getattr(torch, dtype)).save_pretrained(root / "plain")
    model = LlamaForCausalLM.from_pretrained(
        root / "plain",
        dtype=getattr(torch, dtype),
        device_map="cpu",
        quantization_config=BitsAndBytesConfig(**options),
    )
    shutil.rmtree(root / "plain")
    return model


def floats(layer: Any) -> torch.Tensor:
    """Dequantize one layer by bitsandbytes itself.

    By its code for all devices: the CPU kernel of 0.50.2 takes the wrong scales where rows are
    shorter than blocks, and loses the sign of zeros.
    """
    if isinstance(layer, Linear4bit):
        state = layer.weight.quant_state
        scales = state.absmax
        if state.nested:
            scales = dequantize_blockwise(scales, state.state2) + state.offset
        codes = layer.weight.data.view(torch.uint8).reshape(-1)
        return _dequantize_4bit_compute(
            codes, scales.float(), state.code, state.blocksize, state.shape, state.dtype
        )
    scales = layer.state.SCB if layer.state.SCB is not None else layer.weight.SCB
    return int8_vectorwise_dequant(layer.weight.data, scales)


def make(name: str, root: Path) -> dict[str, Any]:
    """Write one case's folder; return its row of bnb.json."""
    model = quantized(name, root)
    folder = root / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = {
        f"{key}.weight": floats(layer).detach().clone().contiguous()
        for key, layer in model.named_modules()
        if isinstance(layer, (Linear4bit, Linear8bitLt)) and "up_proj" not in key
    }
    save_file(tensors, str(folder / "dequantized.safetensors"), metadata={"format": "pt"})
    return {"name": name, "dtype": CASES[name][0], "tensors": sorted(tensors)}


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "bnb")
    root: Path = parser.parse_args().out
    quiet()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    rows = [make(name, root) for name in CASES]
    for path in root.rglob("*.safetensors"):
        path.chmod(0o644)
    found = {**versions("torch", "transformers"), "bitsandbytes": version("bitsandbytes")}
    write_json(root / "bnb.json", {"format": 1, "versions": found, "cases": rows})
    print(f"bnb: {len(rows)} cases, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
