"""Export the merged checkpoint with torch.onnx, as users do by hand: a vision graph and a decoder.

usage: make_torch.py MERGED_DIR OUT_DIR

The decoder takes inputs_embeds, attention_mask, position_ids and a cache. OUT_DIR also gets
embeddings.npy, the table that all decoders without a lookup of their own need.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, SiglipVisionConfig, SiglipVisionModel
from transformers.cache_utils import DynamicCache

PREFIX = 196


class Encoder(nn.Module):
    """SigLIP without its pooling head, and the projection."""

    def __init__(self, folder: Path) -> None:
        """Load both from the merged checkpoint."""
        super().__init__()
        config = json.loads((folder / "config.json").read_text())["vision_config"]
        config["vision_use_head"] = False
        vision = SiglipVisionConfig(**{k: v for k, v in config.items() if k != "model_type"})
        vision._attn_implementation = "eager"
        self.vision = SiglipVisionModel(vision)
        state = load_file(folder / "model.safetensors")
        plain = "vision_encoder."
        tower = {k.removeprefix(plain): v for k, v in state.items() if k.startswith(plain)}
        if not any(k.startswith("vision_model.") for k in self.vision.state_dict()):
            tower = {k.removeprefix("vision_model."): v for k, v in tower.items()}
        missing, _ = self.vision.load_state_dict(tower, strict=False)
        if missing:
            raise ValueError(f"no weights for {missing}")
        weight = state["projection.projection.weight"]
        self.projection = nn.Linear(weight.shape[1], weight.shape[0])
        self.projection.load_state_dict(
            {"weight": weight, "bias": state["projection.projection.bias"]}
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the prefix."""
        return self.projection(self.vision(pixel_values).last_hidden_state)


class Decoder(nn.Module):
    """The decoder with its cache as plain inputs and outputs."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        """Return the logits and the new cache."""
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        output = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        present = []
        for layer in output.past_key_values.layers:
            present += [layer.keys, layer.values]
        return output.logits, *present


def export_encoder(folder: Path, out: Path) -> None:
    """Write vision.onnx."""
    encoder = Encoder(folder).eval()
    size = encoder.vision.config.image_size
    torch.onnx.export(
        encoder,
        (torch.zeros(1, 3, size, size),),
        str(out / "vision.onnx"),
        input_names=["pixel_values"],
        output_names=["image_features"],
        dynamic_axes={"pixel_values": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def export_decoder(folder: Path, out: Path) -> None:
    """Write decoder.onnx and embeddings.npy."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    model.eval()
    config = model.config
    np.save(out / "embeddings.npy", model.get_input_embeddings().weight.detach().numpy())
    cached = 4
    shape = (1, config.num_key_value_heads, cached, config.head_dim)
    past = [torch.zeros(shape) for _ in range(2 * config.num_hidden_layers)]
    names = [
        f"{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")
    ]
    axes = {
        "inputs_embeds": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: "total"},
        "position_ids": {0: "batch", 1: "sequence"},
        "logits": {0: "batch", 1: "sequence"},
    }
    for name in names:
        axes[f"past_key_values.{name}"] = {0: "batch", 2: "past"}
        axes[f"present.{name}"] = {0: "batch", 2: "total"}
    sequence = 3
    arguments = (
        torch.zeros(1, sequence, config.hidden_size),
        torch.ones(1, cached + sequence, dtype=torch.int64),
        torch.arange(cached, cached + sequence)[None],
        *past,
    )
    torch.onnx.export(
        Decoder(model),
        arguments,
        str(out / "decoder.onnx"),
        input_names=["inputs_embeds", "attention_mask", "position_ids"]
        + [f"past_key_values.{name}" for name in names],
        output_names=["logits"] + [f"present.{name}" for name in names],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Export both graphs."""
    warnings.filterwarnings("ignore")
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        export_encoder(folder, out)
        export_decoder(folder / "language_model", out)


if __name__ == "__main__":
    main()
