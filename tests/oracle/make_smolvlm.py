"""Goldens of SmolVLM: tiny random checkpoints, their processors' pixels and ids, and generate().

Usage: make_smolvlm.py [--out DIR]
"""

from __future__ import annotations

import argparse
import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

import tiny_tokenizer
from common import GOLDENS, folder_bytes, quiet, read_json, rng_for, write_json

TOKENS = ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")
GRID = [f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5)]
TILE = 32
SIZES = ((40, 23), (23, 40), (64, 64), (97, 12), (5, 5), (200, 150))
PROMPT = "a red circle"
LEAST_MARGIN = 2e-3
NEW_TOKENS = 10

CASES = (
    {
        "name": "smolvlm",
        "seed": 1,
        "type": "smolvlm",
        "patch": 4,
        "scale": 2,
        "split": True,
        "tied": False,
        "text": {"hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1},
        "vision": {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 40},
    },
    {
        "name": "idefics3",
        "seed": 2,
        "type": "idefics3",
        "patch": 8,
        "scale": 2,
        "split": False,
        "tied": True,
        "text": {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2},
        "vision": {"hidden_size": 40, "num_attention_heads": 5, "intermediate_size": 36},
    },
)


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    """Write the tiny tokenizer with the processor's tokens and load it."""
    tokenizer = tiny_tokenizer.train(275)
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (*TOKENS, *GRID)]
    )
    tiny_tokenizer.save(tokenizer, folder, 0, 2)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token="<|endoftext|>",
        pad_token="<|im_end|>",
    )


def image_of(width: int, height: int) -> Image.Image:
    """Return a picture with edges and a gradient."""
    rng = rng_for("smolvlm", width, height)
    base = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(base).resize((width, height), Image.Resampling.NEAREST)


def config_of(case: dict[str, Any], vocab: int, image_id: int) -> Any:
    """Return the config of a case."""
    kind = SmolVLMConfig if case["type"] == "smolvlm" else Idefics3Config
    return kind(
        vision_config={
            "num_hidden_layers": 2,
            "image_size": TILE,
            "patch_size": case["patch"],
            **case["vision"],
        },
        text_config={
            "model_type": "llama",
            "num_hidden_layers": 2,
            "intermediate_size": 40,
            "vocab_size": vocab,
            "max_position_embeddings": 2048,
            "eos_token_id": 0,
            "bos_token_id": 1,
            "pad_token_id": 2,
            "tie_word_embeddings": case["tied"],
            **case["text"],
        },
        scale_factor=case["scale"],
        image_token_id=image_id,
        tie_word_embeddings=case["tied"],
        pad_token_id=2,
    )


def model_of(case: dict[str, Any], config: Any, seed: int) -> torch.nn.Module:
    """Return the model with random weights under a gain."""
    torch.manual_seed(seed)
    smol = case["type"] == "smolvlm"
    model = (SmolVLMForConditionalGeneration if smol else Idefics3ForConditionalGeneration)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 8.0 * 0.02)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            parameter.copy_(parameter.bfloat16().float())
    return model.eval()


def generated(model: Any, inputs: Any, beams: int) -> tuple[list[int], float]:
    """Return the new ids and the least margin between the two best logits."""
    out = model.generate(
        **inputs,
        max_new_tokens=NEW_TOKENS,
        num_beams=beams,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    low = float("inf")
    for logits in out.logits:
        best = logits.topk(2, dim=-1).values
        low = min(low, float((best[:, 0] - best[:, 1]).min()))
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), low


def captions(model: Any, processor: Any, out: Path, name: str) -> tuple[list[Any], float]:
    """Return what the processor and generate() make of every image."""
    found, least = [], float("inf")
    for width, height in SIZES:
        image = image_of(width, height)
        inputs = processor(images=[image], text=[f"<image>{PROMPT}"], return_tensors="pt")
        inputs.pop("mm_token_type_ids", None)
        ids, low = generated(model, inputs, 1)
        beams, _ = generated(model, inputs, 3)
        least = min(least, low)
        pixels = inputs["pixel_values"][0].numpy()
        levels = np.rint((pixels * 0.5 + 0.5) * 255.0).astype(np.uint8)
        file = f"{name}_{width}x{height}.png"
        rows = levels.transpose(0, 2, 3, 1).reshape(-1, TILE, 3)
        Image.fromarray(rows).save(out / file, optimize=True)
        found.append(
            {
                "image": f"image_{width}x{height}.png",
                "tiles": len(pixels),
                "pixels": file,
                "input_ids": inputs["input_ids"][0].tolist(),
                "ids": ids,
                "beams": beams,
            }
        )
    return found, least


def make(case: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write one checkpoint with its adapter, merged and PEFT forms, and its golden."""
    folder = out / case["name"]
    base = folder / "base"
    base.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(base)
    ids = tokenizer.convert_tokens_to_ids
    config = config_of(case, len(tokenizer) + 3, ids("<image>"))
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": 4 * TILE},
        max_image_size={"longest_edge": TILE},
        do_image_splitting=case["split"],
    )
    positions = (TILE // case["patch"] // case["scale"]) ** 2
    processor = Idefics3Processor(images, tokenizer, image_seq_len=positions)
    for seed in range(case["seed"], case["seed"] + 40):
        model = model_of(case, config, seed)
        copy.deepcopy(model).bfloat16().save_pretrained(base)
        lora = LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "proj"])
        peft = get_peft_model(model, lora)
        with torch.no_grad():
            for name, parameter in peft.named_parameters():
                if "lora_" in name:
                    parameter.normal_(0.0, 0.2)
                    parameter.copy_(parameter.bfloat16().float())
        results, low = captions(peft.eval(), processor, folder, "tiles")
        if low >= LEAST_MARGIN and len({tuple(row["ids"]) for row in results}) > 3:
            break
    else:
        raise ValueError(f"{case['name']}: every seed has a near tie")
    peft.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    write_json(base / "preprocessor_config.json", {**images.to_dict(), "resample": 1})
    processor_class = "SmolVLMProcessor" if case["type"] == "smolvlm" else "Idefics3Processor"
    write_json(
        base / "processor_config.json",
        {"processor_class": processor_class, "image_seq_len": positions},
    )
    if case["type"] == "smolvlm":
        wrapped = folder / "wrapped"
        wrapped.mkdir(exist_ok=True)
        tensors = {name: value.bfloat16().contiguous() for name, value in peft.state_dict().items()}
        save_file(tensors, wrapped / "model.safetensors", {"format": "pt"})
        shutil.copy(base / "config.json", wrapped / "config.json")
        shutil.copy(folder / "adapter" / "adapter_config.json", wrapped / "adapter_config.json")
    golden = {"tile": TILE, "prompt": PROMPT, "max_new_tokens": NEW_TOKENS, "captions": results}
    write_json(folder / "golden.json", golden)
    return golden


def main() -> int:
    """Write all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "smolvlm")
    args = parser.parse_args()
    quiet()
    args.out.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        image_of(width, height).save(args.out / f"image_{width}x{height}.png")
    for case in CASES:
        make(case, args.out)
        print(case["name"], folder_bytes(args.out / case["name"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
