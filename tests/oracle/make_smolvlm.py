"""Goldens of SmolVLM: tiny random checkpoints, their processors' pixels and ids, and generate().

Usage: make_smolvlm.py [--out DIR]
"""

from __future__ import annotations

import argparse
import copy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionEmbeddings

import placeholder
from common import GOLDENS, folder_bytes, quiet, write_json
from make_chat import TEMPLATES
from placeholder import PLACED_PROMPT, RULES_PROMPT, NearTie, image_name, image_of

TOKENS = ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")
GRID = [f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5)]
TILE = 32
SIZES = ((40, 23), (23, 40), (64, 64), (97, 12), (5, 5), (200, 150))
BATCH = (SIZES[0], SIZES[3])  # cut into different numbers of tiles, where images are cut
PROMPT = "a red circle"
SEEN = (21, 14)  # rows and columns of a tile's pixels that a mask leaves
GRIDS = (1, 2, 5, 8, 14, 19, 25, 26, 27, 32, 41)

CASES: tuple[dict[str, Any], ...] = (
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


def inputs_of(processor: Any, sizes: Any, prompt: str) -> Any:
    """Return what generate() takes for pictures, each with the prompt; several are padded."""
    inputs = processor(
        images=[[image_of(*size)] for size in sizes],
        text=[prompt] * len(sizes),
        padding=len(sizes) > 1,
        padding_side="left",
        return_tensors="pt",
    )
    inputs.pop("mm_token_type_ids", None)
    return inputs


def captions(
    model: Any, processor: Any, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Return what the processor and generate() make of every image, and numbers on the way."""
    found = []
    tensors = {}
    for size in SIZES:
        inputs = inputs_of(processor, [size], f"<image>{PROMPT}")
        ids, low, logits = placeholder.greedy(model, inputs)
        file = "tiles_{}x{}.png".format(*size)
        levels = placeholder.levels_of(inputs["pixel_values"][0], processor.image_processor)
        Image.fromarray(levels).save(folder / file, optimize=True)
        if size in BATCH:
            with torch.no_grad():
                made = model.get_image_features(pixel_values=inputs["pixel_values"])
            tensors[image_name(*size)] = made.pooler_output[0]
        if size == BATCH[-1]:
            tensors["logits"] = logits
        found.append(
            {
                "image": image_name(*size),
                "tiles": inputs["pixel_values"].shape[1],
                "pixels": file,
                "input_ids": inputs["input_ids"][0].tolist(),
                "ids": ids,
                "min_margin": low,
                "beams": placeholder.beams(model, inputs),
            }
        )
    if len({tuple(row["ids"]) for row in found}) <= 3:
        raise NearTie("captions are equal")
    tensors["masked"] = masked(model, processor)
    return found, tensors


@torch.no_grad()
def masked(model: Any, processor: Any) -> torch.Tensor:
    """Return the features of a tile of which a mask leaves a corner."""
    pixels = inputs_of(processor, [BATCH[-1]], "<image>")["pixel_values"][:, :1]
    mask = torch.zeros((1, 1, TILE, TILE), dtype=torch.bool)
    mask[:, :, : SEEN[0], : SEEN[1]] = True
    made = model.get_image_features(pixel_values=pixels, pixel_attention_mask=mask)
    return made.pooler_output[0]


@torch.no_grad()
def positions() -> list[dict[str, Any]]:
    """Return the positions along one side, by how many of its patches are seen."""
    found = []
    for grid in GRIDS:
        side = SimpleNamespace(hidden_size=1, image_size=grid, patch_size=1, num_channels=3)
        embeddings = Idefics3VisionEmbeddings(side)
        for parameter in embeddings.patch_embedding.parameters():
            parameter.zero_()
        ids = torch.arange(grid * grid, dtype=torch.float32)
        embeddings.position_embedding.weight.copy_(ids[:, None])
        rows = []
        for seen in range(1, grid + 1):
            mask = torch.zeros((1, grid, grid), dtype=torch.bool)
            mask[:, :seen, :1] = True
            made = embeddings(torch.zeros((1, 3, grid, grid)), mask)[0, :, 0]
            rows.append((made.reshape(grid, grid)[:seen, 0].long() // grid).tolist())
        found.append({"grid": grid, "positions": rows})
    return found


def batch_of(model: Any, processor: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what one call makes of several images, of which some have padding tiles."""
    inputs = inputs_of(processor, BATCH, f"<image>{PROMPT}")
    out = model.generate(**inputs, max_new_tokens=placeholder.NEW_TOKENS, do_sample=False)
    names = [image_name(*size) for size in BATCH]
    ids = out[:, inputs["input_ids"].shape[1] :].tolist()
    alone = {row["image"]: row["ids"] for row in rows}
    if ids != [alone[name] for name in names]:
        raise NearTie("a batch is not its rows")
    return {"images": names, "tiles": inputs["pixel_values"].shape[1], "ids": ids}


def golden_of(model: Any, processor: Any, folder: Path) -> Any:
    """Return the golden of one model; throws NearTie."""
    rows, tensors = captions(model, processor, folder)
    golden = {
        "tile": TILE,
        "prompt": PROMPT,
        "max_new_tokens": placeholder.NEW_TOKENS,
        "captions": rows,
        "placed": placeholder.placed(
            model,
            inputs_of(processor, SIZES[:1], PLACED_PROMPT),
            image_name(*SIZES[0]),
            PLACED_PROMPT,
        ),
        "batch": batch_of(model, processor, rows),
        "masked": {"image": image_name(*BATCH[-1]), "height": SEEN[0], "width": SEEN[1]},
        "rules": {
            "image": image_name(*BATCH[-1]),
            "prompt": RULES_PROMPT,
            "variants": placeholder.variants(
                model, inputs_of(processor, [BATCH[-1]], f"<image>{RULES_PROMPT}")
            ),
        },
        "chat": [],
    }
    if processor.chat_template is not None:
        golden["chat"] = placeholder.chats(model, processor, [SIZES[0], SIZES[4]])
    return golden, tensors


def write_wrapped(peft: Any, folder: Path) -> None:
    """Write PEFT's names in one file, beside the base's config."""
    wrapped = folder / "wrapped"
    wrapped.mkdir(exist_ok=True)
    tensors = {name: value.bfloat16().contiguous() for name, value in peft.state_dict().items()}
    save_file(tensors, wrapped / "model.safetensors", {"format": "pt"})
    shutil.copy(folder / "base" / "config.json", wrapped / "config.json")
    shutil.copy(folder / "adapter" / "adapter_config.json", wrapped / "adapter_config.json")


def processor_of(case: dict[str, Any], base: Path) -> Any:
    """Return the processor of a case; its tokenizer's files are written."""
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": 4 * TILE},
        max_image_size={"longest_edge": TILE},
        do_image_splitting=case["split"],
    )
    tokenizer = placeholder.tokenizer_of(base, [*TOKENS, *GRID], begins=False)
    template = None
    if case["type"] == "smolvlm":
        template = (TEMPLATES / "smolvlm.jinja").read_text(encoding="utf-8")
    positions = (TILE // case["patch"] // case["scale"]) ** 2
    return Idefics3Processor(images, tokenizer, image_seq_len=positions, chat_template=template)


def make(case: dict[str, Any], out: Path) -> None:
    """Write one checkpoint with its adapter, merged and PEFT forms, and its golden."""
    folder = out / case["name"]
    base = folder / "base"
    base.mkdir(parents=True, exist_ok=True)
    processor = processor_of(case, base)
    tokenizer = processor.tokenizer
    config = config_of(case, len(tokenizer) + 3, tokenizer.convert_tokens_to_ids("<image>"))
    smol = case["type"] == "smolvlm"
    kind = SmolVLMForConditionalGeneration if smol else Idefics3ForConditionalGeneration
    for seed in range(case["seed"], case["seed"] + 60):
        model = placeholder.random_model(lambda: kind(copy.deepcopy(config)), seed)
        copy.deepcopy(model).bfloat16().save_pretrained(base)
        lora = LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "proj"])
        peft = placeholder.randomize_lora(get_peft_model(model, lora))
        try:
            golden, tensors = golden_of(peft, processor, folder)
        except NearTie as reason:
            print(f"{case['name']}: seed {seed}: {reason}")
            continue
        break
    else:
        raise ValueError(f"{case['name']}: no seed")
    placeholder.write_adapter(peft, folder / "adapter")
    write_json(
        base / "preprocessor_config.json", {**processor.image_processor.to_dict(), "resample": 1}
    )
    write_json(
        base / "processor_config.json",
        {
            "processor_class": "SmolVLMProcessor" if smol else "Idefics3Processor",
            "image_seq_len": processor.image_seq_len,
        },
    )
    if smol:
        template = processor.chat_template
        (base / "chat_template.jinja").write_text(template, encoding="utf-8")
        write_wrapped(peft, folder)
    write_json(folder / "golden.json", {"seed": seed, **golden})
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")


def main() -> int:
    """Write all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "smolvlm")
    args = parser.parse_args()
    quiet()
    args.out.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        image_of(*size).save(args.out / image_name(*size))
    write_json(args.out / "positions.json", {"format": 1, "sides": positions()})
    for case in CASES:
        make(case, args.out)
        print(case["name"], folder_bytes(args.out / case["name"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
