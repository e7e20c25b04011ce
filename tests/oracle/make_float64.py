"""Makes tests/goldens/float64: image tokens and logits with every operation in float64.

PyTorch's modules in double still compute softmax, RMSNorm and rotary angles in float32; those three
are replaced here. Projections are also scaled, which makes a model amplify rounding.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.models.llama import modeling_llama as llama

import loader
from catalog import SPECS
from common import GOLDENS, folder_bytes, quiet, versions, write_json
from model import PrefixConditioningVLM

# Checkpoints whose base folder needs no merging, so that both sides have the same float32 weights.
NAMES = ("adapter", "rslora")
FACTORS = (1.0, 9.0)
IDS = (5, 7, 9, 11)
PROJECTIONS = re.compile(r"(_proj|mlp\.fc[12])\.weight$")


def rms_norm(self: llama.LlamaRMSNorm, hidden: torch.Tensor) -> torch.Tensor:
    """LlamaRMSNorm.forward in the dtype of its input."""
    variance = hidden.pow(2).mean(-1, keepdim=True)
    return self.weight * hidden * torch.rsqrt(variance + self.variance_epsilon)


def rotary(
    self: llama.LlamaRotaryEmbedding, x: torch.Tensor, position_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """LlamaRotaryEmbedding.forward of the default type in the dtype of its input."""
    size = 2 * self.inv_freq.shape[0]
    theta = self.config.rope_parameters["rope_theta"]
    exponents = torch.arange(0, size, 2, dtype=x.dtype) / size
    angles = position_ids[..., None].to(x.dtype) * theta**-exponents
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


@torch.no_grad()
def forward(vlm: PrefixConditioningVLM, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Image tokens, and the logits that each of IDS is compared with."""
    prefix = vlm.prefix(pixels)
    words = vlm.language_model.get_input_embeddings()(torch.tensor([IDS[:-1]]))
    hidden = torch.cat([prefix, words], 1)
    logits = vlm.language_model(inputs_embeds=hidden).logits
    return prefix[0], logits[0, prefix.shape[1] - 1 :]


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "float64")
    root: Path = parser.parse_args().out
    quiet()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    llama.LlamaRMSNorm.forward = rms_norm
    llama.LlamaRotaryEmbedding.forward = rotary
    specs = {spec.name: spec for spec in SPECS}
    rows = []
    for name in NAMES:
        folder = GOLDENS / "checkpoints" / name
        pixels = load_file(folder / "golden/golden.safetensors")["pixel_values"][:1].double()
        for factor in FACTORS:
            vlm = loader.load(folder / "base", specs[name])
            for parameter, value in vlm.named_parameters():
                if PROJECTIONS.search(parameter):
                    value.data *= factor  # in float32
            vlm = vlm.double()
            for tower in (vlm.vision_encoder, vlm.language_model):
                tower.set_attn_implementation("sdpa")  # the eager softmax is in float32
            prefix, logits = forward(vlm, pixels)
            file = f"{name}_{factor:g}.safetensors"
            save_file({"prefix": prefix.contiguous(), "logits": logits.contiguous()}, root / file)
            (root / file).chmod(0o644)
            rows.append({"checkpoint": f"{name}/base", "factor": factor, "file": file})
    document = {"format": 1, "versions": versions(), "image": 0, "ids": list(IDS), "cases": rows}
    write_json(root / "float64.json", document)
    print(f"float64: {len(rows)} files, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
