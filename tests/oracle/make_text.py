"""Goldens of text alone: tiny random decoders and what generate(input_ids) makes of prompts.

Usage: make_text.py [--out DIR] [NAME...]
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
)

import tiny_tokenizer
from common import GOLDENS, folder_bytes, quiet, read_json, versions, write_json
from golden import Jitter
from make_generation import EDGE, draw, filters, on_the_edge
from text_catalog import CASES

TEMPLATES = Path(__file__).parent / "chat_templates"
LEAST_MARGIN = 2e-3
NEW_TOKENS = 12
TOKENS = 275
BEGIN, END, PAD = 1, 0, 2  # ids of tiny_tokenizer.SPECIALS


def tokenizer_of(case: dict[str, Any], folder: Path) -> PreTrainedTokenizerFast:
    """Write the tiny tokenizer, with a template or else with a step that adds the first token."""
    tiny_tokenizer.save(tiny_tokenizer.train(TOKENS), folder, END, PAD)
    if case["template"] is None:
        document = read_json(folder / "tokenizer.json")
        begin = tiny_tokenizer.SPECIALS[BEGIN]
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": begin, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {begin: {"id": begin, "ids": [BEGIN], "tokens": [begin]}},
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    else:
        template = (TEMPLATES / case["template"]).read_text(encoding="utf-8")
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return PreTrainedTokenizerFast.from_pretrained(folder)


def config_of(case: dict[str, Any]) -> Any:
    """Return the config of a case."""
    return case["config"](
        vocab_size=TOKENS + 3,
        eos_token_id=END,
        bos_token_id=BEGIN,
        pad_token_id=PAD,
        tie_word_embeddings=case["tied"],
        **case["shape"],
    )


def fill(model: torch.nn.Module, seed: int, pick: str, gain: float) -> None:
    """Give the parameters whose name has `pick` random values that bfloat16 holds."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if pick not in name:
                continue
            if parameter.dim() > 1:
                parameter.normal_(0.0, gain)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            parameter.copy_(parameter.bfloat16().float())


def input_ids(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    """Return the ids of a prompt: through the chat template where there is one."""
    if tokenizer.chat_template is None or row.get("raw_prompt"):
        return tokenizer(row["prompt"])["input_ids"]
    said = [{"role": "user", "content": row["prompt"]}]
    if "system" in row:
        said.insert(0, {"role": "system", "content": row["system"]})
    ids = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=True)
    return ids if isinstance(ids, list) else ids["input_ids"]


class Search:
    """generate() of one model, and the least margin that any greedy choice had."""

    def __init__(self, model: Any, settings: dict[str, Any]) -> None:
        self.model = model
        self.settings = settings
        self.low = float("inf")

    def run(self, ids: list[list[int]], *extra: LogitsProcessor, **options: Any) -> Any:
        """Return generate()'s result for rows that are padded on their left."""
        width = max(map(len, ids))
        padded = [[PAD] * (width - len(row)) + row for row in ids]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in ids]
        fields = {**self.settings, **options}
        if "max_length" not in fields:
            fields = {"max_new_tokens": NEW_TOKENS, **fields}
        return self.model.generate(
            input_ids=torch.tensor(padded),
            attention_mask=torch.tensor(mask),
            logits_processor=LogitsProcessorList(extra),
            generation_config=GenerationConfig(
                bos_token_id=BEGIN,
                pad_token_id=PAD,
                return_dict_in_generate=True,
                output_scores=True,
                **fields,
            ),
        )

    def greedy(self, ids: list[int], **options: Any) -> list[int]:
        """Return the new ids, and remember the least margin."""
        out = self.run([ids], **options)
        for scores in out.scores:
            best = scores.topk(2, dim=-1).values
            self.low = min(self.low, float(best[0, 0] - best[0, 1]))
        return out.sequences[0, len(ids) :].tolist()

    def beams(self, ids: list[int], **options: Any) -> dict[str, Any]:
        """Return the best of three beams; a result that noise turns counts as a near tie."""
        options = {"num_beams": 3, **options}
        out = self.run([ids], **options)
        for seed in (1, 2, 3):
            if not torch.equal(self.run([ids], Jitter(seed), **options).sequences, out.sequences):
                self.low = 0.0
        score = round(float(out.sequences_scores[0]), 5)
        return {"ids": out.sequences[0, len(ids) :].tolist(), "score": score}

    def sampled(self, ids: list[int], options: dict[str, Any], seed: int) -> list[int] | None:
        """Sample with transformers' warpers and numpy's numbers; nothing for a draw on an edge."""
        random = np.random.RandomState(seed)
        found: list[int] = []
        while len(found) < NEW_TOKENS and (not found or found[-1] not in self.ends):
            with torch.no_grad():
                logits = self.model(input_ids=torch.tensor([ids + found])).logits[:, -1].float()
            if on_the_edge(logits, options):
                return None
            token, gap = draw(filters(options)(None, logits)[0], random.random_sample())
            if gap < EDGE:
                return None
            found.append(token)
        return found

    @property
    def ends(self) -> list[int]:
        """The end tokens."""
        eos = self.settings["eos_token_id"]
        return eos if isinstance(eos, list) else [eos]


def variants(search: Search, ids: list[int], plain: list[int]) -> list[dict[str, Any]]:
    """Return what rules make of a prompt, some of which see it."""
    rules: list[dict[str, Any]] = [
        {"repetition_penalty": 1.6},
        {"no_repeat_ngram_size": 1},
        {"bad_words_ids": [[plain[0]], [ids[-1], plain[1]], [plain[0], plain[1]]]},
        {"min_length": len(ids) + 9},
        {"max_length": len(ids) + 4},
        {"min_new_tokens": 9, "suppress_tokens": [plain[2]]},
        {"begin_suppress_tokens": [plain[0]]},
        {"forced_bos_token_id": 7, "forced_eos_token_id": END},
    ]
    found: list[dict[str, Any]] = [
        {"prompt": 0, "options": rule, "ids": search.greedy(ids, **rule)} for rule in rules
    ]
    for rule in rules[:2]:
        made = search.beams(ids, **rule)
        found.append({"prompt": 0, "options": {"num_beams": 3, **rule}, **made})
    return found


def forced_behind(search: Search, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what forced_bos_token_id makes of prompts of one token."""
    found = []
    for number, row in enumerate(rows):
        ids = row["input_ids"]
        if len(ids) == 1:
            rule: dict[str, Any] = {"forced_bos_token_id": 7}
            behind = search.greedy(ids, **rule)[1:]
            if not behind:  # 7 ends this model's texts
                search.low = 0.0
                continue
            rule["begin_suppress_tokens"] = behind[:1]
            made = search.greedy(ids, **rule)
            found.append({"prompt": number, "options": rule, "ids": made})
    return found


def prompt_matters(search: Search, ids: list[int], found: list[dict[str, Any]]) -> bool:
    """Say whether a penalty that did not see the prompt would give other ids."""
    embeds = search.model.get_input_embeddings()(torch.tensor([ids]))
    config = GenerationConfig(
        pad_token_id=PAD, max_new_tokens=NEW_TOKENS, **{**search.settings, **found[0]["options"]}
    )
    unseen = search.model.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        generation_config=config,
    )
    return unseen[0].tolist() != found[0]["ids"]


def results(model: Any, tokenizer: Any, case: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Return everything that generate() makes of a case, and the least margin of any choice."""
    rows = [{**row, "input_ids": input_ids(tokenizer, row)} for row in case["prompts"]]
    first = Search(model, {"eos_token_id": END}).greedy(rows[0]["input_ids"])
    ends = [END, first[5]]  # a second one, so that rows end at different lengths
    search = Search(model, {**case["settings"], "eos_token_id": ends})
    for row in rows:
        row["ids"] = search.greedy(row["input_ids"])
    if search.low < LEAST_MARGIN:
        return {}, 0.0
    for row in rows:
        row["text"] = tokenizer.decode(row["ids"], skip_special_tokens=True)
        row["beams"] = search.beams(row["input_ids"])
    given = [row["input_ids"] for row in rows]
    batch = search.run(given).sequences[:, max(map(len, given)) :].tolist()
    bare = Search(model, {"eos_token_id": ends})
    plain = bare.greedy(given[0], min_new_tokens=9)
    found = variants(bare, given[0], plain)
    seen = prompt_matters(bare, given[0], found)
    found += forced_behind(bare, rows)
    samples = []
    for seed, (temperature, top_k, top_p) in enumerate(((1.0, 0, 1.0), (0.8, 9, 0.9))):
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        ids = bare.sampled(given[-1], options, seed)
        samples.append({"prompt": len(rows) - 1, "options": options, "seed": seed, "ids": ids})
    low = min(search.low, bare.low)
    distinct = len({tuple(row["ids"]) for row in rows}) == len(rows)
    lengths = {len(row["ids"]) for row in rows}
    alike = all(b[: len(r["ids"])] == r["ids"] for b, r in zip(batch, rows, strict=True))
    if not (distinct and alike and seen and len(lengths) > 1 and all(s["ids"] for s in samples)):
        low = 0.0
    document = {
        "eos_token_id": ends,
        "max_new_tokens": NEW_TOKENS,
        "prompts": rows,
        "batch": batch,
        "variants": found,
        "samples": samples,
    }
    return document, low


def save(case: dict[str, Any], base: Any, folder: Path, ends: list[int]) -> None:
    """Write the checkpoint in bfloat16 with its generation_config.json."""
    copy.deepcopy(base).bfloat16().save_pretrained(folder)
    settings = {"eos_token_id": ends, "bos_token_id": BEGIN, "pad_token_id": PAD}
    plain = {"max_new_tokens": NEW_TOKENS}
    write_json(folder / "generation_config.json", {**settings, **plain, **case["settings"]})


def make(case: dict[str, Any], out: Path) -> None:
    """Write a checkpoint, its adapter where it has one, and its golden."""
    folder = out / case["name"]
    base_folder = folder / "base" if case["adapter"] else folder / "merged"
    base_folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(case, base_folder)
    for seed in range(1, 400):
        base = case["model"](config_of(case)).eval()
        fill(base, seed, "", 8.0 * 0.02)
        model = base
        if case["adapter"]:
            lora = LoraConfig(r=3, lora_alpha=6, target_modules=case["adapter"])
            model = get_peft_model(copy.deepcopy(base), lora).eval()
            fill(model, seed, "lora_", 0.2)
        document, low = results(model, tokenizer, case)
        if low < LEAST_MARGIN:
            continue
        if case["adapter"]:
            with model.disable_adapter():
                plain = Search(model, {"eos_token_id": document["eos_token_id"]})
                first = document["prompts"][0]
                if plain.greedy(first["input_ids"]) == first["ids"]:
                    continue
        break
    else:
        raise ValueError(f"{case['name']}: every seed has a near tie")
    save(case, base, base_folder, document["eos_token_id"])
    if case["adapter"]:
        model.save_pretrained(folder / "adapter")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        config = read_json(folder / "adapter" / "adapter_config.json")
        config["target_modules"] = sorted(config["target_modules"])  # a set in PEFT
        config["base_model_name_or_path"] = "base"
        write_json(folder / "adapter" / "adapter_config.json", config)
    said = versions("torch", "transformers", "peft", "tokenizers", "numpy")
    write_json(folder / "golden.json", {"format": 1, "versions": said, "seed": seed, **document})
    print(f"{case['name']}: seed {seed}, least margin {low:.4f}, {folder_bytes(folder)} bytes")


def main() -> int:
    """Write the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "text")
    parser.add_argument("names", nargs="*", help="some cases only")
    args = parser.parse_args()
    quiet()
    for case in CASES:
        if not args.names or case["name"] in args.names:
            make(case, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
