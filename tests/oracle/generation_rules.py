"""Rules that look back at the ids so far, each and all together, and words by the tokenizer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from golden import generation, run
from markov import Noise
from model import PrefixConditioningVLM
from specs import Spec

STEPS = 20
WORDS = ("a", "red", "cube", "the circle", "Zebra", "naïve", "snow-man")


def rule_sets(plain: list[list[int]]) -> list[dict[str, Any]]:
    """Return settings that change what the greedy captions `plain` would be."""
    a, b = plain
    words = [[a[1]], [a[2], a[3]], [b[0], b[1]], [b[2], b[3], b[4]], [a[5], a[6], a[7], a[8]]]
    parts: tuple[tuple[dict[str, Any], ...], ...] = (
        ({}, {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8}),
        ({}, {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 3}),
        ({}, {"bad_words_ids": words[:1]}, {"bad_words_ids": words}),
    )
    made = [
        dict(itertools.chain.from_iterable(row.items() for row in rows))
        for rows in itertools.product(*parts)
    ]
    return made[1:]


def checkpoint_rules(
    vlm: PrefixConditioningVLM, prefixes: list[torch.Tensor], spec: Spec, folder: Path
) -> dict[str, Any]:
    """Return greedy captions by every combination, without those that a little noise changes."""
    plain = [
        run(vlm, row, generation(spec, max_new_tokens=STEPS)).sequences[0].tolist()
        for row in prefixes
    ]
    plain = [(ids * STEPS)[:STEPS] for ids in plain]  # where one ends early
    searches = []
    for options in rule_sets(plain):
        config = generation(spec, max_new_tokens=STEPS, **options)
        for image, prefix in enumerate(prefixes):
            ids = run(vlm, prefix, config).sequences
            noisy = (run(vlm, prefix, config, Noise(seed)).sequences for seed in (1, 2, 3))
            if all(torch.equal(ids, other) for other in noisy):
                searches.append({"image": image, "options": options, "ids": ids[0].tolist()})
    print(f"  {len(searches)} captions by rules that look back")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = [
        {
            "word": word,
            "ids": [
                tokenizer(form, add_special_tokens=False).input_ids for form in (word, " " + word)
            ],
        }
        for word in WORDS
    ]
    return {"max_new_tokens": STEPS, "searches": searches, "words": words}
