"""Whole generation_config.json files, and what transformers' generate() makes of them."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

from golden import run
from markov import Markov, Noise
from model import PrefixConditioningVLM

MAX_NEW_TOKENS = 14
EDGE = 1e-5


def loaded(file: dict[str, Any]) -> GenerationConfig:
    """Return the file as transformers reads it from a folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "generation_config.json").write_text(json.dumps(file), encoding="ascii")
        return GenerationConfig.from_pretrained(folder)


def processors(
    model: GenerationMixin, config: GenerationConfig, positions: int
) -> LogitsProcessorList:
    """Return what generate(inputs_embeds=...) applies to scores, in its order."""
    config, _ = model._prepare_generation_config(config)
    model._prepare_special_tokens(config, True, device="cpu", batch_size=1)
    config = model._prepare_generated_length(
        generation_config=config,
        has_default_max_length=False,
        has_default_min_length=config.min_length is None,
        model_input_name="inputs_embeds",
        input_ids_length=0,
        inputs_tensor=torch.zeros(1, positions, 1),
    )
    return model._get_logits_processor(generation_config=config, input_ids_seq_length=0)


def rule_cases(scores: list[float], row: Any) -> list[dict[str, Any]]:
    """Return what generate()'s own list of processors makes of scores after some tokens."""
    model = Markov(torch.zeros(1, len(scores), len(scores)))
    generated = ([], [3], [6, 1], [1, 5, 1, 5, 1], [2, 7, 4, 2, 7, 9, 2, 7])
    words = [[4], [1, 5], [5, 1, 8], [2, 7, 9], [5], [3, 3]]
    options: tuple[dict[str, Any], ...] = (
        {"suppress_tokens": [2, 7, 0]},
        {"begin_suppress_tokens": [3, 5]},
        {"bad_words_ids": words},
        {"forced_bos_token_id": 6},
        {"forced_eos_token_id": 5},
        {"forced_eos_token_id": [0, 5]},
        {"forced_bos_token_id": 6, "begin_suppress_tokens": [3], "suppress_tokens": [8]},
        {
            "repetition_penalty": 1.6,
            "no_repeat_ngram_size": 2,
            "bad_words_ids": words,
            "min_new_tokens": 3,
            "forced_eos_token_id": [0, 5],
            "suppress_tokens": [10, 11],
            "begin_suppress_tokens": [1],
        },
    )
    cases = []
    for ids, chosen in itertools.product(generated, options):
        config = GenerationConfig(eos_token_id=[0, 5], max_new_tokens=6, **chosen)
        made = processors(model, config, 0)
        done = made(torch.tensor([ids], dtype=torch.long), torch.tensor([scores]))[0]
        cases.append(
            {
                "generated": ids,
                "options": chosen,
                "eos": [0, 5],
                "max_new_tokens": 6,
                "scores": row(done),
            }
        )
    return cases


def files_for(plain: list[list[int]], eos: list[int], positions: int) -> list[dict[str, Any]]:
    """Return files whose every setting changes what the greedy captions `plain` would be."""
    a, b = plain
    words = [[a[1]], [a[2], a[3]], [b[0], b[1]], [b[2], b[3], b[4]], [eos[0]]]
    suppress, begin = [a[4], b[5]], [a[0], b[0]]
    rules: dict[str, Any] = {
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": words,
        "suppress_tokens": suppress,
        "begin_suppress_tokens": begin,
        "min_new_tokens": 6,
    }
    rows: list[dict[str, Any]] = [
        {"suppress_tokens": suppress},
        {"begin_suppress_tokens": begin},
        {"bad_words_ids": words},
        {"min_length": positions + 11},
        {"min_length": positions + 11, "min_new_tokens": 0},
        {"forced_bos_token_id": a[0]},
        {"forced_bos_token_id": a[4], "begin_suppress_tokens": begin},
        {"forced_eos_token_id": eos[-1], "suppress_tokens": a[1:3]},
        {"repetition_penalty": 1.3, "typical_p": 0.9, "house_rule": {"kept": True}},
        rules,
    ]
    greedy = [{"max_new_tokens": MAX_NEW_TOKENS, **row} for row in rows]
    greedy.append({"max_length": positions + 2})
    greedy.append({"max_length": positions + 2, "max_new_tokens": 9, "min_new_tokens": 9})
    beams = [{"num_beams": 3, **row} for row in greedy[:4]] + [
        {**greedy[9], "num_beams": beams, "early_stopping": early, "length_penalty": penalty}
        for beams, early, penalty in ((2, False, 1.0), (3, True, 0.5), (4, "never", 2.0))
    ]
    short = {  # without what takes many nodes in a graph
        "repetition_penalty": 1.2,
        "bad_words_ids": [[a[1]], [b[2]], [eos[0]]],
        "suppress_tokens": suppress,
        "begin_suppress_tokens": begin,
        "min_new_tokens": 6,
        "max_new_tokens": MAX_NEW_TOKENS,
    }
    greedy.append(short)
    beams += [
        {**short, "num_beams": beams, "early_stopping": early, "length_penalty": penalty}
        for beams, early, penalty in ((2, False, -1.0), (3, True, 0.5), (4, "never", 2.0))
    ]
    common = {"eos_token_id": eos, "pad_token_id": eos[0], "transformers_version": "5.0.0"}
    return [{**row, **common} for row in greedy + beams]


def sampled_files(eos: list[int], plain: list[list[int]]) -> list[dict[str, Any]]:
    """Return files that turn sampling on; without top_k generate() takes 50."""
    rows: tuple[dict[str, Any], ...] = (
        {},
        {"temperature": 1.7, "top_k": 9},
        {"temperature": 0.8, "top_p": 0.9, "suppress_tokens": plain[0][:2], "top_k": 0},
        {"repetition_penalty": 1.4, "bad_words_ids": [[plain[1][0]]], "min_new_tokens": 4},
    )
    common = {"eos_token_id": eos, "pad_token_id": eos[0], "max_new_tokens": MAX_NEW_TOKENS}
    return [{"do_sample": True, **row, **common} for row in rows]


def searched(
    model: PrefixConditioningVLM, embeds: torch.Tensor, file: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the caption, or nothing where a little noise changes it."""

    def once(*noise: Any) -> Any:
        config = loaded(file)
        config.return_dict_in_generate = True
        config.output_scores = True
        return run(model, embeds, config, *noise)

    out = once()
    for seed in (1, 2, 3):
        if not torch.equal(once(Noise(seed)).sequences, out.sequences):
            return None
    ids = out.sequences[0].tolist()
    if file.get("num_beams", 1) == 1:
        return {"ids": ids}
    return {"ids": ids, "score": round(float(out.sequences_scores[0]), 5)}


@torch.no_grad()
def sampled(
    vlm: PrefixConditioningVLM,
    embeds: torch.Tensor,
    file: dict[str, Any],
    seed: int,
    draw: Any,
) -> list[int] | None:
    """Sample by generate()'s processors and numpy's numbers; nothing where a draw is on an edge."""
    random = np.random.RandomState(seed)
    model = vlm.language_model
    made = processors(model, loaded(file), embeds.shape[1])
    table = model.get_input_embeddings()
    ids: list[int] = []
    while len(ids) < MAX_NEW_TOKENS and (not ids or ids[-1] not in file["eos_token_id"]):
        seen = torch.tensor([ids], dtype=torch.long)
        logits = model(inputs_embeds=torch.cat([embeds, table(seen)], 1)).logits[:, -1].float()
        scores = made(seen, logits)
        token, gap = draw(scores[0], random.random_sample())
        if gap < EDGE or bool(((scores - scores[0, token]).abs().sort().values[0, 1]) < EDGE):
            return None
        ids.append(token)
    return ids


def checkpoint_files(
    vlm: PrefixConditioningVLM,
    prefixes: list[torch.Tensor],
    plain: list[list[int]],
    eos: list[int],
    draw: Any,
) -> dict[str, Any]:
    """Return files with the captions and samples of two images by them."""
    positions = prefixes[0].shape[1]
    searches, samples, dropped = [], [], 0
    for file in files_for(plain, eos, positions):
        rows = []
        for image, prefix in enumerate(prefixes):
            found = searched(vlm, prefix, file)
            dropped += found is None
            if found is not None:
                rows.append({"image": image, **found})
        searches.append({"file": file, "captions": rows})
    for seed, file in enumerate(sampled_files(eos, plain)):
        rows = []
        for image, prefix in enumerate(prefixes):
            ids = sampled(vlm, prefix, file, seed, draw)
            dropped += ids is None
            if ids is not None:
                rows.append({"image": image, "ids": ids})
        samples.append({"file": file, "seed": seed, "captions": rows})
    print(f"  {len(searches)} files, {len(samples)} that sample ({dropped} captions left out)")
    return {"searches": searches, "samples": samples}
