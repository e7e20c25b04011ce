"""Runs a built lorapress on freshly seeded checkpoints and compares it with torch and PEFT."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tiny_tokenizer
from common import quiet, rng_for
from golden import generation, margins, merged_state, realise, run
from layout import save_adapters, save_checkpoint
from loader import load, new_name, read_tensors
from make_checkpoints import draw_images, processor
from model import PrefixConditioningVLM, build
from specs import FUSED, QKVO, Case, Lora, Spec, llama, siglip

HEADING = (
    f"{'seed':>4} {'checkpoint':<82} {'max abs':>8} {'ulp':>7} {'decoder':>14} {'caption':>14}"
)
TARGETS = (*QKVO, "gate_proj", "up_proj", "down_proj")
TIE = 1e-3  # logits closer than this may be ranked either way
ROUNDING = 8.0  # allowed error in units of float32 rounding of the largest value in a row


@dataclass
class Row:
    """What one checkpoint showed."""

    spec: Spec
    max_abs: float = 0.0
    max_ulp: int = 0
    decoder: str = "-"
    caption: str = "-"
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


def windows(rng: np.random.Generator, layers: int) -> dict[str, Any]:
    """Return layer types of both kinds and a window, which may hold all positions."""
    types = ["sliding_attention" if rng.random() < 0.5 else "full_attention" for _ in range(layers)]
    return {"layer_types": types, "sliding_window": int(rng.integers(1, 60))}


def longrope(rng: np.random.Generator, part: float, frequencies: int) -> dict[str, Any]:
    """Return rope_parameters with short factors that count and long ones that do not."""
    factors = [float(x) for x in np.round(1.0 + 4.0 * rng.random(frequencies), 2)]
    return {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": part,
        "short_factor": factors,
        "long_factor": [2.0 * factor for factor in factors],
    }


def as_other_decoder(text: dict[str, Any], seed: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Make the Llama config one of its relatives; also return the modules that may be adapted."""
    rng = rng_for("live decoder", seed)
    kind = ("llama", "llama", "qwen2", "qwen3", "mistral", "phi3")[rng.integers(6)]
    text = text | {"model_type": kind}
    layers = text["num_hidden_layers"]
    if kind in ("qwen2", "mistral", "phi3"):
        del text["attention_bias"], text["mlp_bias"]
    if kind in ("qwen2", "qwen3"):
        text |= windows(rng, layers) | {"use_sliding_window": True}
    if kind in ("mistral", "phi3"):
        text["sliding_window"] = int(rng.integers(1, 60)) if rng.random() < 0.7 else None
    if kind == "phi3":
        head_dim = text.pop("head_dim")
        text["hidden_size"] = head_dim * text["num_attention_heads"]
        text["original_max_position_embeddings"] = 128
        part = (1.0, 0.5, 0.75)[rng.integers(3)]
        parameters = longrope(rng, part, int(head_dim * part) // 2)
        plain = {"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": part}
        text["rope_parameters"] = parameters if rng.random() < 0.6 else plain
    return text, FUSED if kind == "phi3" else TARGETS


def random_spec(seed: int) -> Spec:
    """Return a spec whose every choice hangs on the seed."""
    rng = rng_for("live", seed)

    def pick(*options: Any) -> Any:
        return options[int(rng.integers(len(options)))]

    heads = int(rng.integers(1, 7))
    kv = pick(*[k for k in range(1, heads + 1) if heads % k == 0])
    head_dim = pick(8, 16, 16, 24, 32)
    hidden = heads * head_dim
    if hidden < 32 or rng.random() < 0.3:
        hidden = heads * int(rng.integers(-(-32 // heads), 80 // heads))  # not heads x head_dim
    size = int(rng.integers(270, 320))
    text = llama(
        hidden,
        heads,
        kv,
        int(rng.integers(17, 70)),
        head_dim=head_dim,
        num_hidden_layers=int(rng.integers(1, 4)),
        vocab_size=size + int(rng.integers(0, 9)),
        tie_word_embeddings=bool(rng.random() < 0.5),
        attention_bias=bool(rng.random() < 0.3),
        mlp_bias=bool(rng.random() < 0.3),
        rms_norm_eps=pick(1e-5, 1e-6),
        eos_token_id=2,
        pad_token_id=None,
    )
    text, modules = as_other_decoder(text, seed)
    vision_heads = int(rng.integers(1, 5))
    vision = siglip(
        8 * vision_heads,
        vision_heads,
        int(rng.integers(9, 40)),
        image=pick(16, 24, 32, 40),
        vision_use_head=bool(rng.random() < 0.3),
    )
    targets = tuple(t for t in modules if rng.random() < 0.6) or modules[:4]
    kind = pick("plain", "plain", "dora", "rslora")
    lora = Lora(
        int(rng.integers(1, 9)),
        int(rng.integers(1, 17)),
        targets,
        {"use_dora": True} if kind == "dora" else {"use_rslora": True} if kind == "rslora" else {},
    )
    weight = pick(1.0, 0.5, -1.25)
    folder = kind == "rslora"  # config.json of the trainer has no field for it
    return Spec(
        name=f"live{seed}",
        seed=seed,
        gain=12.0,
        vision=vision,
        text=text,
        dtype=pick("float32", "float32", "bfloat16", "float16"),
        projection=pick("linear", "mlp"),
        mlp_hidden=int(rng.integers(11, 50)),
        layout=pick("v4", "v5"),
        lora=None if folder else lora,
        adapters={"adapter": lora} if folder else {},
        cases=(Case("default", (("adapter", weight),) if folder else ()),),
        eos=2,
        pad=None,
        tokenizer_size=size,
        max_shard=pick(0, 0, 60_000),
    )


def command(row: Row, *words: object) -> str | None:
    """Run the program; return its standard output, or None after noting the failure."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300)
    if done.returncode == 0:
        return done.stdout
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
    row.errors.append(f"{words[1]}: exit {done.returncode}: {last[0]}")
    return None


def ulps(a: torch.Tensor, b: torch.Tensor) -> int:
    """Return the largest distance in representable float32 steps, values near zero left out."""

    def ordered(x: torch.Tensor) -> torch.Tensor:
        bits = x.contiguous().view(torch.int32).to(torch.int64)
        return torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    steps = (ordered(a) - ordered(b)).abs()[b.abs() > 0.01 * b.abs().max()]
    return int(steps.max()) if steps.numel() else 0


def compare_merge(row: Row, vlm: PrefixConditioningVLM, root: Path, out: Path) -> None:
    """Compare every merged tensor with PEFT's."""
    expected = merged_state(realise(vlm, row.spec.cases[0], root, torch.float32))
    found = {new_name(name): tensor for name, tensor in read_tensors(out).items()}
    tied = {"language_model.lm_head.weight", "language_model.model.embed_tokens.weight"}
    optional = tied if row.spec.text["tie_word_embeddings"] else set()
    lost = sorted(set(expected) - set(found) - optional)
    extra = sorted(set(found) - set(expected))
    if lost or extra or (optional and not optional & set(found)):
        row.errors.append(f"merge: missing {lost[:3]}, unexpected {extra[:3]}")
    for name in sorted(set(found) & set(expected)):
        ours, theirs = found[name], expected[name].detach()
        if ours.shape != theirs.shape or ours.dtype != torch.float32:
            row.errors.append(f"merge: {name} is {ours.dtype} {tuple(ours.shape)}")
            continue
        difference = (ours - theirs).abs()
        row.max_abs = max(row.max_abs, float(difference.max()))
        row.max_ulp = max(row.max_ulp, ulps(ours, theirs))
        allowed = ROUNDING * torch.finfo(torch.float32).eps * theirs.abs().max()
        if bool((difference > allowed).any()):
            row.errors.append(f"merge: {name} differs by {float(difference.max()):.3g}")


def judge(ids: list[int], expected: list[int], steps: list[float]) -> str:
    """Compare ids, telling how many are equal and how many of them distinct.

    Where they part at a near tie of the reference, that is said and is no failure.
    """
    if ids == expected:
        return f"equal {len(ids)} ({len(set(ids))})"
    same = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), None)
    at = same if same is not None else min(len(ids), len(expected))
    if at < len(steps) and steps[at] < TIE:
        return f"tie at {at}"
    return f"DIFFERS at {at}"


def check_decoder(
    row: Row, out: Path, prefix: torch.Tensor, expected: list[int], steps: list[float]
) -> None:
    """Load OUT/language_model with transformers and generate after the reference prefix."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        out / "language_model", attn_implementation="eager", dtype=torch.float32
    ).eval()
    mask = torch.ones(prefix.shape[:2], dtype=torch.long)
    made = model.generate(
        inputs_embeds=prefix, attention_mask=mask, generation_config=generation(row.spec)
    )
    row.decoder = judge(made.sequences[0].tolist(), expected, steps)


def check_seed(program: Path, seed: int, root: Path, press: bool) -> Row:
    """Make one checkpoint, run every command on it, compare."""
    start = time.monotonic()
    row = Row(random_spec(seed))
    spec = row.spec
    made = build(spec)
    checkpoint = root / spec.checkpoint
    save_checkpoint(made, spec, checkpoint)
    save_adapters(made, spec, root)
    tiny_tokenizer.save(tiny_tokenizer.train(spec.tokenizer_size), checkpoint, spec.eos, spec.pad)
    image = root / "image.png"
    picture = draw_images(spec.vision["image_size"], spec.name)[0]
    picture.save(image)
    vlm = load(checkpoint, spec)
    reference = realise(vlm, spec.cases[0], root, torch.float32)
    pixels = processor(spec)(images=[picture], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        prefix = reference.prefix(pixels)
    result = run(reference, prefix, generation(spec))
    expected, steps = result.sequences[0].tolist(), margins(result.logits)
    adapters: list[str] = []
    for path, weight in spec.cases[0].adapters:
        adapters += ["--adapter", f"{root / path}:{weight}" if weight != 1 else str(root / path)]
    merged, bundle = root / "merged", root / "bundle"
    if command(row, program, "merge", checkpoint, merged, *adapters, "--dtype", "fp32") is not None:
        compare_merge(row, vlm, root, merged)
        check_decoder(row, merged, prefix, expected, steps)
    words = ("press", checkpoint, bundle, *adapters, "--dtype", "fp32", "--json")
    if press and command(row, program, *words) is not None:
        flags = ("--ids", "--json", "--max-new-tokens", "20")
        output = command(row, program, "caption", bundle, image, *flags)
        if output is not None:
            ids = json.loads(output)["captions"][0]["ids"]
            row.caption = judge(ids, expected, steps)
    row.errors += [t for t in (row.decoder, row.caption) if t.startswith("DIFFERS")]
    row.seconds = time.monotonic() - start
    return row


def describe(spec: Spec) -> str:
    """Return a checkpoint's shape in one short phrase."""
    text, vision = spec.text, spec.vision
    lora = spec.lora or spec.adapters["adapter"]
    variant = "".join(k.removeprefix("use_") for k in lora.options) or "lora"
    head_dim = text.get("head_dim", text["hidden_size"] // text["num_attention_heads"])
    return (
        f"{text['model_type']} h{text['hidden_size']} "
        f"{text['num_attention_heads']}/{text['num_key_value_heads']}"
        f"x{head_dim} L{text['num_hidden_layers']} "
        f"{'tied' if text['tie_word_embeddings'] else 'untied'} {spec.projection} "
        f"{spec.dtype} {variant} r{lora.r} a{lora.alpha:g} {len(lora.targets)}t "
        f"v{vision['hidden_size']}@{vision['image_size']} {spec.layout}"
    )


def main() -> int:
    """Check the asked number of seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="the lorapress binary")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="leave the checkpoints in this folder")
    parser.add_argument("--no-press", action="store_true", help="check merge alone")
    args = parser.parse_args()
    quiet()
    np.seterr(all="raise")
    failed = 0
    print(HEADING)
    for seed in range(args.first, args.first + args.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            root = args.keep / str(seed) if args.keep else Path(scratch)
            row = check_seed(args.program.resolve(), seed, root, not args.no_press)
        print(
            f"{seed:>4} {describe(row.spec):<82} {row.max_abs:8.1e} {row.max_ulp:>7}"
            f" {row.decoder:>14} {row.caption:>14}",
            flush=True,
        )
        for error in row.errors:
            print(f"     {error}", flush=True)
        failed += bool(row.errors)
    print(f"{args.seeds - failed} of {args.seeds} checkpoints agree with torch and PEFT")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
