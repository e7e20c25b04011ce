"""Makes tests/goldens/merge: single layers with adapters, merged by PEFT itself."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from common import GOLDENS, folder_bytes, quiet, rng_for, versions, write_json

OUT, IN = 14, 11


@dataclass(frozen=True)
class MergeCase:
    """One layer and the adapters merged into it, in order."""

    name: str
    kind: str = "linear"
    adapters: tuple[dict[str, Any], ...] = ({"r": 3, "lora_alpha": 6},)
    weights: tuple[float, ...] = (1.0,)
    dtype: str = "float32"
    adapter_dtype: str = "float32"
    bias: bool = False
    options: dict[str, Any] = field(default_factory=dict)


PLAIN = {"r": 3, "lora_alpha": 6}
OTHER = {"r": 2, "lora_alpha": 5}
RS = {"r": 3, "lora_alpha": 6, "use_rslora": True}
DORA = {"r": 3, "lora_alpha": 6, "use_dora": True}
DORA_B = {"r": 2, "lora_alpha": 5, "use_dora": True}

CASES = (
    MergeCase("linear"),
    MergeCase("rslora", adapters=(RS,)),
    MergeCase("dora", adapters=(DORA,)),
    MergeCase("dora_rslora", adapters=({**DORA, "use_rslora": True},)),
    MergeCase("fan_in_fan_out", kind="conv1d"),
    MergeCase("fan_in_fan_out_dora", kind="conv1d", adapters=(DORA,)),
    MergeCase("embedding", kind="embedding"),
    MergeCase("embedding_dora", kind="embedding", adapters=(DORA,)),
    MergeCase("lora_bias", adapters=({**PLAIN, "lora_bias": True},), bias=True),
    MergeCase("two", adapters=(PLAIN, OTHER), weights=(1.0, 1.0)),
    MergeCase("two_weighted", adapters=(PLAIN, OTHER), weights=(0.5, -1.25)),
    MergeCase("two_dora", adapters=(DORA, DORA_B), weights=(1.0, 1.0)),
    MergeCase("lora_then_dora", adapters=(PLAIN, DORA_B), weights=(1.0, 1.0)),
    MergeCase("dora_then_lora", adapters=(DORA, OTHER), weights=(1.0, 1.0)),
    MergeCase("dora_weighted", adapters=(DORA,), weights=(0.5,)),
    MergeCase("bf16", dtype="bfloat16"),
    MergeCase("bf16_low", dtype="bfloat16", adapter_dtype="bfloat16"),
    MergeCase("bf16_dora", dtype="bfloat16", adapters=(DORA,)),
    MergeCase("f16", dtype="float16"),
    MergeCase("f16_low", dtype="float16", adapter_dtype="float16"),
)


class Holder(nn.Module):
    """A model of one layer."""

    def __init__(self, kind: str, bias: bool) -> None:
        super().__init__()
        self.layer: nn.Module
        if kind == "conv1d":
            self.layer = Conv1D(OUT, IN)
        elif kind == "embedding":
            self.layer = nn.Embedding(OUT, IN)
        else:
            self.layer = nn.Linear(IN, OUT, bias=bias)


def wrapped(case: MergeCase) -> tuple[Any, LoraLayer]:
    """Return the PEFT model of a case and its adapted layer, with seeded float32 values."""
    holder = Holder(case.kind, case.bias)
    model: Any = None
    for index, options in enumerate(case.adapters):
        config = LoraConfig(
            target_modules=["layer"], fan_in_fan_out=case.kind == "conv1d", **options
        )
        if model is None:
            model = get_peft_model(holder, config, adapter_name="a0")
        else:
            model.add_adapter(f"a{index}", config)
    dtypes = {True: getattr(torch, case.adapter_dtype), False: getattr(torch, case.dtype)}
    stored = getattr(torch, case.dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = rng_for("merge", case.name, name).standard_normal(tuple(parameter.shape))
            scale = 1.0 if "magnitude" in name else 0.3 if "lora_" in name else 0.5
            values = torch.from_numpy(noise).float() * scale
            values = values.abs() + 0.5 if "magnitude" in name else values
            parameter.data = values.to(stored).to(dtypes["lora_" in name])
    layer = model.base_model.model.layer
    for index, weight in enumerate(case.weights):
        layer.set_scale(f"a{index}", weight)
    return model, layer


def factors(layer: Any, index: int) -> dict[str, torch.Tensor]:
    """Return one adapter's tensors under short names."""
    name, found = f"a{index}", {}
    if name in layer.lora_A:
        found["A"], found["B"] = layer.lora_A[name].weight, layer.lora_B[name].weight
        if layer.lora_B[name].bias is not None:
            found["B_bias"] = layer.lora_B[name].bias
    else:
        found["A"], found["B"] = layer.lora_embedding_A[name], layer.lora_embedding_B[name]
    if name in layer.lora_magnitude_vector:
        found["magnitude"] = layer.lora_magnitude_vector[name].weight
    return {f"{key}{index}": value for key, value in found.items()}


def merge(model: Any, names: list[str]) -> nn.Module:
    """Merge the named adapters in order and return the plain layer."""
    return model.merge_and_unload(adapter_names=names).layer


def make(case: MergeCase, root: Path) -> dict[str, Any]:
    """Write one case's file; return its row of cases.json."""
    stored = getattr(torch, case.dtype)
    model, layer = wrapped(case)
    base = layer.get_base_layer()
    tensors = {"W": base.weight.detach().clone()}
    if case.bias:
        tensors["bias"] = base.bias.detach().clone()
    rows = []
    for index, options in enumerate(case.adapters):
        for key, value in factors(layer, index).items():
            tensors[key] = value.detach().to(stored).clone()
        scaling = layer.scaling[f"a{index}"]
        rows.append({**options, "weight": case.weights[index], "scaling": scaling})
    names = [f"a{i}" for i in range(len(case.adapters))]
    plain: Any = merge(model, names)
    tensors["merged"] = plain.weight.detach()
    if case.bias:
        tensors["merged_bias"] = plain.bias.detach()
    exact, _ = wrapped(case)
    tensors["merged64"] = merge(exact.double(), names).weight.detach()
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    path = root / f"{case.name}.safetensors"
    save_file(tensors, str(path))
    path.chmod(0o644)
    return {
        "name": case.name,
        "file": path.name,
        "kind": case.kind,
        "fan_in_fan_out": case.kind == "conv1d",
        "dtype": case.dtype,
        "adapter_compute_dtype": case.adapter_dtype,
        "adapters": rows,
        "tensors": sorted(tensors),
    }


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "merge")
    root: Path = parser.parse_args().out
    quiet()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    rows = [make(case, root) for case in CASES]
    document = {"format": 1, "versions": versions("torch", "peft", "transformers"), "cases": rows}
    write_json(root / "cases.json", document)
    print(f"merge: {len(rows)} cases, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
