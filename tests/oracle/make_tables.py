"""Makes tests/goldens/tables: embedding tables that adapters change, tie, untie or resize."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file, save_model

import loader
import tiny_tokenizer
from common import GOLDENS, folder_bytes, quiet, versions, write_json
from golden import generation, margins, realise, run
from layout import complete_config, save_checkpoint, sort_targets
from make_checkpoints import draw_images, processor
from model import PrefixConditioningVLM, build, lora_config, perturb_adapter, randomize
from specs import Case, Lora, Spec, llama, siglip

STEPS = 8
MIN_MARGIN = 0.001
ROWS, TOKENS = 276, 270  # the bases have rows that no token uses
QV = ("q_proj", "v_proj")
EMBED, HEAD = "embed_tokens", "lm_head"


@dataclass(frozen=True)
class Trained:
    """A PEFT folder: how it was trained; rows: of the tables after tokens were added, 0 = none.

    stored: save_embedding_layers of save_pretrained. tokens: of the tokenizer saved beside it.
    """

    targets: tuple[str, ...] = QV
    options: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    stored: bool | str = False
    tokens: int = 0


@dataclass(frozen=True)
class Row:
    """One case: a base (or a whole checkpoint), adapters with weights, and whether it ends tied."""

    name: str
    base: str
    adapters: tuple[tuple[str, float], ...]
    tied: bool
    rows: int = ROWS


def saved(*modules: str, **more: Any) -> dict[str, Any]:
    """Return the options that train modules whole."""
    return {"modules_to_save": list(modules), **more}


ADAPTERS = {
    "plain": Trained(),
    "embed": Trained(options=saved(EMBED)),
    "head": Trained(options=saved(HEAD)),
    "both": Trained(options=saved(EMBED, HEAD)),
    "ensured": Trained(options=saved(EMBED, ensure_weight_tying=True)),
    "lora_embed": Trained(("q_proj", EMBED), stored="auto"),
    "lora_head": Trained(("q_proj", HEAD)),
    "lora_both": Trained(("q_proj", EMBED, HEAD)),
    "lora_ensured": Trained(("q_proj", EMBED), {"ensure_weight_tying": True}, stored="auto"),
    "rows": Trained(options={"trainable_token_indices": [3, 40, 0]}),
    "rows_apart": Trained(
        options={"trainable_token_indices": {EMBED: [3, 40, 0], HEAD: [7, 40, 11]}}
    ),
    "rows_head": Trained(options={"trainable_token_indices": {HEAD: [7, 40, 11]}}),
    "grown": Trained(rows=280, stored=True),
    "grown_embed": Trained(options=saved(EMBED), rows=280, stored=True, tokens=279),
    "grown_rows": Trained(
        options={"trainable_token_indices": [3, *range(276, 280)]}, rows=280, stored=True
    ),
    "new_rows": Trained(
        options={"trainable_token_indices": [3, *range(276, 280)]}, rows=280, tokens=280
    ),
    "shrunk": Trained(rows=272, stored=True, tokens=272),
}
OF_TIED = {
    "embed": False,
    "head": False,
    "both": False,
    "ensured": True,
    "lora_embed": False,
    "lora_head": False,
    "lora_both": False,
    "lora_ensured": True,
    "rows": True,
    "rows_apart": False,
    "rows_head": False,
    "grown": True,
    "grown_embed": False,
    "grown_rows": True,
    "new_rows": True,
    "shrunk": True,
}
OF_UNTIED = ("embed", "lora_head", "rows", "grown", "shrunk")
# Whole checkpoints in one file, PEFT's names inside.
WHOLE = {
    "whole_embed": (Lora(2, 4, QV, saved(EMBED)), False),
    "whole_head": (Lora(2, 4, QV, saved(HEAD)), False),
    "whole_both": (Lora(2, 4, QV, saved(EMBED, HEAD)), False),
    "whole_ensured": (Lora(2, 4, QV, saved(EMBED, ensure_weight_tying=True)), True),
    "whole_lora_head": (Lora(2, 4, ("q_proj", HEAD)), False),
    "whole_lora_ensured": (Lora(2, 4, ("q_proj", EMBED), {"ensure_weight_tying": True}), True),
    "whole_rows": (Lora(2, 4, QV, {"trainable_token_indices": [3, 40, 0]}), True),
}
# Seeds with which no caption hangs on a near tie and a wrong tie changes captions (--search).
SEEDS = {"tied": 3, "untied": 1, "two": 1, **dict.fromkeys(WHOLE, 1)}


def spec_of(name: str, seed: int = 0) -> Spec:
    """Return the checkpoint of that name: tied, untied, two (both tables stored) or a whole one."""
    text = llama(16, 2, 1, 24, num_hidden_layers=1, vocab_size=ROWS)
    text["tie_word_embeddings"] = name != "untied"
    return Spec(
        name=name,
        seed=seed or SEEDS[name],
        gain=18.0,
        dtype="bfloat16",
        vision=siglip(16, 2, 24, 16, num_hidden_layers=1, vision_use_head=False),
        text=text,
        lora=WHOLE[name][0] if name in WHOLE else None,
        tokenizer_size=TOKENS,
    )


def save_tokenizer(folder: Path, spec: Spec, tokens: int = 0) -> None:
    """Save the tokenizer; up to `tokens` with added ones behind its own and the unused rows."""
    made = tiny_tokenizer.train(TOKENS)
    tiny_tokenizer.save(made, folder, spec.eos, spec.pad)
    if tokens:
        path = folder / "tokenizer.json"
        document = json.loads(path.read_text())
        entry = dict(document["added_tokens"][-1])
        for token in range(TOKENS, tokens):
            document["added_tokens"].append({**entry, "id": token, "content": f"<|new{token}|>"})
        write_json(path, document)


def save_base(spec: Spec, folder: Path) -> None:
    """Write a plain checkpoint; "two" keeps both tables, different ones, and a flag that ties."""
    save_checkpoint(build(spec), spec, folder)
    save_tokenizer(folder, spec)
    if spec.name == "two":
        path = folder / "model.safetensors"
        tensors = load_file(str(path))
        table = tensors["language_model.model.embed_tokens.weight"]
        tensors["language_model.lm_head.weight"] = table.flip(0).contiguous()
        save_file(tensors, str(path), metadata={"format": "pt"})


def save_whole(spec: Spec, folder: Path) -> None:
    """Write the wrapped model as it is; of tensors that share memory, save_model keeps one."""
    vlm = build(spec)
    randomize(vlm.language_model, spec.gain, (spec.name, spec.seed), only="trainable_tokens")
    vlm.to(getattr(torch, spec.dtype))
    vlm.config.save_pretrained(folder)
    complete_config(spec, folder)
    save_model(vlm, str(folder / "model.safetensors"), metadata={"format": "pt"})
    save_tokenizer(folder, spec)
    vlm.language_model.peft_config["default"].save_pretrained(folder)
    sort_targets(folder / "adapter_config.json")


def save_adapter(spec: Spec, name: str, root: Path) -> None:
    """Train (by random numbers) one adapter on the spec's decoder and save it as PEFT does."""
    how = ADAPTERS[name]
    text = build(spec).language_model
    if how.rows:
        text.resize_token_embeddings(how.rows, mean_resizing=False)
        randomize(text, spec.gain, (spec.name, spec.seed, name, "new"), only="embed_tokens")
        if not spec.text["tie_word_embeddings"]:
            randomize(text, spec.gain, (spec.name, spec.seed, name, "new"), only="lm_head")
    lora = Lora(2, 4, how.targets, how.options)
    made: PeftModel = get_peft_model(text, lora_config(lora, task_type="CAUSAL_LM"))
    seed = (spec.name, spec.seed, name)
    perturb_adapter(made, spec, seed)
    randomize(made, spec.gain, (*seed, "rows"), only="trainable_tokens")
    made.to(torch.bfloat16)
    made.peft_config["default"].base_model_name_or_path = "base"
    out = root / f"{spec.name}_{name}"
    made.save_pretrained(out, save_embedding_layers=how.stored)
    (out / "README.md").unlink(missing_ok=True)
    sort_targets(out / "adapter_config.json")
    if how.tokens:
        save_tokenizer(out, spec, how.tokens)


def rows() -> list[Row]:
    """Return all cases."""
    made = [Row("tied", "tied", (), True), Row("two", "two", (), False)]
    for name, tied in OF_TIED.items():
        made.append(
            Row(f"tied_{name}", "tied", ((f"tied_{name}", 1.0),), tied, ADAPTERS[name].rows or ROWS)
        )
    weighted = (("tied_plain", 0.5), ("tied_embed", 1.0))
    made.append(Row("tied_weighted", "tied", weighted, False))
    weighted = (("tied_lora_head", 1.5), ("tied_plain", -0.5))
    made.append(Row("tied_weighted_head", "tied", weighted, False))
    for name in OF_UNTIED:
        made.append(
            Row(
                f"untied_{name}",
                "untied",
                ((f"untied_{name}", 1.0),),
                False,
                ADAPTERS[name].rows or ROWS,
            )
        )
    made += [Row(name, name, (), tied) for name, (_, tied) in WHOLE.items()]
    return made


def load_two(folder: Path, spec: Spec) -> PrefixConditioningVLM:
    """Read both tables, as transformers 5 does: it ties none that differ."""
    vlm = build(replace(spec, text={**spec.text, "tie_word_embeddings": False}))
    state = {k: v.float() for k, v in loader.read_tensors(folder).items()}
    missing, unknown = vlm.load_state_dict(state, strict=False)
    if missing or unknown:
        raise ValueError(f"{folder}: missing {missing}, unknown {unknown}")
    return vlm


def realised(row: Row, root: Path) -> PrefixConditioningVLM:
    """Return the model of a case as its owner loads it: base, resized, PEFT folders."""
    spec = spec_of(row.base)
    if row.base == "two":
        return load_two(root / row.base, spec)
    vlm = loader.load(root / row.base, spec)
    if row.rows != ROWS:
        vlm.language_model.resize_token_embeddings(row.rows, mean_resizing=False)
    return realise(vlm, Case(row.name, row.adapters), root, torch.float32) if row.adapters else vlm


@torch.no_grad()
def measure(row: Row, root: Path, pixels: torch.Tensor) -> tuple[dict[str, Any], torch.Tensor]:
    """Caption the images; the logits are those of image 0 before its first and its last token."""
    vlm = realised(row, root)
    config = generation(spec_of(row.base), max_new_tokens=STEPS)
    captions, low = [], 1e9
    logits = torch.empty(0)
    for image in range(len(pixels)):
        out = run(vlm, vlm.prefix(pixels[image : image + 1]), config)
        captions.append(out.sequences[0].tolist())
        low = min(low, *margins(out.logits))
        if image == 0:
            logits = torch.cat([out.logits[0], out.logits[-1]])
    part = {
        "name": row.name,
        "checkpoint": row.base,
        "adapters": [{"path": path, "weight": weight} for path, weight in row.adapters],
        "tied": row.tied,
        "vocab_size": row.rows,
        "captions": captions,
        "min_margin": low,
    }
    return part, logits


def problems(part: dict[str, Any]) -> list[str]:
    """Say why a case would be a weak test."""
    found = []
    if part["min_margin"] < MIN_MARGIN:
        found.append(f"margin {part['min_margin']}")
    if sorted(len(set(ids)) for ids in part["captions"])[1] < 3:
        found.append("two captions of fewer than 3 different tokens")
    if len({tuple(ids) for ids in part["captions"]}) < 2:
        found.append("one caption for all images")
    return found


def make(out: Path, only: str = "", seed: int = 0) -> dict[str, list[str]]:
    """Write checkpoints, adapters and goldens (of one base where `only` names it)."""
    if only:
        SEEDS[only] = seed or SEEDS[only]
    for name in [only] if only else SEEDS:
        spec = spec_of(name)
        (save_whole if spec.lora else save_base)(spec, out / name)
        adapters = {"tied": ("plain", *OF_TIED), "untied": OF_UNTIED}.get(name, ())
        for adapter in adapters:
            save_adapter(spec, adapter, out)
    spec = spec_of("tied")
    pictures = draw_images(spec.vision["image_size"], "tables")
    pixels = processor(spec)(images=pictures, return_tensors="pt")["pixel_values"]
    tensors, cases = {"pixel_values": pixels}, []
    for row in rows():
        if only in ("", row.base):
            part, tensors[row.name] = measure(row, out, pixels)
            cases.append(part)
    document = {"format": 1, "seeds": SEEDS, "versions": versions(), "steps": STEPS, "cases": cases}
    write_json(out / "tables.json", document)
    save_file({k: v.contiguous() for k, v in tensors.items()}, str(out / "tables.safetensors"))
    for path in out.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return {part["name"]: problems(part) for part in cases}


def search(name: str, tries: int) -> None:
    """Try seeds for one base until no case complains."""
    for seed in range(1, tries + 1):
        with tempfile.TemporaryDirectory() as scratch:
            found = {k: v for k, v in make(Path(scratch), name, seed).items() if v}
        print(f"{name} seed={seed}: {found or 'good'}", flush=True)
        if not found:
            return
    raise SystemExit(f"{name}: no good seed in {tries} tries")


def main() -> int:
    """Make everything under --out, or look for seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="with --search: bases to look for seeds of")
    parser.add_argument("--out", type=Path, default=GOLDENS / "tables")
    parser.add_argument("--search", type=int, default=0, help="try this many seeds, write nothing")
    args = parser.parse_args()
    quiet()
    if args.search:
        for name in args.names or SEEDS:
            search(name, args.search)
        return 0
    shutil.rmtree(args.out, ignore_errors=True)
    found = {name: why for name, why in make(args.out).items() if why}
    print(f"tables: {folder_bytes(args.out)} bytes, {found or 'good'}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
