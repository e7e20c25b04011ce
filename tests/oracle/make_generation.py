"""Makes tests/goldens/generation: rules, filters, draws and searches by transformers and numpy."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import generation_files
import generation_rules
import loader
from catalog import SPECS
from common import GOLDENS, quiet, rng_for, versions, write_json
from golden import generation, realise, run
from markov import Noise, beam_cases
from model import PrefixConditioningVLM
from specs import Spec

CHECKPOINTS = ("base", "odd", "dora", "ropescale")
FILES = ("base", "odd")  # of which generation_config.json files are tried
RULED = ("base", "odd", "gpt2")  # by which rules are tried that look back
IMAGES = (0, 1)
STEPS = 14
TABLE_STEPS = 9
EDGE = 1e-5  # so far must a sum of probabilities be from a threshold
EARLY = (False, True, "never")


def finite(scores: torch.Tensor) -> list[float | None]:
    """Return a row as JSON; minus infinity is null."""
    return [None if s == float("-inf") else round(float(s), 6) for s in scores]


def filters(options: dict[str, Any]) -> LogitsProcessorList:
    """Return transformers' warpers in the order of generate()."""
    made = LogitsProcessorList()
    if options["temperature"] != 1.0:
        made.append(TemperatureLogitsWarper(options["temperature"]))
    if options["top_k"] != 0:
        made.append(TopKLogitsWarper(options["top_k"]))
    if options["top_p"] < 1.0:
        made.append(TopPLogitsWarper(options["top_p"]))
    return made


def on_the_edge(logits: torch.Tensor, options: dict[str, Any]) -> bool:
    """Say whether rounding could move a token across top_p."""
    before = filters({**options, "top_p": 1.0})(None, logits.double())
    ordered = torch.sort(before).values.softmax(-1).cumsum(-1)
    return bool(((ordered - (1 - options["top_p"])).abs() < EDGE).any())


def probabilities(scores: torch.Tensor) -> np.ndarray:
    """Return exp(score - highest) in float64."""
    row = scores.double().numpy()
    return np.exp(row - row.max())


def draw(scores: torch.Tensor, uniform: float) -> tuple[int, float]:
    """Return the token by inverse transform and how far the draw was from another one."""
    sums = np.cumsum(probabilities(scores))
    wanted = uniform * sums[-1]
    return int(np.searchsorted(sums, wanted, side="right")), float(np.abs(sums - wanted).min())


def logits_vectors() -> dict[str, list[float]]:
    """Return named rows of logits, rounded so that JSON holds them exactly enough."""
    rng = rng_for("generation", "logits")
    flat = [round(float(x), 3) for x in rng.normal(0, 0.05, 40)]
    steep = [round(float(x), 3) for x in rng.normal(-4, 6, 96)]
    usual = [round(float(x), 3) for x in rng.normal(0, 2.5, 64)]
    ties = [2.5, 1.0, 1.0, -3.0, 1.0, 0.5, 2.5, -3.0, 1.0, 4.0]
    return {"usual": usual, "steep": steep, "flat": flat, "ties": ties}


def filter_cases() -> list[dict[str, Any]]:
    """Return what the warpers leave, and draws from it."""
    cases = []
    grid = itertools.product((1.0, 0.5, 1.7), (0, 1, 5, 500), (1.0, 0.9, 0.4, 0.05))
    for temperature, top_k, top_p in grid:
        for name, row in logits_vectors().items():
            options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
            logits = torch.tensor([row])
            if name == "ties" and top_p < 1.0:
                continue  # which of equal tokens goes first is not said anywhere
            if top_p < 1.0 and on_the_edge(logits, options):
                continue
            kept = filters(options)(None, logits.clone())[0]
            seed = len(cases)
            uniforms = np.random.RandomState(seed).random_sample(6)
            draws = [draw(kept, u) for u in uniforms]
            if min(gap for _, gap in draws) < EDGE:
                raise ValueError(f"a draw of {name}, {options} is on an edge")
            cases.append(
                {
                    "logits": name,
                    "options": options,
                    "log_probs": finite(kept.log_softmax(-1)),
                    "seed": seed,
                    "tokens": [token for token, _ in draws],
                }
            )
    return cases


def rule_cases() -> list[dict[str, Any]]:
    """Return what the processors make of scores after some tokens."""
    scores = logits_vectors()["usual"][:12]
    generated = ([], [3], [3, 3], [1, 5, 1, 5, 1], [2, 7, 4, 2, 7, 9, 2, 7], [0, 0, 0])
    options = (
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.7},
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": 2},
        {"no_repeat_ngram_size": 3},
        {"min_new_tokens": 4},
        {"repetition_penalty": 2.0, "no_repeat_ngram_size": 2, "min_new_tokens": 6},
    )
    cases = []
    for ids, chosen in itertools.product(generated, options):
        made = LogitsProcessorList()
        if "repetition_penalty" in chosen:
            made.append(RepetitionPenaltyLogitsProcessor(chosen["repetition_penalty"]))
        if "no_repeat_ngram_size" in chosen:
            made.append(NoRepeatNGramLogitsProcessor(chosen["no_repeat_ngram_size"]))
        if "min_new_tokens" in chosen:
            made.append(MinNewTokensLengthLogitsProcessor(0, chosen["min_new_tokens"], [0, 5]))
        done = made(torch.tensor([ids], dtype=torch.long), torch.tensor([scores]))[0]
        cases.append({"generated": ids, "options": chosen, "eos": [0, 5], "scores": finite(done)})
    return cases


def random_cases() -> list[dict[str, Any]]:
    """Return the first numbers of numpy's Mersenne Twister for some seeds."""
    return [
        {
            "seed": seed,
            "raw": [int(i) for i in np.random.RandomState(seed)._bit_generator.random_raw(8)],
            "uniform": [float(u) for u in np.random.RandomState(seed).random_sample(700)[-4:]],
            "skipped": 696,
        }
        for seed in (0, 1, 42, 5489, 2**31, 2**32 - 1)
    ]


def beam_rows() -> list[dict[str, Any]]:
    """Return the settings of beam search alone."""
    return [
        {"num_beams": beams, "length_penalty": penalty, "early_stopping": early}
        for beams, penalty, early in itertools.product((2, 3, 5), (0.0, 1.0, 2.0, -1.0), EARLY)
    ]


def option_rows() -> list[dict[str, Any]]:
    """Return the settings of the searches."""
    rows = beam_rows()
    rules: tuple[dict[str, Any], ...] = (
        {"repetition_penalty": 1.4},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 8},
        {"repetition_penalty": 0.8, "no_repeat_ngram_size": 3},
    )
    rows += [{"num_beams": beams, **rule} for beams in (1, 3) for rule in rules]
    return rows


def end_tokens(vlm: PrefixConditioningVLM, prefix: torch.Tensor, spec: Spec) -> list[int]:
    """Return tokens that end some hypotheses early and some late: random weights seldom stop."""
    plain = generation(spec, max_new_tokens=STEPS)
    rows = [run(vlm, prefix[i : i + 1], plain).sequences[0].tolist() for i in IMAGES]
    chosen = [rows[0][min(5, len(rows[0]) - 1)], rows[1][min(9, len(rows[1]) - 1)]]
    return sorted(set(chosen))


def search_case(
    vlm: PrefixConditioningVLM,
    embeds: torch.Tensor,
    spec: Spec,
    options: dict[str, Any],
    eos: list[int],
) -> dict[str, Any] | None:
    """Return ids (and the score of beams), or nothing where a little noise changes them."""
    config = generation(spec, max_new_tokens=STEPS, **options)
    config.eos_token_id = eos
    config.pad_token_id = eos[0]
    out = run(vlm, embeds, config)
    for seed in (1, 2, 3):
        if not torch.equal(run(vlm, embeds, config, Noise(seed)).sequences, out.sequences):
            return None
    result: dict[str, Any] = {"ids": out.sequences[0].tolist()}
    if options["num_beams"] > 1:
        result["score"] = round(float(out.sequences_scores[0]), 5)
    return result


def sampled(
    vlm: PrefixConditioningVLM,
    embeds: torch.Tensor,
    options: dict[str, Any],
    seed: int,
    eos: list[int],
) -> list[int] | None:
    """Sample with transformers' warpers and numpy's numbers; nothing where a draw is on an edge."""
    random = np.random.RandomState(seed)
    table = vlm.language_model.get_input_embeddings()
    ids: list[int] = []
    with torch.no_grad():
        while len(ids) < STEPS and (not ids or ids[-1] not in eos):
            new = table(torch.tensor([ids], dtype=torch.long))
            seen = torch.cat([embeds, new], 1)
            logits = vlm.language_model(inputs_embeds=seen).logits[:, -1].float()
            if options["top_p"] < 1.0 and on_the_edge(logits, options):
                return None
            token, gap = draw(filters(options)(None, logits)[0], random.random_sample())
            if gap < EDGE:
                return None
            ids.append(token)
    return ids


def checkpoint_part(name: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return every search of one checkpoint, and those by whole files."""
    spec = next(spec for spec in SPECS if spec.name == name)
    vlm = realise(loader.load(folder / spec.checkpoint, spec), spec.cases[0], folder, torch.float32)
    pixels = load_file(str(folder / "golden" / "golden.safetensors"))["pixel_values"]
    with torch.no_grad():
        prefix = torch.cat([vlm.prefix(p[None]) for p in pixels])
    eos = end_tokens(vlm, prefix, spec)
    searches, dropped = [], 0
    for options in option_rows():
        for image in IMAGES:
            case = search_case(vlm, prefix[image : image + 1], spec, options, eos)
            dropped += case is None
            if case is not None:
                searches.append({"image": image, "options": options, **case})
    samples = []
    for seed, (temperature, top_k, top_p) in enumerate(
        ((1.0, 0, 1.0), (0.7, 0, 0.9), (1.5, 8, 1.0), (1.2, 20, 0.8))
    ):
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        for image in IMAGES:
            ids = sampled(vlm, prefix[image : image + 1], options, seed, eos)
            if ids is not None:
                samples.append({"image": image, "options": options, "seed": seed, "ids": ids})
    lengths = {len(case["ids"]) for case in searches}
    print(
        f"{name}: eos {eos}, {len(searches)} searches ({dropped} near a tie left out),"
        f" lengths {sorted(lengths)}, {len(samples)} samples"
    )
    known = {"checkpoint": name, "case": spec.cases[0].name}
    part = {
        **known,
        "max_new_tokens": STEPS,
        "eos_token_ids": eos,
        "searches": searches,
        "samples": samples,
    }
    if name not in FILES:
        return part, None
    rows = [prefix[image : image + 1] for image in IMAGES]
    plain = [
        run(vlm, row, generation(spec, max_new_tokens=STEPS)).sequences[0].tolist() for row in rows
    ]
    return part, {**known, **generation_files.checkpoint_files(vlm, rows, plain, eos, draw)}


def rules_part(name: str, folder: Path) -> dict[str, Any]:
    """Return what the rules that look back make of one checkpoint."""
    spec = next(spec for spec in SPECS if spec.name == name)
    vlm = realise(loader.load(folder / spec.checkpoint, spec), spec.cases[0], folder, torch.float32)
    pixels = load_file(str(folder / "golden" / "golden.safetensors"))["pixel_values"]
    with torch.no_grad():
        rows = [vlm.prefix(pixels[image][None]) for image in IMAGES]
    known = {"checkpoint": name, "case": spec.cases[0].name}
    return {**known, **generation_rules.checkpoint_rules(vlm, rows, spec, folder / spec.checkpoint)}


def main() -> int:
    """Write the files under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "generation")
    parser.add_argument("--checkpoints", type=Path, default=GOLDENS / "checkpoints")
    args = parser.parse_args()
    quiet()
    said = versions("torch", "transformers", "numpy")
    write_json(
        args.out / "filters.json",
        {
            "format": 1,
            "versions": said,
            "logits": logits_vectors(),
            "random": random_cases(),
            "filters": filter_cases(),
            "rule_scores": logits_vectors()["usual"][:12],
            "rules": rule_cases()
            + generation_files.rule_cases(logits_vectors()["usual"][:12], finite),
        },
    )
    write_json(
        args.out / "beams.json",
        {"format": 1, "versions": said, "tables": beam_cases(beam_rows(), TABLE_STEPS)},
    )
    rules = [rules_part(name, args.checkpoints / name) for name in RULED]
    write_json(args.out / "rules.json", {"format": 1, "versions": said, "checkpoints": rules})
    parts = [checkpoint_part(name, args.checkpoints / name) for name in CHECKPOINTS]
    for name, rows in (("searches", [a for a, _ in parts]), ("files", [b for _, b in parts if b])):
        write_json(args.out / f"{name}.json", {"format": 1, "versions": said, "checkpoints": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
