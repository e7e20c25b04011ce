"""Names of parameters in the model, and in the trainer's `model.safetensors`."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from .families import Encoder

TOWER = "vision_encoder."
TEXT = "language_model."
NESTED = "vision_model."  # transformers 4 had SigLIP's tower inside this module, files still do
PEFT = "base_model.model."
BASE_LAYER = ".base_layer."
HEAD = "lm_head.weight"


def tower_names(vision: PreTrainedModel, row: Encoder) -> dict[str, str]:
    """A tower's parameters and what transformers 4 called them, which is what files have."""
    names = {}
    for name, value in vision.state_dict().items():
        (saved,) = revert_weight_conversion(vision, {name: value})
        nested = NESTED if row.outer is not None else ""
        names[name] = nested + saved.removeprefix(NESTED)
    return names


def tower_tensors(
    stored: dict[str, Tensor], vision: PreTrainedModel, row: Encoder
) -> dict[str, Tensor]:
    """The tower's tensors of a checkpoint, under the model's names."""
    return {
        name: stored[TOWER + saved]
        for name, saved in tower_names(vision, row).items()
        if TOWER + saved in stored
    }


def text_tensors(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's own tensors of a checkpoint, without its adapter, under the decoder's names."""
    return {
        name.removeprefix(TEXT).removeprefix(PEFT).replace(BASE_LAYER, "."): tensor
        for name, tensor in stored.items()
        if name.startswith(TEXT) and ".lora_" not in name
    }
