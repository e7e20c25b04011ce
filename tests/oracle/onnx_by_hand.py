"""The models of make_onnx.py that no exporter writes: put together with onnx.helper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import rng_for

OPSET = 17
HIDDEN = 32
Arrays = dict[str, np.ndarray]


def numbers(name: str, *shape: int, gain: float = 0.3) -> np.ndarray:
    """Weights that depend on the name alone."""
    return (rng_for("onnx", name).standard_normal(shape) * gain).astype(np.float32)


def initializer(name: str, *shape: int) -> TensorProto:
    """A float32 initializer in raw bytes."""
    return numpy_helper.from_array(numbers(name, *shape), name)


def ports(spec: str) -> list:
    """Ports of "x float b,32; ids int64 b,s": names, types and dims."""
    made = []
    for port in spec.split("; "):
        name, kind, dims = [*port.split(" "), ""][:3]
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
            helper.make_node(
                "Scan", ["bias", "last"], ["end", "seen"], body=scan, num_scan_inputs=1
            ),
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
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[inner, outer])
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
            typed("square", TensorProto.INT64, np.array([HIDDEN, -1])),
            typed("double", TensorProto.DOUBLE, numbers("b", HIDDEN).astype(np.float64)),
            typed("mask", TensorProto.BOOL, numbers("mask", HIDDEN) > 0),
            typed("picked", TensorProto.INT32, np.array([3, 1, 4, 1, 5])),
        ],
    )
    graph.input.extend(ports("half float16 32,32; double double 32; mask bool 32; picked int32 5"))
    onnx.save(model(graph, opset=11, ir=3), folder / "fields.onnx")
    return {"x": numbers("x", 3, HIDDEN, gain=1.0)}
