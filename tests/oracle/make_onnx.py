"""Small .onnx files by the exporters people use, with what ONNX Runtime computes from them.

usage: make_onnx.py --out tests/goldens/onnx [NAME...]

Needs onnx_requirements.txt in an environment of its own: optimum asks for an older transformers
than the rest of the oracle.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import save_file
from torch import nn

from common import rng_for
from onnx_by_hand import HIDDEN, OPSET, Arrays, bodies, external, fields, functions, numbers
from onnx_forms import (
    defaults,
    defaults_first,
    fused,
    gemms,
    guards,
    halves,
    masks,
    stacked,
    variances,
)
from onnx_old import opset7, opset9, opset10

VOCAB = 48


def fill(module: nn.Module) -> nn.Module:
    """Give a module repeatable weights."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(numbers(name, *parameter.shape)))
    return module.eval()


class Block(nn.Module):
    """Attention and a gated MLP over a tied embedding, as decoders have them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, HIDDEN)
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.up = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.norm = nn.LayerNorm(HIDDEN)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        heads = self.qkv(self.norm(x)).unflatten(-1, (3, 4, HIDDEN // 4)).permute(2, 0, 3, 1, 4)
        query, key, value = heads[0], heads[1], heads[2]
        weights = (query @ key.transpose(-1, -2) * 0.3).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        x = x + self.down(nn.functional.silu(self.gate(x)) * self.up(x))
        return x @ self.embed.weight.T


class Vision(nn.Module):
    """A convolution, a depthwise one and a classifier: Conv and Gemm."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, HIDDEN, 4, stride=4)
        self.depth = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1, groups=HIDDEN, bias=False)
        self.head = nn.Linear(HIDDEN, 24)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.depth(torch.relu(self.patch(pixels))))
        return self.head(x.mean((2, 3)))


def torch_export(folder: Path, module: nn.Module, args: tuple, name: str, **more) -> None:
    """The exporter that traces (dynamo=False)."""
    torch.onnx.export(
        fill(module),
        args,
        folder / f"{name}.onnx",
        opset_version=OPSET,
        dynamo=False,
        output_names=["y"],
        **more,
    )


IDS = {"ids": rng_for("ids").integers(0, VOCAB, (2, 5))}


def torch_traced(folder: Path) -> Arrays:
    """As users export: constants folded, so the tied table is there twice."""
    axes = {"ids": {0: "batch", 1: "sequence"}}
    args = (torch.from_numpy(IDS["ids"]),)
    torch_export(folder, Block(), args, "torch_traced", input_names=["ids"], dynamic_axes=axes)
    return IDS


def torch_unfolded(folder: Path) -> Arrays:
    """Transpose nodes behind every weight, one of them behind the tied table."""
    axes = {"ids": {0: "batch", 1: "sequence"}}
    args = (torch.from_numpy(IDS["ids"]),)
    torch_export(
        folder,
        Block(),
        args,
        "torch_unfolded",
        input_names=["ids"],
        dynamic_axes=axes,
        do_constant_folding=False,
    )
    return IDS


def torch_dynamo(folder: Path) -> Arrays:
    """The exporter by torch.export and onnxscript."""
    dims = {"ids": {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}}
    program = torch.onnx.export(
        fill(Block()),
        (torch.from_numpy(IDS["ids"]),),
        dynamo=True,
        input_names=["ids"],
        output_names=["y"],
        dynamic_shapes=dims,
        opset_version=18,
    )
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces with this machine's paths
        node.doc_string = None
    for value in list(program.model.graph.inputs) + list(program.model.graph.initializers.values()):
        value.metadata_props.clear()
    onnx.save(program.model_proto, folder / "torch_dynamo.onnx")
    return IDS


def torch_vision(folder: Path) -> Arrays:
    """Convolutions and a Gemm."""
    pixels = numbers("pixels", 2, 3, 16, 16, gain=1.0)
    axes = {"pixels": {0: "batch"}}
    args = (torch.from_numpy(pixels),)
    torch_export(folder, Vision(), args, "torch_vision", input_names=["pixels"], dynamic_axes=axes)
    return {"pixels": pixels}


def optimum_merged(folder: Path) -> Arrays:
    """A T5 decoder by optimum: If with and without past, weights shared by both branches."""
    from optimum.exporters.onnx import main_export
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCAB,
        d_model=HIDDEN,
        d_kv=8,
        d_ff=24,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        relative_attention_num_buckets=8,
        decoder_start_token_id=0,
    )
    with tempfile.TemporaryDirectory() as scratch:
        fill(T5ForConditionalGeneration(config)).save_pretrained(f"{scratch}/t5")
        main_export(
            f"{scratch}/t5",
            output=f"{scratch}/out",
            task="text2text-generation-with-past",
            do_validation=False,
            opset=OPSET,
        )
        merged = onnx.load(f"{scratch}/out/decoder_model_merged.onnx")
    for attribute in merged.graph.node[0].attribute:
        for node in attribute.g.node:
            node.name = ""  # a quarter of the file
    onnx.save(merged, folder / "optimum_merged.onnx")
    feeds = {
        "encoder_attention_mask": np.ones((1, 6), np.int64),
        "input_ids": np.array([[7]]),
        "encoder_hidden_states": numbers("encoder", 1, 6, HIDDEN, gain=1.0),
        "use_cache_branch": np.array([True]),
    }
    for side, length in {"decoder": 3, "encoder": 6}.items():
        for part in ("key", "value"):
            past = numbers(f"{side}{part}", 1, 2, length, 8, gain=1.0)
            feeds[f"past_key_values.0.{side}.{part}"] = past
    return feeds


def optimum_merged_first(folder: Path) -> Arrays:
    """The other branch of the same file."""
    feeds = optimum_merged(folder)
    (folder / "optimum_merged.onnx").unlink()
    empty = {name: feeds[name][:, :, :0] for name in feeds if name.startswith("past")}
    return feeds | empty | {"use_cache_branch": np.array([False])}


CASES: list[Callable[[Path], Arrays]] = [
    torch_traced,
    torch_unfolded,
    torch_dynamo,
    torch_vision,
    optimum_merged,
    optimum_merged_first,
    bodies,
    external,
    functions,
    fields,
    guards,
    masks,
    variances,
    stacked,
    gemms,
    halves,
    fused,
    defaults,
    defaults_first,
    opset7,
    opset9,
    opset10,
]


def expect(folder: Path, name: str, feeds: Arrays) -> None:
    """NAME.safetensors: in.PORT and out.PORT, as ONNX Runtime computes them unoptimized."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    path = folder / f"{name.removesuffix('_first')}.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    tensors = {f"in.{port}": np.ascontiguousarray(value) for port, value in feeds.items()}
    for port, value in zip(names, session.run(names, feeds), strict=True):
        tensors[f"out.{port}"] = np.ascontiguousarray(value)
    save_file(tensors, folder / f"{name}.safetensors")


def main() -> None:
    """Make the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if not arguments.names or case.__name__ in arguments.names:
            with tempfile.TemporaryDirectory() as scratch:
                feeds = case(Path(scratch))
                for made in Path(scratch).iterdir():
                    shutil.copy(made, arguments.out)
            expect(arguments.out, case.__name__, feeds)


if __name__ == "__main__":
    main()
