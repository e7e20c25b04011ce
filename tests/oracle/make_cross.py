"""Makes tests/goldens/cross: encoders and decoders with cross attention, and their generate().

Usage: make_cross.py [--out DIR] [--search N] [NAME...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BlipForConditionalGeneration,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)

import candidates
from common import GOLDENS, versions, write_json
from cross_catalog import SPECS, CrossSpec
from cross_model import build, load, plain, processor, save, save_adapter, tokens
from golden import LOGIT_STEPS, MAX_NEW_TOKENS, Jitter, margins
from make_checkpoints import MIN_MARGIN, draw_images, problems

NO_LENGTH = {"max_new_tokens": None}


@torch.no_grad()
def encode(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return last_hidden_state and what the decoder attends to, each [images, tokens, hidden]."""
    inner = plain(model)
    blip = isinstance(inner, BlipForConditionalGeneration)
    encoder = inner.vision_model if blip else inner.encoder
    states = torch.cat([encoder(pixel_values=p[None]).last_hidden_state for p in pixels])
    head = getattr(inner, "enc_to_dec_proj", None)
    return states, states if head is None else head(states)


@torch.no_grad()
def run(
    model: Any,
    spec: CrossSpec,
    pixels: torch.Tensor,
    *processors: LogitsProcessor,
    prompt: list[int] | None = None,
    **options: Any,
) -> Any:
    """Generate; the sequences hold new tokens alone."""
    config = GenerationConfig(
        **{"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False, **options},
        **tokens(spec),
        bos_token_id=spec.start,
        return_dict_in_generate=True,
        output_logits=True,
        output_scores=True,
    )
    more: dict[str, Any] = {}
    if spec.kind == "blip" and prompt:
        # As BlipProcessor gives them: [CLS] text [SEP]; generate() puts the start token over [CLS].
        more["input_ids"] = torch.tensor([[1, *prompt, spec.eos]])
        more["attention_mask"] = torch.ones_like(more["input_ids"])
    elif prompt:
        more["decoder_input_ids"] = torch.tensor([[spec.start, *prompt]])
    out = plain(model).generate(
        pixel_values=pixels,
        generation_config=config,
        logits_processor=LogitsProcessorList(processors),
        **more,
    )
    start = [spec.start, *(prompt or [])]
    if any(row[: len(start)] != start for row in out.sequences.tolist()):
        raise ValueError(f"{spec.name}: {out.sequences.tolist()} does not begin with {start}")
    out.sequences = out.sequences[:, len(start) :]
    return out


def prompt_case(model: Any, spec: CrossSpec, pixels: torch.Tensor, tokenizer: Any) -> Any:
    """Continue the first of the spec's texts that hangs on no near tie."""
    found: dict[str, Any] = {}
    for text in spec.prompts:
        prompt = tokenizer(text, add_special_tokens=False).input_ids
        out = run(model, spec, pixels[:1], prompt=prompt)
        found = {
            "image": 0,
            "prompt_ids": prompt,
            "prompt_text": text,
            "ids": out.sequences[0].tolist(),
            "min_margin": min(margins(out.logits)),
        }
        if found["min_margin"] >= MIN_MARGIN:
            break
    return found


def beam_case(model: Any, spec: CrossSpec, pixels: torch.Tensor) -> dict[str, Any]:
    """Beam search on image 0 and 1; "robust" as in golden.py."""
    rows = []
    for image in (0, 1):
        one = pixels[image : image + 1]
        out = run(model, spec, one, **spec.beams)
        noisy = [run(model, spec, one, Jitter(s), **spec.beams) for s in (1, 2, 3)]
        rows.append(
            {
                "image": image,
                "ids": out.sequences.tolist(),
                "scores": [round(float(score), 5) for score in out.sequences_scores],
                "robust": all(torch.equal(out.sequences, n.sequences) for n in noisy),
            }
        )
    return {"options": spec.beams, "results": rows}


RULES: tuple[dict[str, Any], ...] = (
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 15},
    {"forced_bos_token_id": 5, "begin_suppress_tokens": [7]},
    {"max_length": 9},
)


def rule_cases(model: Any, spec: CrossSpec, pixels: torch.Tensor, prompt: list[int]) -> list[Any]:
    """Greedy generation by rules, which see the start token; the first behind the prompt, too.

    Of each the first image that hangs on no near tie.
    """
    cases = []
    for options, before in [*((rules, []) for rules in RULES), (RULES[0], prompt)]:
        length = {} if "max_length" in options else {"max_new_tokens": MAX_NEW_TOKENS}
        for image in (1, 0, 2):
            one = pixels[image : image + 1]
            out = run(model, spec, one, prompt=before, **{**NO_LENGTH, **length, **options})
            low = min(margins(out.scores))
            if low >= MIN_MARGIN:
                break
        found: dict[str, Any] = {"options": {**length, **options}, "image": image}
        found |= {"prompt_ids": before} if before else {}
        cases.append({**found, "ids": out.sequences[0].tolist(), "min_margin": low})
    return cases


def case_of(model: Any, spec: CrossSpec, tensors: dict[str, torch.Tensor], tokenizer: Any) -> Any:
    """Run every generation and return the JSON part; add logits to `tensors`."""
    pixels = tensors["pixel_values"]
    captions, first = [], []
    for image in range(len(pixels)):
        out = run(model, spec, pixels[image : image + 1])
        ids, steps = out.sequences[0].tolist(), margins(out.logits)
        first.append(out.logits[0][0])
        text = tokenizer.decode(ids, skip_special_tokens=True)
        caption = {"image": image, "ids": ids, "text": text}
        captions.append({**caption, "min_margin": min(steps), "margins": steps})
        if image == 0:
            tensors["step_logits"] = torch.cat(out.logits[:LOGIT_STEPS])
    tensors["default/first_logits"] = torch.stack(first)
    adapters = [{"path": "adapter", "weight": 1.0}] if spec.lora else []
    result: dict[str, Any] = {"name": "default", "adapters": adapters, "captions": captions}
    result["batch"] = {"images": [0, 1], "ids": run(model, spec, pixels[:2]).sequences.tolist()}
    result["prompt"] = prompt_case(model, spec, pixels, tokenizer)
    result["beams"] = [beam_case(model, spec, pixels)]
    result["variants"] = rule_cases(model, spec, pixels, result["prompt"]["prompt_ids"])
    if spec.lora:
        with model.disable_adapter():
            result["without_adapter"] = run(model, spec, pixels[:1]).sequences[0].tolist()
        result["merged"] = list(spec.merged)
    return result


def save_merged(model: Any, spec: CrossSpec, out: Path) -> None:
    """Write PEFT's merge in float32, names as save_pretrained() spells them."""
    merged = model.merge_and_unload()
    with tempfile.TemporaryDirectory() as scratch:
        merged.save_pretrained(scratch)
        state = load_file(f"{scratch}/model.safetensors")
    chosen = {f"default/float32/{name}": state[name] for name in spec.merged}
    save_file(chosen, str(out / "merged.safetensors"))


def make(spec: CrossSpec, root: Path) -> dict[str, Any]:
    """Write one checkpoint and its golden folder; return golden.json's object."""
    built = build(spec)
    save(spec, built, root / spec.checkpoint)
    if spec.lora:
        save_adapter(spec, built, root)
    out = root / "golden"
    out.mkdir(parents=True)
    pictures: list[Image.Image] = draw_images(spec.vision["image_size"], spec.name)
    names = [f"image{i}.png" for i in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        picture.save(out / name)
    tensors = {"pixel_values": processor(spec)(images=pictures, return_tensors="pt").pixel_values}
    model = load(spec, root)
    vision, states = encode(model, tensors["pixel_values"])
    tensors |= {"vision": vision, "encoder_hidden_states": states.clone()}
    tokenizer = AutoTokenizer.from_pretrained(root / spec.checkpoint)
    case = case_of(model, spec, tensors, tokenizer)
    document = {
        "format": 1,
        "name": spec.name,
        "seed": spec.seed,
        "gain": spec.gain,
        "versions": versions(),
        "model_type": spec.kind,
        "checkpoint": spec.checkpoint,
        "dtype": spec.dtype,
        "adapter_dtype": spec.dtype,
        "merge_dtype": "float32",
        "image_size": spec.vision["image_size"],
        "vocab_size": spec.text["vocab_size"],
        **tokens(spec),
        "max_new_tokens": MAX_NEW_TOKENS,
        "images": names,
        "prefix_shape": list(states.shape),
        "cases": [case],
    }
    write_json(out / "golden.json", document)
    save_file({k: v.contiguous() for k, v in tensors.items()}, str(out / "golden.safetensors"))
    if spec.merged:
        save_merged(model, spec, out)
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return document


if __name__ == "__main__":
    sys.exit(candidates.run(SPECS, GOLDENS / "cross", make, problems))
