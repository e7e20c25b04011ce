"""Writes checkpoints to disk in the layouts that trainers leave behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from common import write_json
from model import PrefixConditioningVLM, lora_config, perturb_adapter, round_to
from specs import Spec

OLD_VERSION = "4.51.3"


def cast_state(vlm: PrefixConditioningVLM, spec: Spec) -> dict[str, torch.Tensor]:
    """Return the state dict in the file's dtypes; adapter factors may have their own."""
    dtype = getattr(torch, spec.dtype)
    adapter_dtype = getattr(torch, spec.adapter_dtype or spec.dtype)
    cast: dict[int, torch.Tensor] = {}
    state = {}
    for name, tensor in vlm.state_dict().items():
        kind = adapter_dtype if "lora_" in name else dtype
        state[name] = cast.setdefault(tensor.data_ptr(), tensor.to(kind))
    return state


def old_vision_name(name: str) -> str:
    """Return the transformers 4 spelling of a vision tensor's name, other names unchanged."""
    match = re.match(r"(vision_encoder\.(?:base_model\.model\.)?)(.*)", name)
    return f"{match[1]}vision_model.{match[2]}" if match else name


def old_config(config: dict[str, Any]) -> dict[str, Any]:
    """Rewrite a config of transformers 5 with the field names of transformers 4."""
    config = dict(config)
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    rope = config.pop("rope_parameters", None)
    if rope:
        config["rope_theta"] = rope["rope_theta"]
        scaling = {k: v for k, v in rope.items() if k != "rope_theta"}
        scaling["type"] = scaling.pop("rope_type")
        config["rope_scaling"] = None if scaling == {"type": "default"} else scaling
    if "transformers_version" in config:
        config["transformers_version"] = OLD_VERSION
    return {k: old_config(v) if isinstance(v, dict) else v for k, v in sorted(config.items())}


def _rename_file(path: Path, rename: dict[str, str]) -> None:
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    tensors = {rename.get(name, name): tensor for name, tensor in load_file(str(path)).items()}
    save_file(tensors, str(path), metadata=metadata)


def rename_tensors(folder: Path, rename: dict[str, str]) -> None:
    """Rename tensors in the weight files of a folder and in their index."""
    for path in sorted(folder.glob("*.safetensors")):
        _rename_file(path, rename)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        document = json.loads(index.read_text())
        document["weight_map"] = {rename.get(k, k): v for k, v in document["weight_map"].items()}
        index.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def tensor_names(folder: Path) -> list[str]:
    """Return the names of all tensors in a folder's weight files."""
    names: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), "pt") as file:
            names.extend(file.keys())
    return names


def save_checkpoint(vlm: PrefixConditioningVLM, spec: Spec, folder: Path) -> None:
    """Save with save_pretrained, then rewrite names and config where the layout asks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    shard = spec.max_shard or 10**9
    vlm.save_pretrained(folder, state_dict=cast_state(vlm, spec), max_shard_size=shard)
    for extra in ("generation_config.json",):
        (folder / extra).unlink(missing_ok=True)
    names = tensor_names(folder)
    rename = {name: name for name in names}
    if spec.layout == "v4":
        rename = {name: old_vision_name(name) for name in names}
    if spec.keep_lm_head:
        for name in names:
            if ".embed_tokens." in name:
                rename[name] = name.replace("model.embed_tokens.", "lm_head.")
    rename = {old: spec.name_prefix + new for old, new in rename.items()}
    changed = {old: new for old, new in rename.items() if old != new}
    if changed:
        rename_tensors(folder, changed)
    complete_config(spec, folder)


def complete_config(spec: Spec, folder: Path) -> None:
    """Give config.json what save_pretrained leaves out, in the spelling of the layout."""
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = spec.dtype
    config["max_length"] = 30  # the trainer's field, which save_pretrained refuses to write
    if not (spec.lora or spec.vision_lora):
        config = {k: v for k, v in config.items() if not k.startswith("lora_")}
    config = old_config(config) if spec.layout == "v4" else config
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def sort_targets(path: Path) -> None:
    """Sort the lists that PEFT writes in set order, which changes from run to run."""
    config = json.loads(path.read_text())
    for key in ("target_modules", "modules_to_save"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save_adapters(vlm: PrefixConditioningVLM, spec: Spec, root: Path) -> None:
    """Make each adapter of the spec on a copy of the decoder and save it as a PEFT folder."""
    dtype = getattr(torch, spec.adapter_dtype or spec.dtype)
    for name, lora in spec.adapters.items():
        base = type(vlm.language_model)(vlm.language_model.config)
        base.load_state_dict(vlm.language_model.state_dict())
        made: PeftModel = get_peft_model(base, lora_config(lora, task_type="CAUSAL_LM"))
        perturb_adapter(made, spec, (spec.name, spec.seed, name))
        round_to(made, dtype, dtype)
        made.to(dtype)
        made.peft_config["default"].base_model_name_or_path = "base"
        embeddings = "auto" if "embed_tokens" in lora.targets else False
        made.save_pretrained(root / name, save_embedding_layers=embeddings)
        (root / name / "README.md").unlink(missing_ok=True)
        sort_targets(root / name / "adapter_config.json")


def save_training_leftovers(folder: Path) -> None:
    """Add the bookkeeping files of a running training, which a reader must pass over."""
    state = {"epoch": 1.5, "global_step": 500, "log_history": [{"loss": 2.5, "step": 500}]}
    write_json(folder / "trainer_state.json", state)
    save_file({"step": torch.tensor([500])}, str(folder / "optimizer_state.bin"))
