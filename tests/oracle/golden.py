"""Runs the real model and collects what a golden holds: ids, margins, prefix, logits, merges."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)

from common import rng_for
from loader import new_name
from model import PrefixConditioningVLM
from specs import Case, Spec

MAX_NEW_TOKENS = 20
LOGIT_STEPS = 8


@dataclass
class Golden:
    """The JSON document and the tensors of one checkpoint's golden folder."""

    document: dict[str, Any]
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    merged: dict[str, torch.Tensor] = field(default_factory=dict)


def generation(spec: Spec, **options: Any) -> GenerationConfig:
    """Return greedy (or beam) settings with the checkpoint's special tokens."""
    eos = spec.text.get("eos_token_id", spec.eos)
    eos_first = eos[0] if isinstance(eos, list) else eos
    pad = spec.pad if spec.pad is not None else eos_first
    fields = {"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False, **options}
    return GenerationConfig(
        eos_token_id=eos,
        pad_token_id=pad,
        bos_token_id=spec.text.get("bos_token_id"),
        return_dict_in_generate=True,
        output_logits=True,
        output_scores=True,
        **fields,
    )


class Jitter(LogitsProcessor):
    """Moves every log probability a little, to find out which results hang on a near tie."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores plus uniform noise in [-5e-4, 5e-4]."""
        return scores + (torch.rand(scores.shape, generator=self.random) - 0.5) * 1e-3


@torch.no_grad()
def run(
    vlm: PrefixConditioningVLM,
    embeds: torch.Tensor,
    config: GenerationConfig,
    *processors: LogitsProcessor,
) -> Any:
    """Generate after the given prefix embeddings; the sequences hold new tokens alone."""
    mask = torch.ones(embeds.shape[:2], dtype=torch.long)
    return vlm.language_model.generate(
        inputs_embeds=embeds,
        attention_mask=mask,
        generation_config=config,
        logits_processor=LogitsProcessorList(processors),
    )


def margins(logits: tuple[torch.Tensor, ...]) -> list[float]:
    """Return top-1 minus top-2 logit of the first row, a value per step."""
    values = []
    for step in logits:
        top = torch.topk(step[0].float(), 2).values
        values.append(round(float(top[0] - top[1]), 5))
    return values


def realise(
    vlm: PrefixConditioningVLM, case: Case, root: Path, dtype: torch.dtype, autocast: bool = True
) -> PrefixConditioningVLM:
    """Return a copy in `dtype` whose active adapters are the case's, loaded from their folders."""
    made = copy.deepcopy(vlm).to(dtype)
    if not case.adapters:
        return made
    folders = [folder for folder, _ in case.adapters]
    text = PeftModel.from_pretrained(
        made.language_model,
        str(root / folders[0]),
        adapter_name=folders[0],
        autocast_adapter_dtype=autocast,
    )
    for folder in folders[1:]:
        text.load_adapter(str(root / folder), adapter_name=folder, autocast_adapter_dtype=autocast)
    if dtype == torch.float64:
        text.to(dtype)
    text.base_model.set_adapter(folders)
    for folder, weight in case.adapters:
        for module in text.modules():
            if isinstance(module, LoraLayer) and weight != 1:
                module.set_scale(folder, weight)
    made.language_model = text
    return made.eval()


@torch.no_grad()
def merged_state(vlm: PrefixConditioningVLM) -> dict[str, torch.Tensor]:
    """Merge every adapter with PEFT and return the plain state dict."""
    for attribute in ("vision_encoder", "language_model"):
        module = getattr(vlm, attribute)
        if isinstance(module, PeftModel):
            setattr(vlm, attribute, module.merge_and_unload())
    return vlm.state_dict()


def add_merged(
    golden: Golden, vlm: PrefixConditioningVLM, spec: Spec, case: Case, root: Path
) -> None:
    """Store the representative merged tensors in float32 and the file's dtype, one in float64."""
    wanted: dict[str, tuple[torch.dtype, bool]] = {
        "float32": (torch.float32, True),
        "float64": (torch.float64, True),
    }
    if spec.dtype != "float32":
        file_dtype = getattr(torch, spec.dtype)
        wanted[spec.dtype] = (file_dtype, True)
        wanted[f"{spec.dtype}-adapter-{spec.dtype}"] = (file_dtype, False)
    for label, (dtype, autocast) in wanted.items():
        copy_ = realise(vlm, case, root, dtype, autocast)
        if autocast and dtype in (torch.float16, torch.bfloat16):
            for name, parameter in copy_.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.float()
        state = merged_state(copy_)
        for name in spec.merged[:1] if label == "float64" else spec.merged:
            tensor = state[new_name(name, spec.vision["model_type"])]
            golden.merged[f"{case.name}/{label}/{name}"] = tensor.detach().clone().contiguous()


def add_captions(
    golden: Golden,
    vlm: PrefixConditioningVLM,
    spec: Spec,
    case: Case,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    """Run every generation of a case and return its JSON part."""
    pixels = golden.tensors["pixel_values"]
    with torch.no_grad():
        features = torch.cat([vlm.vision_features(p[None]) for p in pixels])
        prefix = torch.cat([vlm.prefix(p[None]) for p in pixels])
    main = case == spec.cases[0]
    if main:
        golden.tensors["vision"] = features
        golden.tensors["prefix"] = prefix
    greedy, first = generation(spec), []
    captions = []
    for image in range(len(pixels)):
        out = run(vlm, prefix[image : image + 1], greedy)
        ids = out.sequences[0].tolist()
        steps = margins(out.logits)
        first.append(out.logits[0][0])
        captions.append(
            {
                "image": image,
                "ids": ids,
                "text": tokenizer.decode(ids, skip_special_tokens=True),
                "min_margin": min(steps),
                "margins": steps,
            }
        )
        if main and image == 0:
            golden.tensors["step_logits"] = torch.cat(out.logits[:LOGIT_STEPS])
    golden.tensors[f"{case.name}/first_logits"] = torch.stack(first)
    batch = run(vlm, prefix[:2], greedy).sequences.tolist()
    result: dict[str, Any] = {"captions": captions, "batch": {"images": [0, 1], "ids": batch}}
    result["prompt"] = prompt_case(vlm, prefix[:1], spec, tokenizer)
    result["beams"] = [beam_case(vlm, prefix, spec, options) for options in spec.beams]
    result["variants"] = [variant_case(vlm, prefix, spec, *v) for v in spec.variants]
    return result


def prompt_case(
    vlm: PrefixConditioningVLM,
    prefix: torch.Tensor,
    spec: Spec,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    """Generate after image 0 and two text tokens."""
    rng = rng_for(spec.name, spec.seed, "prompt")
    prompt = [int(i) for i in rng.integers(3, spec.tokenizer_size, 2)]
    embed = vlm.language_model.get_input_embeddings()
    with torch.no_grad():
        embeds = torch.cat([prefix, embed(torch.tensor([prompt]))], dim=1)
    out = run(vlm, embeds, generation(spec))
    ids = out.sequences[0].tolist()
    return {
        "image": 0,
        "prompt_ids": prompt,
        "prompt_text": tokenizer.decode(prompt),
        "ids": ids,
        "min_margin": min(margins(out.logits)),
    }


def beam_case(
    vlm: PrefixConditioningVLM, prefix: torch.Tensor, spec: Spec, options: dict[str, Any]
) -> dict[str, Any]:
    """Beam search on image 0 and 1, one at a time; a row per returned sequence.

    "robust" says that the ids stay the same when every logit is moved by up to 5e-4.
    """
    rows = []
    for image in (0, 1):
        embeds = prefix[image : image + 1]
        out = run(vlm, embeds, generation(spec, **options))
        noisy = [run(vlm, embeds, generation(spec, **options), Jitter(s)) for s in (1, 2, 3)]
        rows.append(
            {
                "image": image,
                "ids": out.sequences.tolist(),
                "scores": [round(float(score), 5) for score in out.sequences_scores],
                "robust": all(torch.equal(out.sequences, n.sequences) for n in noisy),
            }
        )
    return {"options": options, "results": rows}


def variant_case(
    vlm: PrefixConditioningVLM,
    prefix: torch.Tensor,
    spec: Spec,
    image: int,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Greedy generation on one image with further logits processors."""
    out = run(vlm, prefix[image : image + 1], generation(spec, **options))
    ids, low = out.sequences[0].tolist(), min(margins(out.scores))
    return {"options": options, "image": image, "ids": ids, "min_margin": low}


@torch.no_grad()
def ids_without_adapter(vlm: PrefixConditioningVLM, pixels: torch.Tensor, spec: Spec) -> list[int]:
    """Return image 0's ids with every adapter switched off."""
    import contextlib

    with contextlib.ExitStack() as stack:
        for module in (vlm.vision_encoder, vlm.language_model):
            if isinstance(module, PeftModel):
                stack.enter_context(module.disable_adapter())
        return run(vlm, vlm.prefix(pixels[:1]), generation(spec)).sequences[0].tolist()
