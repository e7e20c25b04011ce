"""Makes tests/goldens/adapters: adapters of every kind on one tiny Llama, merged by PEFT."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import config as variants
from peft.tuners.lora.layer import LoraLayer
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from common import GOLDENS, folder_bytes, quiet, rng_for, versions, write_json
from pattern_keys import KEYS, NAMES

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "vocab_size": 32,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 0,
}


@dataclass(frozen=True)
class AdapterCase:
    """One adapter folder: LoraConfig's options, and what is edited in the saved file."""

    name: str
    options: dict[str, Any]
    targets: tuple[str, ...] = ("q_proj", "v_proj", "down_proj")
    edit: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    embedded: bool = False


LOOKAROUND = {r"(?!.*layers\.1).*q_proj": 33, r"(?<=\.)v_proj": 40, "down_proj": 5}
BACKREFERENCE = {r".*(t)\3n\.q_proj": 77, r".*_(?P<x>p)ro(?!(?P=x))j": 9}
PATTERNS = {
    "^model.layers.0.self_attn.q_proj": 3,
    "model.layers.1.mlp.down_proj": 7,
    ".*_proj$": 11,
}
BLOCKS = {"target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["v_proj"], "nblocks": 2}

CASES = (
    AdapterCase("plain", {}),
    AdapterCase("pissa", {"init_lora_weights": "pissa"}),
    AdapterCase("pissa_rslora", {"init_lora_weights": "pissa", "use_rslora": True}),
    AdapterCase("pissa_dora", {"init_lora_weights": "pissa", "use_dora": True}),
    AdapterCase("pissa_bf16", {"init_lora_weights": "pissa"}, dtype="bfloat16"),
    AdapterCase("pissa_whole", {"init_lora_weights": "pissa", "r": 8}, targets=("v_proj",)),
    AdapterCase("pissa_embedded", {"init_lora_weights": "pissa"}, embedded=True),
    AdapterCase("olora", {"init_lora_weights": "olora"}),
    AdapterCase("olora_rslora", {"init_lora_weights": "olora", "use_rslora": True}),
    AdapterCase("olora_bf16", {"init_lora_weights": "olora"}, dtype="bfloat16"),
    AdapterCase("orthogonal", {"init_lora_weights": "orthogonal", "r": 4}),
    AdapterCase("gaussian", {"init_lora_weights": "gaussian"}),
    AdapterCase("mica", {"init_lora_weights": "mica"}),
    AdapterCase("kasa", {"kasa_config": variants.KasaConfig()}),
    AdapterCase("kasa_embedded", {"kasa_config": variants.KasaConfig()}, embedded=True),
    AdapterCase(
        "bdlora",
        {"r": 4, "use_bdlora": variants.BdLoraConfig(**BLOCKS)},
        targets=("q_proj", "v_proj"),
    ),
    AdapterCase("velora", {"velora_config": variants.VeloraConfig(num_groups=4)}),
    AdapterCase("monteclora", {"monteclora_config": variants.MontecloraConfig()}),
    AdapterCase("target_parameters", {"target_parameters": ["q_proj.weight"]}, targets=("v_proj",)),
    AdapterCase("qalora", {"use_qalora": True}),
    AdapterCase("fan_in_fan_out", {}, edit={"fan_in_fan_out": True}),
    AdapterCase("lookaround", {"alpha_pattern": LOOKAROUND}),
    AdapterCase("backreference", {"alpha_pattern": BACKREFERENCE}),
    AdapterCase("names", {"alpha_pattern": PATTERNS, "rank_pattern": {"(down|up)_proj": 2}}),
)


def seeded(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Return values that depend on the name alone."""
    noise = rng_for("adapters", name).standard_normal(shape)
    return torch.from_numpy(noise).float() * scale


def base(folder: Path, dtype: str) -> None:
    """Save the tiny Llama with seeded weights."""
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = seeded(name, tuple(parameter.shape), 0.2)
            parameter.copy_(values + 1 if "norm" in name else values)
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def load(folder: Path) -> LlamaForCausalLM:
    """Read it back in its own dtype."""
    return LlamaForCausalLM.from_pretrained(folder, dtype="auto")


def save_adapter(case: AdapterCase, model: LlamaForCausalLM, folder: Path) -> None:
    """Let PEFT save the folder; then give every tensor seeded values, as if it was trained."""
    options = {"r": 3, "lora_alpha": 7, "target_modules": list(case.targets), **case.options}
    config = LoraConfig(task_type="CAUSAL_LM", **options)
    get_peft_model(model, config).save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_model.safetensors"
    tensors = {}
    for name, tensor in load_file(str(file)).items():
        values = seeded(f"{case.name} {name}", tuple(tensor.shape), 0.3).to(tensor.dtype)
        tensors[name] = values.abs() + 0.5 if "magnitude" in name or "sampler" in name else values
    save_file(tensors, str(file), metadata={"format": "pt"})
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text()) | case.edit
    saved["target_modules"] = sorted(saved["target_modules"])
    saved["base_model_name_or_path"] = None
    write_json(path, saved)


def exact(layer: LoraLayer, delta: torch.Tensor) -> torch.Tensor:
    """Add a delta to the base as the adapter sees it, in float64."""
    return layer.get_base_layer().weight.double() + delta


def merged(model: Any, changed: bool) -> dict[str, torch.Tensor]:
    """Return PEFT's merged weights; where the base changed also the same sums in float64."""
    names = {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    found = {}
    for name, layer in names.items():
        if changed and not layer.lora_variant:
            a, b = (factor["default"].weight.double() for factor in (layer.lora_A, layer.lora_B))
            short = name.removeprefix("base_model.model.").removesuffix(".base_layer")
            found[f"exact/{short}.weight"] = exact(layer, layer.scaling["default"] * b @ a)
    plain = model.merge_and_unload().state_dict()
    for name in list(names):
        short = name.removeprefix("base_model.model.").removesuffix(".base_layer") + ".weight"
        found[f"peft/{short}"] = plain[short]
    return {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}


def save_embedded(model: Any, source: Path, folder: Path) -> None:
    """Write what a trainer keeps: the whole wrapped model's state in one file."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    shutil.copy(source / "config.json", folder / "config.json")
    (folder / "adapter_model.safetensors").unlink()


def make(case: AdapterCase, root: Path) -> dict[str, Any]:
    """Write one case's folder; return its row of adapters.json."""
    source = root / f"base_{case.dtype}"
    folder = root / case.name
    save_adapter(case, load(source), folder)
    model = PeftModel.from_pretrained(load(source), str(folder))
    if case.embedded:
        save_embedded(model, source, folder)
    tensors = merged(model, isinstance(case.options.get("init_lora_weights"), str))
    save_file(tensors, str(folder / "merged.safetensors"), metadata={"format": "pt"})
    return {
        "name": case.name,
        "base": "" if case.embedded else source.name,
        "dtype": case.dtype,
        "tensors": sorted(tensors),
    }


def matches(key: str) -> list[str] | None:
    """Return the names that PEFT matches by a key, or None where Python cannot compile it."""
    try:
        # Where nothing matches, PEFT's answer is the name itself.
        return [name for name in NAMES if get_pattern_key([key], f"{name}") is key]
    except re.error:
        return None


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "adapters")
    root: Path = parser.parse_args().out
    quiet()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for dtype in ("float32", "bfloat16"):
        base(root / f"base_{dtype}", dtype)
        (root / f"base_{dtype}" / "generation_config.json").unlink(missing_ok=True)
    rows = [make(case, root) for case in CASES]
    for path in root.rglob("*.safetensors"):
        path.chmod(0o644)
    patterns = {"names": list(NAMES), "keys": [{"key": k, "matches": matches(k)} for k in KEYS]}
    write_json(root / "patterns.json", patterns)
    document = {"format": 1, "versions": versions("torch", "peft", "transformers"), "cases": rows}
    write_json(root / "adapters.json", document)
    print(f"adapters: {len(rows)} cases, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
