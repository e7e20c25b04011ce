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
from common import rng_for
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from torch import nn

OPSET = 17
HIDDEN = 32
VOCAB = 48
Arrays = dict[str, np.ndarray]


def numbers(name: str, *shape: int, gain: float = 0.3) -> np.ndarray:
    """Weights that depend on the name alone."""
    return (rng_for("onnx", name).standard_normal(shape) * gain).astype(np.float32)


def fill(module: nn.Module) -> nn.Module:
    """Give a module repeatable weights."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(numbers(name, *parameter.shape)))
    return module.eval()


def initializer(name: str, *shape: int) -> TensorProto:
    """A float32 initializer in raw bytes."""
    return numpy_helper.from_array(numbers(name, *shape), name)


def ports(spec: str) -> list:
    """Ports of "x float b,32; ids int64 b,s": names, types and dims."""
    made = []
    for port in spec.split("; "):
        name, kind, dims = (port.split(" ") + [""])[:3]
        shape = [int(dim) if dim.isdigit() else dim for dim in dims.split(",") if dim]
        made.append(helper.make_tensor_value_info(name, getattr(TensorProto, kind.upper()), shape))
    return made


def model(graph: onnx.GraphProto, opset: int = OPSET, ir: int = 8, **more) -> onnx.ModelProto:
    """A model that the checker passes."""
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir, **more
    )
    onnx.checker.check_model(made, full_check=True)
    return made


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


def bodies(folder: Path) -> Arrays:
    """If, Loop and Scan whose bodies have weights of their own, under names that clash."""

    def branch(name: str, direct: bool) -> onnx.GraphProto:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"])]
        if not direct:
            nodes.append(helper.make_node("Add", ["h", "b"], ["r"]))
        # The second output is an initializer of the body itself.
        return helper.make_graph(
            nodes,
            name,
            [],
            ports(f"{'h' if direct else 'r'} float b,32; b float 32"),
            [
                numpy_helper.from_array(numbers(f"{name}w", HIDDEN, HIDDEN), "w"),
                numpy_helper.from_array(numbers(f"{name}b", HIDDEN), "b"),
            ],
        )

    large = numpy_helper.from_array(numbers("loopw", HIDDEN, HIDDEN), "value")
    loop = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=large),
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Tanh", ["h"], ["y"]),
            helper.make_node("Identity", ["condition"], ["again"]),
        ],
        "loop",
        ports("i int64; condition bool; x float b,32"),
        ports("again bool; y float b,32; y float b,32"),
    )
    scan = helper.make_graph(
        [
            helper.make_node("MatMul", ["row", "h"], ["p"]),
            helper.make_node("Add", ["p", "state"], ["next"]),
            helper.make_node("Mul", ["next", "scale"], ["seen"]),
        ],
        "scan",
        ports("state float 32; row float 32"),
        ports("next float 32; seen float 32"),
        [numpy_helper.from_array(numbers("scanw", HIDDEN, HIDDEN), "h")],
    )
    graph = helper.make_graph(
        [
            helper.make_node(
                "If",
                ["choose"],
                ["r", "bias"],
                then_branch=branch("then", False),
                else_branch=branch("else", True),
            ),
            helper.make_node("Loop", ["trips", "", "r"], ["last", "all"], body=loop),
            helper.make_node("Scan", ["bias", "last"], ["end", "seen"], body=scan, num_scan_inputs=1),
            helper.make_node("Add", ["seen", "scale"], ["y"]),
        ],
        "bodies",
        ports("x float b,32; choose bool; trips int64"),
        ports("y float b,32; all float t,b,32; end float 32"),
        [initializer("scale", HIDDEN)],
    )
    onnx.save(model(graph), folder / "bodies.onnx")
    return {
        "x": numbers("x", 3, HIDDEN, gain=1.0),
        "choose": np.array(True),
        "trips": np.array(3),
    }


def external(folder: Path) -> Arrays:
    """Two matrices in one file beside the model, as onnx.save writes them."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w0"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w1", "b"], ["y"], transB=1),
        ],
        "external",
        ports("x float n,32"),
        ports("y float n,24"),
        [initializer("w0", HIDDEN, 64), initializer("w1", 24, 64), initializer("b", 24)],
    )
    onnx.save(
        model(graph),
        folder / "external.onnx",
        save_as_external_data=True,
        location="external.onnx_data",
        size_threshold=1024,
    )
    return {"x": numbers("x", 3, HIDDEN, gain=1.0)}


def functions(folder: Path) -> Arrays:
    """A local function that calls another; one has a weight in a Constant."""
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    weight = numpy_helper.from_array(numbers("function", HIDDEN, HIDDEN), "w")
    inner = helper.make_function(
        "local",
        "Project",
        ["x", "b"],
        ["y"],
        [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Add", ["m", "b"], ["y"]),
        ],
        opsets,
    )
    leak = helper.make_node("LeakyRelu", ["h"], ["y"])
    attribute = leak.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = "alpha", "slope", 1
    outer = helper.make_function(
        "local",
        "Layer",
        ["x", "b"],
        ["y"],
        [helper.make_node("Project", ["x", "b"], ["h"], domain="local"), leak],
        opsets,
        ["slope"],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Layer", ["x", "b"], ["h"], domain="local", slope=0.2),
            helper.make_node("Layer", ["h", "b"], ["y"], domain="local", slope=0.1),
        ],
        "functions",
        ports("x float n,32"),
        ports("y float n,32"),
        [initializer("b", HIDDEN)],
    )
    made = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, functions=[inner, outer]
    )
    onnx.checker.check_model(made)
    onnx.save(made, folder / "functions.onnx")
    return {"x": numbers("x", 3, HIDDEN, gain=1.0)}


def fields(folder: Path) -> Arrays:
    """Old ways to store tensors: typed fields, initializers that are inputs, IR version 3."""
    half = numbers("half", HIDDEN, HIDDEN).astype(np.float16)

    def typed(name: str, kind: int, values: np.ndarray) -> TensorProto:
        return helper.make_tensor(name, kind, values.shape, values.flatten().tolist())

    weight = numbers("typed", HIDDEN, HIDDEN)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["half"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["flat", "square"], ["w1"]),
            helper.make_node("Transpose", ["w1"], ["w2"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "wide"], ["h"]),
            helper.make_node("MatMul", ["h", "w2"], ["p"]),
            helper.make_node("Cast", ["double"], ["bias"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["p", "bias"], ["q"]),
            helper.make_node("Where", ["mask", "q", "h"], ["r"]),
            helper.make_node("Gather", ["r", "picked"], ["y"], axis=1),
        ],
        "fields",
        ports("x float n,32; flat float 1024; square int64 2"),
        ports("y float n,5"),
        [
            typed("half", TensorProto.FLOAT16, half),
            typed("flat", TensorProto.FLOAT, weight.flatten()),
            typed("square", TensorProto.INT64, np.array([0, -1]) + [HIDDEN, 0]),
            typed("double", TensorProto.DOUBLE, numbers("b", HIDDEN).astype(np.float64)),
            typed("mask", TensorProto.BOOL, numbers("mask", HIDDEN) > 0),
            typed("picked", TensorProto.INT32, np.array([3, 1, 4, 1, 5])),
        ],
    )
    graph.input.extend(
        ports("half float16 32,32; double double 32; mask bool 32; picked int32 5")
    )
    onnx.save(model(graph, opset=11, ir=3), folder / "fields.onnx")
    return {"x": numbers("x", 3, HIDDEN, gain=1.0)}


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
