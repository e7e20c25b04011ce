"""Builds the checkpoints of cross_catalog.py, writes them to disk and reads them back."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    PreTrainedModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
)
from transformers.models.trocr.modeling_trocr import TrOCRSinusoidalPositionalEmbedding

import tiny_tokenizer
from common import read_json
from cross_catalog import CrossSpec
from layout import old_config, sort_targets
from model import lora_config, randomize, round_to

BLIP_START = "text_decoder.bert.embeddings."
BLIP_HEAD = "text_decoder.cls.predictions."


def processor(spec: CrossSpec) -> Any:
    """Return the encoder's own image processor at the model's size."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    side = spec.vision["image_size"]
    size = {"height": side, "width": side}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "vit": (ViTImageProcessorPil, {}),
        "deit": (DeiTImageProcessorPil, {"crop_size": size}),
        "siglip_vision_model": (SiglipImageProcessorPil, {}),
        "blip_vision_model": (BlipImageProcessorPil, {}),
    }
    made, more = kinds[spec.vision["model_type"]]
    return made(size=size, **more)


def tokens(spec: CrossSpec) -> dict[str, int]:
    """Return the special tokens of generation."""
    return {
        "decoder_start_token_id": spec.start,
        "eos_token_id": spec.eos,
        "pad_token_id": spec.pad,
    }


def config_of(spec: CrossSpec) -> Any:
    """Return the whole model's config."""
    vision, text = dict(spec.vision), dict(spec.text)
    if spec.kind == "blip":
        return BlipConfig(vision_config=vision, text_config=text)
    encoder = AutoConfig.for_model(vision.pop("model_type"), **vision)
    decoder = AutoConfig.for_model(text.pop("model_type"), **text)
    more = tokens(spec)
    return VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, **more)


def class_of(spec: CrossSpec) -> type[PreTrainedModel]:
    """Return the model's class."""
    return BlipForConditionalGeneration if spec.kind == "blip" else VisionEncoderDecoderModel


@torch.no_grad()
def build(spec: CrossSpec) -> PreTrainedModel:
    """Return the seeded model, its values as a file of its dtype holds them."""
    model = class_of(spec)(config_of(spec)).eval()
    randomize(model, spec.gain, (spec.name, spec.seed))
    for name, parameter in model.named_parameters():
        if re.search(r"^(text_)?decoder.*(wpe|embed_positions|position_embeddings)", name):
            parameter *= spec.position_gain
    if spec.swap:
        pair = torch.tensor([spec.eos, spec.swap])
        table = model.get_input_embeddings().weight
        table[pair] = table[pair.flip(0)]
        if spec.kind == "blip":
            bias = model.text_decoder.cls.predictions.decoder.bias
            bias[pair] = bias[pair.flip(0)]
    dtype = getattr(torch, spec.dtype)
    round_to(model, dtype, dtype)
    return model


def old_tensors(spec: CrossSpec, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add what files of transformers 4 hold: masks, position ids, copies of tied tensors."""
    state = dict(state)
    if spec.kind == "blip":
        positions = spec.text["max_position_embeddings"]
        state[BLIP_START + "position_ids"] = torch.arange(positions)[None]
        state[BLIP_HEAD + "decoder.weight"] = state[BLIP_START + "word_embeddings.weight"].clone()
        state[BLIP_HEAD + "decoder.bias"] = state[BLIP_HEAD + "bias"].clone()
        return state
    state["decoder.lm_head.weight"] = state["decoder.transformer.wte.weight"].clone()
    side = spec.text["n_positions"]
    for layer in range(spec.text["n_layer"]):
        for part in ("attn", "crossattention"):
            name = f"decoder.transformer.h.{layer}.{part}."
            state[name + "bias"] = torch.ones(1, 1, side, side, dtype=torch.uint8).tril()
            state[name + "masked_bias"] = torch.tensor(-1e4)
    return state


def save(spec: CrossSpec, model: PreTrainedModel, folder: Path) -> None:
    """Write the checkpoint with its tokenizer and image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).to(getattr(torch, spec.dtype)).save_pretrained(folder)
    if spec.layout == "v4":
        file = folder / "model.safetensors"
        save_file(old_tensors(spec, load_file(str(file))), str(file), {"format": "pt"})
        config = old_config(read_json(folder / "config.json"))
        text = json.dumps(config, indent=2, sort_keys=True)
        (folder / "config.json").write_text(text + "\n")
        (folder / "generation_config.json").unlink()
    if spec.tokenizer == "bpe":
        trained = tiny_tokenizer.train(spec.tokenizer_size)
        tiny_tokenizer.save(trained, folder, spec.eos, spec.pad)
    else:
        tiny_tokenizer.save_wordpiece(spec.tokenizer_size, folder)
    processor(spec).save_pretrained(folder)


def old_module(name: str) -> str:
    """Return the name that transformers 4 gave a module of a ViT inside a larger model."""
    match = re.match(r"(.*)encoder\.layers\.(\d+)\.attention\.([qkv])_proj(.*)", name)
    if not match:
        return name
    part = {"q": "query", "k": "key", "v": "value"}[match[3]]
    return f"{match[1]}encoder.encoder.layer.{match[2]}.attention.attention.{part}{match[4]}"


def save_adapter(spec: CrossSpec, model: PreTrainedModel, root: Path) -> None:
    """Wrap the model with a trained-looking adapter and save it as a PEFT folder, and as asked."""
    assert spec.lora
    peft = get_peft_model(copy.deepcopy(model), lora_config(spec.lora))
    randomize(peft, spec.gain, (spec.name, spec.seed, "factors"), only="lora_")
    dtype = getattr(torch, spec.dtype)
    round_to(peft, dtype, dtype)
    peft.to(dtype)
    peft.peft_config["default"].base_model_name_or_path = "base"
    folder = root / "adapter"
    peft.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    sort_targets(folder / "adapter_config.json")
    if spec.old_adapter:
        old = root / "adapter_old"
        shutil.copytree(folder, old)
        tensors = load_file(str(folder / "adapter_model.safetensors"))
        renamed = {old_module(name): tensor for name, tensor in tensors.items()}
        save_file(renamed, str(old / "adapter_model.safetensors"), {"format": "pt"})
        config = read_json(old / "adapter_config.json")
        names = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
        config["target_modules"] = sorted(names.get(n, n) for n in config["target_modules"])
        text = json.dumps(config, indent=2, sort_keys=True)
        (old / "adapter_config.json").write_text(text + "\n")
    if spec.wrapped:
        wrapped = root / "wrapped"
        wrapped.mkdir()
        state = {k: v.contiguous() for k, v in peft.state_dict().items() if "lm_head" not in k}
        save_file(state, str(wrapped / "model.safetensors"), {"format": "pt"})
        shutil.copy(root / "base" / "config.json", wrapped)
        shutil.copy(folder / "adapter_config.json", wrapped)


def load(spec: CrossSpec, root: Path) -> Any:
    """Read the checkpoint, and the adapter where there is one, from their files in float32."""
    made, report = class_of(spec).from_pretrained(
        root / spec.checkpoint,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise ValueError(f"{spec.name}: missing {report['missing_keys']}")
    for module in made.modules():
        # Not a buffer, so that from_pretrained() leaves it on the meta device.
        if isinstance(module, TrOCRSinusoidalPositionalEmbedding):
            size = module.weights.shape[0]
            module.weights = module.get_embedding(size, module.embedding_dim, module.padding_idx)
    if spec.lora:
        made = PeftModel.from_pretrained(made, str(root / "adapter"))
    return made.eval()


def plain(model: Any) -> PreTrainedModel:
    """Return the model inside PEFT's wrapper."""
    return model.base_model.model if isinstance(model, PeftModel) else model
