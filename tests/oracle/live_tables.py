"""Merges every case of tests/goldens/tables with a built lorapress, loads it with transformers."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from common import GOLDENS, quiet, read_json
from golden import generation, run
from make_tables import STEPS, Row, realised, rows, spec_of

TABLES = GOLDENS / "tables"
ROUNDING = 2e-5  # of the largest logit


@torch.no_grad()
def check(program: Path, row: Row, pixels: torch.Tensor, logits: torch.Tensor) -> list[str]:
    """Say what AutoModel finds wrong with the merged decoder of a case."""
    golden = next(c for c in read_json(TABLES / "tables.json")["cases"] if c["name"] == row.name)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        words = [str(program), "merge", str(TABLES / row.base), str(out), "--dtype", "fp32"]
        for path, weight in row.adapters:
            words += ["--adapter", f"{TABLES / path}:{weight}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return [f"merge: {done.stderr.strip()}"]
        model, info = AutoModelForCausalLM.from_pretrained(
            out / "language_model",
            attn_implementation="eager",
            dtype=torch.float32,
            output_loading_info=True,
        )
        config = json.loads((out / "config.json").read_text())
    found = [f"{key}: {names}" for key, names in info.items() if names]
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    flags = {
        "AutoModel's config": model.config.tie_word_embeddings,
        "AutoModel's tables": shared,
        "text_config": config["text_config"]["tie_word_embeddings"],
        "config.json": config.get("tie_word_embeddings", row.tied),
    }
    found += [f"{where}: tied is {flag}" for where, flag in flags.items() if flag != row.tied]
    vlm = realised(row, TABLES)
    prefix = torch.cat([vlm.prefix(image[None]) for image in pixels])
    vlm.language_model = model.eval()
    options = generation(spec_of(row.base), max_new_tokens=STEPS)
    for image, wanted in enumerate(golden["captions"]):
        made = run(vlm, prefix[image : image + 1], options)
        ids = made.sequences[0].tolist()
        if ids != wanted:
            found.append(f"image {image}: {ids}, expected {wanted}")
        elif image == 0:
            got = torch.cat([made.logits[0], made.logits[-1]])
            error = float((got - logits).abs().max() / logits.abs().max())
            if error > ROUNDING:
                found.append(f"logits differ by {error:.3g} of the largest")
    return found


def main() -> int:
    """Check all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="the lorapress binary")
    args = parser.parse_args()
    quiet()
    tensors = load_file(str(TABLES / "tables.safetensors"))
    bad = 0
    cases = rows()
    for row in cases:
        found = check(args.program.resolve(), row, tensors["pixel_values"], tensors[row.name])
        bad += bool(found)
        for problem in found:
            print(f"{row.name}: {problem}")
    print(f"{len(cases) - bad} of {len(cases)} merged tables agree with torch and PEFT")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
