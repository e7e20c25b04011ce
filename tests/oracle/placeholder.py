"""Shared by goldens of LLaVA and SmolVLM: image features replace the prompt's image tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, processors
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerFast

import tiny_tokenizer
from common import read_json, rng_for, write_json

LEAST_MARGIN = 2e-3
NEW_TOKENS = 10
NOISE = 5e-4  # what beams must stand
PLACED_PROMPT = "two <image> stars"
# Many different tokens, so that rules which see the prompt choose other tokens than blind ones.
RULES_PROMPT = "the quick brown fox jumps over 13 lazy dogs: #$%&*@!? [{(<=>)}] QWERTYUIOP ^_~|"


class NearTie(Exception):
    """A result that hangs on rounding, or that a test could not tell from a wrong one."""


class Noise(LogitsProcessor):
    """Moves every score a little."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores with noise."""
        noise = torch.rand(scores.shape, generator=self.generator) * 2 - 1
        return scores + NOISE * noise


def tokenizer_of(
    folder: Path, tokens: list[str], begins: bool, **special: str
) -> PreTrainedTokenizerFast:
    """Return the tiny tokenizer with further tokens; `begins`: <|im_start|> before a text."""
    tokenizer = tiny_tokenizer.train(275)
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in tokens]
    )
    if begins:
        first = (tiny_tokenizer.SPECIALS[1], 1)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first[0]} $A", special_tokens=[first]
        )
    tiny_tokenizer.save(tokenizer, folder, 0, 2)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token="<|endoftext|>",
        pad_token="<|im_end|>",
        bos_token="<|im_start|>",
        **special,
    )


def image_of(width: int, height: int) -> Image.Image:
    """Return a picture with edges and a gradient."""
    rng = rng_for("smolvlm", width, height)
    base = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(base).resize((width, height), Image.Resampling.NEAREST)


def image_name(width: int, height: int) -> str:
    """Return the name of a picture's file."""
    return f"image_{width}x{height}.png"


def random_model(
    build: Callable[[], torch.nn.Module], seed: int, gain: float = 8.0
) -> torch.nn.Module:
    """Return a model of random bfloat16 numbers under a gain over std 0.02."""
    torch.manual_seed(seed)
    model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, gain * 0.02)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            parameter.copy_(parameter.bfloat16().float())
    return model.eval()


def randomize_lora(peft: torch.nn.Module) -> torch.nn.Module:
    """Give the factors of all adapters random bfloat16 numbers."""
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.2)
                parameter.copy_(parameter.bfloat16().float())
    return peft.eval()


def write_adapter(peft: Any, folder: Path) -> None:
    """Save a PEFT folder."""
    peft.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = read_json(folder / "adapter_config.json")
    if isinstance(config["target_modules"], list):
        config["target_modules"] = sorted(config["target_modules"])  # a set in PEFT
    write_json(folder / "adapter_config.json", config)


def levels_of(pixels: torch.Tensor, images: Any) -> np.ndarray:
    """Return pixel values [n, 3, H, W] as the 8-bit levels that they are, [n * H, W, 3]."""
    mean = np.asarray(images.image_mean, np.float64).reshape(3, 1, 1)
    std = np.asarray(images.image_std, np.float64).reshape(3, 1, 1)
    found = pixels.numpy().astype(np.float64)
    levels = np.rint((found * std + mean) * 255.0)
    if np.abs((levels / 255.0 - mean) / std - found).max() > 1e-5:
        raise ValueError("pixel values are no levels")
    return levels.astype(np.uint8).transpose(0, 2, 3, 1).reshape(-1, pixels.shape[-1], 3)


def margin(scores: tuple[torch.Tensor, ...]) -> float:
    """Return the least distance between the two best scores of a step."""
    best = [step.topk(2, dim=-1).values for step in scores]
    return min(float((pair[:, 0] - pair[:, 1]).min()) for pair in best)


def greedy(model: Any, inputs: Any, **options: Any) -> tuple[list[int], float, Any]:
    """Return the new ids of a greedy run, its least margin, and the logits of each step."""
    out = model.generate(
        **inputs,
        **{"max_new_tokens": NEW_TOKENS, "do_sample": False, **options},
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    low = margin(out.scores)
    if low < LEAST_MARGIN:
        raise NearTie(f"margin {low:.1e}")
    return new_ids(out.sequences, inputs), low, torch.cat(out.logits)


def new_ids(sequences: torch.Tensor, inputs: Any) -> list[int]:
    """Return what stands behind the prompt in the only row."""
    return sequences[0, inputs["input_ids"].shape[1] :].tolist()


def beams(model: Any, inputs: Any, **options: Any) -> list[int]:
    """Return the new ids of 3 beams, which noise must not change."""

    def run(*noise: LogitsProcessor) -> list[int]:
        chosen = {"max_new_tokens": NEW_TOKENS, "num_beams": 3, "do_sample": False, **options}
        chosen["logits_processor"] = LogitsProcessorList(noise)
        return new_ids(model.generate(**inputs, **chosen), inputs)

    found = run()
    for seed in range(3):
        if run(Noise(seed)) != found:
            raise NearTie("beams under noise")
    return found


class Unaware(LogitsProcessor):
    """A rule that sees only what is behind the prompt."""

    def __init__(self, rule: LogitsProcessor, prompt: int) -> None:
        self.rule, self.prompt = rule, prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Apply the rule."""
        return self.rule(input_ids[:, self.prompt :], scores)


def variants(model: Any, inputs: Any) -> list[dict[str, Any]]:
    """Return runs under rules that see the prompt, as generate(input_ids) lets them."""
    from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    prompt = inputs["input_ids"][0].tolist()
    plain = greedy(model, inputs)[0]
    lone = [token for token in plain if token not in prompt]
    if not lone:
        raise NearTie("only tokens of the prompt")
    penalty, beam = {"repetition_penalty": 1.6}, {"num_beams": 3}
    rows = [
        penalty,
        {**penalty, **beam},
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": 1, **beam},
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[*prompt[-2:], plain[0]]]},
        {"begin_suppress_tokens": [plain[0]]},
        {"forced_bos_token_id": lone[0]},
        {"forced_bos_token_id": lone[0], "begin_suppress_tokens": [plain[0]]},
        {"max_new_tokens": None, "max_length": len(prompt) + 4},
    ]
    found = []
    for options in rows:
        with_beams = "num_beams" in options
        ids = beams(model, inputs, **options) if with_beams else greedy(model, inputs, **options)[0]
        named = {key: value for key, value in options.items() if value is not None}
        found.append({"options": named, "ids": ids})
    rules = (RepetitionPenaltyLogitsProcessor(1.6), NoRepeatNGramLogitsProcessor(1))
    for rule, row in zip(rules, (found[0], found[2]), strict=True):
        blind = LogitsProcessorList([Unaware(rule, len(prompt))])
        if greedy(model, inputs, logits_processor=blind)[0] == row["ids"]:
            raise NearTie(f"{row['options']} does not depend on the prompt")
    same = [row["ids"] == plain for row in found]
    if same[2] or same[5] or same[6] or not same[7] or same[8]:
        raise NearTie("rules without effect")
    return found


def placed(model: Any, inputs: Any, image: str, prompt: str) -> dict[str, Any]:
    """Return a caption whose prompt says where the image stands."""
    ids, low, _ = greedy(model, inputs)
    return {
        "image": image,
        "prompt": prompt,
        "input_ids": inputs["input_ids"][0].tolist(),
        "ids": ids,
        "min_margin": low,
    }


def chats(model: Any, processor: Any, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return captions of messages through the processor's chat template."""
    found = []
    asks = (("", "a red circle"), ("Be brief.", "What is this?"))
    for (width, height), (system, prompt) in zip(sizes, asks, strict=True):
        image = image_of(width, height)
        user = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
        messages = [{"role": "user", "content": user}]
        if system:
            text = [{"type": "text", "text": system}]
            messages.insert(0, {"role": "system", "content": text})
        text = processor.apply_chat_template(messages, add_generation_prompt=True)
        inputs = processor.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        inputs.pop("mm_token_type_ids", None)
        ids, low, _ = greedy(model, inputs)
        found.append(
            {
                "image": image_name(width, height),
                "system": system,
                "prompt": prompt,
                "text": text,
                "input_ids": inputs["input_ids"][0].tolist(),
                "ids": ids,
                "min_margin": low,
            }
        )
    return found
