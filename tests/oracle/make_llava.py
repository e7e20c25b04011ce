"""Goldens of LLaVA: tiny random checkpoints, their processors' pixels and ids, and generate().

Usage: make_llava.py [--out DIR]
"""

from __future__ import annotations

import argparse
import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import placeholder
from common import GOLDENS, folder_bytes, quiet, write_json
from make_chat import TEMPLATES
from placeholder import PLACED_PROMPT, RULES_PROMPT, NearTie, image_name, image_of

SIDE = 32
SIZES = ((32, 32), (40, 23), (23, 50), (90, 70))
PROMPT = "a red circle"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for line in message['content'] %}{% if line['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ line['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOWER = {"num_hidden_layers": 3, "image_size": SIDE, "intermediate_size": 40}
TEXT = {
    "num_hidden_layers": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 512,
    "eos_token_id": 0,
    "bos_token_id": 1,
    "pad_token_id": 2,
}

CASES: tuple[dict[str, Any], ...] = (
    # As llava-hf/llava-1.5: CLIP without its class token, a tokenizer with a first token; a PEFT
    # folder with LoRA in all three parts.
    {
        "name": "clip",
        "seed": 1,
        "vision": CLIPVisionConfig(
            hidden_size=48, num_attention_heads=3, patch_size=8, projection_dim=16, **TOWER
        ),
        "text": LlamaConfig(
            hidden_size=48, num_attention_heads=3, num_key_value_heads=1, vocab_size=280, **TEXT
        ),
        "whole": {"vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
        "begins": True,
        "template": (TEMPLATES / "llava.jinja").read_text(encoding="utf-8"),
        "additional": 1,
        "lora": ["q_proj", "v_proj", "linear_1", "fc2"],
        "form": "adapter",
    },
    # SigLIP has no class token: the last hidden states before post_layernorm, all of them. PEFT's
    # names inside one file; an end token inside a caption; a template that writes the first token
    # that the tokenizer would add.
    {
        "name": "siglip",
        "seed": 1,
        "vision": SiglipVisionConfig(hidden_size=40, num_attention_heads=5, patch_size=8, **TOWER),
        "text": Qwen2Config(
            hidden_size=32,
            num_attention_heads=2,
            num_key_value_heads=2,
            vocab_size=276,
            tie_word_embeddings=True,
            **TEXT,
        ),
        "whole": {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"},
        "begins": True,
        "template": CHATML,
        "additional": 0,
        "lora": r".*language_model.*\.(q|k|v|o)_proj|.*multi_modal_projector\.linear_2",
        "form": "wrapped",
        "ends": True,
    },
    # Two hidden states beside each other, not in their order, class token included; merged, in the
    # names of older files, without biases in the projector.
    {
        "name": "layers",
        "seed": 1,
        "vision": CLIPVisionConfig(
            hidden_size=32,
            num_attention_heads=2,
            patch_size=16,
            hidden_act="gelu",
            projection_dim=16,
            **TOWER,
        ),
        "text": LlamaConfig(
            hidden_size=32, num_attention_heads=2, num_key_value_heads=1, vocab_size=276, **TEXT
        ),
        "whole": {
            "vision_feature_layer": [-1, 1],
            "vision_feature_select_strategy": "full",
            "multimodal_projector_bias": False,
            "projector_hidden_act": "gelu_pytorch_tanh",
        },
        "begins": False,
        "template": None,
        "additional": 1,
        "lora": ["q_proj", "v_proj"],
        "form": "merged",
    },
)


def processor_of(case: dict[str, Any], folder: Path) -> LlavaProcessor:
    """Return a case's processor; CLIP's cuts out the middle, SigLIP's resizes to the square."""
    tokenizer = placeholder.tokenizer_of(folder, ["<image>"], case["begins"])
    square = {"height": SIDE, "width": SIDE}
    images = (
        SiglipImageProcessorPil(size=square)
        if case["name"] == "siglip"
        else CLIPImageProcessorPil(size={"shortest_edge": SIDE + 4}, crop_size=square)
    )
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=case["vision"].patch_size,
        vision_feature_select_strategy=case["whole"]["vision_feature_select_strategy"],
        chat_template=case["template"],
        num_additional_image_tokens=case["additional"],
    )


def inputs_of(processor: LlavaProcessor, size: tuple[int, int], prompt: str) -> Any:
    """Return what generate() takes for a picture and a prompt."""
    return processor(images=image_of(*size), text=prompt, return_tensors="pt")


def captions(
    model: Any, processor: LlavaProcessor, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Return what the processor and generate() make of every image, and numbers on the way."""
    found, features = [], []
    tensors = {}
    for size in SIZES:
        inputs = inputs_of(processor, size, f"<image>{PROMPT}")
        ids, low, logits = placeholder.greedy(model, inputs)
        file = "pixels_{}x{}.png".format(*size)
        levels = placeholder.levels_of(inputs["pixel_values"], processor.image_processor)
        Image.fromarray(levels).save(folder / file, optimize=True)
        with torch.no_grad():
            made = model.get_image_features(pixel_values=inputs["pixel_values"])
        features.append(made.pooler_output[0])
        if size == SIZES[0]:
            tensors["logits"] = logits
        found.append(
            {
                "image": image_name(*size),
                "pixels": file,
                "input_ids": inputs["input_ids"][0].tolist(),
                "ids": ids,
                "min_margin": low,
                "beams": placeholder.beams(model, inputs),
            }
        )
    if len({tuple(row["ids"]) for row in found}) < len(SIZES):
        raise NearTie("captions are equal")
    tensors["image_features"] = torch.stack(features)
    return found, tensors


def golden_of(model: Any, processor: LlavaProcessor, folder: Path, ends: bool) -> Any:
    """Return the golden of one model; throws NearTie."""
    if ends:
        ids = placeholder.greedy(model, inputs_of(processor, SIZES[1], f"<image>{PROMPT}"))[0]
        model.generation_config.eos_token_id = [0, ids[4]]
    rows, tensors = captions(model, processor, folder)
    lengths = {len(row["ids"]) for row in rows}
    if ends and lengths == {placeholder.NEW_TOKENS}:
        raise NearTie("no caption ends")
    golden = {
        "prompt": PROMPT,
        "max_new_tokens": placeholder.NEW_TOKENS,
        "captions": rows,
        "placed": placeholder.placed(
            model,
            inputs_of(processor, SIZES[2], PLACED_PROMPT),
            image_name(*SIZES[2]),
            PLACED_PROMPT,
        ),
        "rules": {
            "image": image_name(*SIZES[0]),
            "prompt": RULES_PROMPT,
            "variants": placeholder.variants(
                model, inputs_of(processor, SIZES[0], f"<image>{RULES_PROMPT}")
            ),
        },
        "chat": [],
    }
    if processor.chat_template is not None:
        golden["chat"] = placeholder.chats(model, processor, [SIZES[0], SIZES[3]])
    return golden, tensors


def write_wrapped(peft: Any, folder: Path) -> None:
    """Put PEFT's names into the one file of a checkpoint."""
    tied = peft.config.tie_word_embeddings
    tensors = {
        name: value.bfloat16().contiguous()
        for name, value in peft.state_dict().items()
        if not (tied and name.endswith("lm_head.weight"))
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    shutil.copy(folder.parent / "adapter" / "adapter_config.json", folder)
    shutil.rmtree(folder.parent / "adapter")


def write_merged(peft: Any, folder: Path) -> Any:
    """Merge, save with the tower's names of transformers 4, and return what is read back."""
    copy.deepcopy(peft).merge_and_unload().bfloat16().save_pretrained(folder)
    path = folder / "model.safetensors"
    tower = "vision_tower."
    tensors = {
        name.replace(tower, f"{tower}vision_model.") if name.startswith(tower) else name: value
        for name, value in load_file(path).items()
    }
    save_file(tensors, path, {"format": "pt"})
    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def make(case: dict[str, Any], out: Path) -> None:
    """Write one checkpoint in the form that its case asks for, and its golden."""
    folder = out / case["name"]
    shutil.rmtree(folder, ignore_errors=True)
    base = folder / "base"
    base.mkdir(parents=True)
    processor = processor_of(case, base)
    image_id = processor.tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=case["vision"],
        text_config=case["text"],
        image_token_index=image_id,
        image_seq_length=(SIDE // case["vision"].patch_size) ** 2,
        **case["whole"],
    )
    for seed in range(case["seed"], case["seed"] + 60):
        model = placeholder.random_model(
            lambda: LlavaForConditionalGeneration(copy.deepcopy(config)), seed
        )
        plain = copy.deepcopy(model)
        peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=case["lora"]))
        placeholder.randomize_lora(peft)
        try:
            answers = write_merged(peft, base) if case["form"] == "merged" else peft
            golden, tensors = golden_of(answers, processor, folder, case.get("ends", False))
        except NearTie as reason:
            print(f"{case['name']}: seed {seed}: {reason}")
            continue
        break
    else:
        raise ValueError(f"{case['name']}: no seed")
    if case["form"] != "merged":
        plain.generation_config = peft.generation_config
        plain.bfloat16().save_pretrained(base)
        placeholder.write_adapter(peft, folder / "adapter")
    if case["form"] == "wrapped":
        write_wrapped(peft, base)
    processor.save_pretrained(base)
    write_json(folder / "golden.json", {"seed": seed, "side": SIDE, **golden})
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")


def main() -> int:
    """Write all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "llava")
    args = parser.parse_args()
    quiet()
    args.out.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        image_of(*size).save(args.out / image_name(*size))
    for case in CASES:
        make(case, args.out)
        print(case["name"], folder_bytes(args.out / case["name"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
