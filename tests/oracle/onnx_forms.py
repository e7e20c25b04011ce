"""Models of make_onnx.py with forms that converters meet in the wild: guards, masks, old opsets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_by_hand import HIDDEN, Arrays, initializer, model, numbers, ports

LOWEST = np.finfo(np.float32).min
MICROSOFT = "com.microsoft"


def node(kind: str, inputs: str, outputs: str, **attributes) -> onnx.NodeProto:
    """A node of "x, w" to "y"; "-" is an input that is absent."""
    names = ["" if name == "-" else name for name in inputs.split(", ") if name]
    return helper.make_node(kind, names, outputs.split(", "), **attributes)


def constant(name: str, values) -> TensorProto:
    """An initializer of given values."""
    return numpy_helper.from_array(np.array(values, order="C"), name)


def floats(name: str, values) -> TensorProto:
    """The same as float32."""
    return constant(name, np.array(values, np.float32))


def integers(name: str, values) -> TensorProto:
    """The same as int64."""
    return constant(name, np.array(values, np.int64))


def rows_with_zeros() -> np.ndarray:
    """Activations of which one row is 0."""
    x = numbers("x", 4, HIDDEN, gain=1.0)
    x[2] = 0
    return x


def guards(folder: Path) -> Arrays:
    """Epsilons below float16's smallest number, wherever a graph may keep them."""
    fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [1e-10])

    def branch(name: str, epsilon: float) -> onnx.GraphProto:
        return helper.make_graph(
            [node("Add", "largest, eps", "bound"), node("Div", "m, bound", "r")],
            name,
            [],
            ports("r float b,32"),
            [floats("eps", [epsilon])],
        )

    loop = helper.make_graph(
        [
            node("Constant", "", "least_size", value_float=1e-12),
            node("Max", "size, least_size", "divisor"),
            node("Div", "v, divisor", "next"),
            node("Identity", "condition", "again"),
        ],
        "loop",
        ports("i int64; condition bool; v float b,32"),
        ports("again bool; next float b,32"),
    )
    graph = helper.make_graph(
        [
            node("MatMul", "x, w", "m"),
            node("Abs", "m", "size"),
            node("ReduceMax", "size", "largest", axes=[-1]),
            node("If", "choose", "a", then_branch=branch("t", 1e-8), else_branch=branch("e", 1e-9)),
            node("Loop", "trips, -, m", "b", body=loop),
            node("Sigmoid", "x", "p"),
            node("Clip", "p, least", "clipped"),
            node("Log", "clipped", "c"),
            node("Mul", "p, none", "gone"),
            node("Constant", "", "tiny", value=floats("tiny", 1e-9)),
            node("Add", "gone, tiny", "guarded"),
            node("Log", "guarded", "d"),
            node("Shape", "m", "shape"),
            node("ConstantOfShape", "shape", "filled", value=fill),
            node("Add", "size, filled", "sum"),
            node("Div", "m, sum", "e"),
            node("Add", "size, mixed", "mixed_sum"),
            node("Div", "m, mixed_sum", "f"),
        ],
        "guards",
        ports("x float b,32; choose bool; trips int64"),
        ports("a float b,32; b float b,32; c float b,32; d float b,32; e float b,32; f float b,32"),
        [
            initializer("w", HIDDEN, HIDDEN),
            floats("least", 1e-8),
            floats("none", 0),
            floats("mixed", np.where(np.arange(HIDDEN) % 2, 1.0, 2e-8)),
        ],
    )
    onnx.save(model(graph), folder / "guards.onnx")
    return {"x": rows_with_zeros(), "choose": np.array(True), "trips": np.array(1)}


def masks(folder: Path) -> Arrays:
    """Fills of the lowest float32 and of -inf: added, compared, minimum of two; rows all masked."""
    lowest = helper.make_tensor("lowest_value", TensorProto.FLOAT, [1], [LOWEST])
    graph = helper.make_graph(
        [
            node("MatMul", "x, w", "scores"),
            # (1 - mask) * lowest, with a causal one and a row of nothing but fills
            node("Cast", "mask", "kept", to=TensorProto.FLOAT),
            node("Sub", "one, kept", "hidden"),
            node("Mul", "hidden, lowest", "padding"),
            node("Min", "padding, causal", "both"),
            node("Add", "scores, both", "masked"),
            node("Softmax", "masked", "a", axis=-1),
            # transformers' _unmask_unattended
            node("Equal", "both, lowest", "is_fill"),
            node("Cast", "is_fill", "fill_float", to=TensorProto.FLOAT),
            node("ReduceMin", "fill_float", "unattended", axes=[-1]),
            node("Sub", "one, unattended", "attended"),
            node("Mul", "both, attended", "unmasked"),
            node("Add", "scores, unmasked", "unmasked_scores"),
            node("Softmax", "unmasked_scores", "b", axis=-1),
            # a mask of floats that is fed
            node("Slice", "fed, zero, length, axis", "part"),
            node("Equal", "part, lowest", "fed_fill"),
            node("Where", "fed_fill, zero_float, scores", "c"),
            node("Where", "fed_fill, minus_infinity, scores", "hard"),
            node("Softmax", "hard", "d", axis=-1),
            # a triangle, made while the graph runs
            node("Shape", "scores", "shape"),
            node("ConstantOfShape", "shape", "full", value=lowest),
            node("Trilu", "full, above", "triangle", upper=1),
            node("Add", "scores, triangle", "triangular"),
            node("Softmax", "triangular", "e", axis=-1),
            # the causal constant by itself
            node("Where", "fed_fill, causal, scores", "selected"),
            node("Softmax", "selected", "f", axis=-1),
        ],
        "masks",
        ports("x float 32,32; mask int64 1,32; fed float 1,40"),
        ports("; ".join(f"{name} float 32,32" for name in "abcdef")),
        [
            initializer("w", HIDDEN, HIDDEN),
            floats("one", 1),
            floats("zero_float", 0),
            floats("lowest", LOWEST),
            floats("minus_infinity", -np.inf),
            floats("causal", np.triu(np.full((32, 32), LOWEST, np.float32), 1)),
            integers("zero", [0]),
            integers("length", [32]),
            integers("axis", [1]),
            integers("above", 1),
        ],
    )
    onnx.save(model(graph), folder / "masks.onnx")
    mask = np.ones((1, 32), np.int64)
    mask[0, :3] = 0
    fed = np.where(np.arange(40) % 3 == 1, LOWEST, 0).astype(np.float32)[None]
    return {"x": numbers("x", 32, HIDDEN, gain=1.0), "mask": mask, "fed": fed}


def variances(folder: Path) -> Arrays:
    """BatchNormalization with variances that float16 cannot hold."""
    weight = numbers("w", HIDDEN, HIDDEN) * np.float32(1e-4)
    graph = helper.make_graph(
        [
            node("MatMul", "x, w", "m"),
            node("BatchNormalization", "m, scale, bias, mean, variance", "n", epsilon=1e-8),
            node("MatMul", "n, v", "y"),
        ],
        "variances",
        ports("x float n,32"),
        ports("y float n,32"),
        [
            constant("w", weight),
            initializer("scale", HIDDEN),
            initializer("bias", HIDDEN),
            constant("mean", numbers("mean", HIDDEN) * np.float32(1e-4)),
            constant("variance", np.abs(numbers("variance", HIDDEN)) * np.float32(3e-8)),
            initializer("v", HIDDEN, HIDDEN),
        ],
    )
    onnx.save(model(graph), folder / "variances.onnx")
    return {"x": numbers("x", 4, HIDDEN, gain=1.0)}


def stacked(folder: Path) -> Arrays:
    """Weights [1, ..., K, N] with left sides of fewer, as many and more dimensions."""
    graph = helper.make_graph(
        [
            node("MatMul", "vector, w3", "a"),
            node("MatMul", "vector, w4", "b"),
            node("MatMul", "matrix, w3", "c"),
            node("MatMul", "matrix, w4", "d"),
            node("MatMul", "stack, w3", "e"),
            node("MatMul", "stack, w4", "f"),
            node("MatMul", "deep, w3", "g"),
            node("MatMul", "vector, w2", "h"),
            node("MatMul", "stack, many", "i"),
        ],
        "stacked",
        ports("vector float 32; matrix float n,32; stack float 2,n,32; deep float 2,3,n,32"),
        ports(
            "a float 1,24; b float 1,1,48; c float 1,n,24; d float 1,1,n,48; e float 2,n,24; "
            "f float 1,2,n,48; g float 2,3,n,24; h float 16; i float 2,n,16"
        ),
        [
            initializer("w2", HIDDEN, 16),
            initializer("w3", 1, HIDDEN, 24),
            initializer("w4", 1, 1, HIDDEN, 48),
            initializer("many", 2, HIDDEN, 16),
        ],
    )
    onnx.save(model(graph), folder / "stacked.onnx")
    return {
        "vector": numbers("vector", HIDDEN, gain=1.0),
        "matrix": numbers("matrix", 3, HIDDEN, gain=1.0),
        "stack": numbers("stack", 2, 3, HIDDEN, gain=1.0),
        "deep": numbers("deep", 2, 3, 3, HIDDEN, gain=1.0),
    }


def gemms(folder: Path) -> Arrays:
    """Gemm with alpha, beta and both sides turned; C of every shape."""
    graph = helper.make_graph(
        [
            node("Gemm", "x, w, row", "a", alpha=0.5, beta=2.0),
            node("Gemm", "x, turned, scalar", "b", transB=1, alpha=-3.0, beta=0.5),
            node("Gemm", "columns, v, column", "c", transA=1, beta=0.25),
            node("Gemm", "columns, turned", "d", transA=1, transB=1, alpha=2.0),
            node("Gemm", "x, v, row", "e", beta=0.0),
        ],
        "gemms",
        ports("x float 3,32; columns float 32,3"),
        ports("; ".join(f"{name} float 3,24" for name in "abcde")),
        [
            initializer("w", HIDDEN, 24),
            initializer("v", HIDDEN, 24),
            initializer("turned", 24, HIDDEN),
            initializer("row", 24),
            initializer("column", 3, 1),
            floats("scalar", 0.7),
        ],
    )
    onnx.save(model(graph), folder / "gemms.onnx")
    return {
        "x": numbers("x", 3, HIDDEN, gain=1.0),
        "columns": numbers("columns", HIDDEN, 3, gain=1.0),
    }


def halves(folder: Path) -> Arrays:
    """A float16 model: products, factors that float16 cannot hold, a tied table."""

    def half(tensor: TensorProto) -> TensorProto:
        return constant(tensor.name, numpy_helper.to_array(tensor).astype(np.float16))

    graph = helper.make_graph(
        [
            node("Gather", "table, ids", "e"),
            node("MatMul", "e, w", "h"),
            node("Gemm", "h, v, c", "g", transB=1, alpha=0.5, beta=2.0),
            node("Gemm", "g, u", "s", alpha=2e-6),
            node("Gemm", "s, u, c", "t", alpha=2e5, beta=0.5),
            node("Gemm", "t, table", "y", transB=1),
        ],
        "halves",
        ports("ids int64 n"),
        ports("h float16 n,32; t float16 n,32; y float16 n,96"),
        [
            half(initializer("table", 96, HIDDEN)),
            half(initializer("w", HIDDEN, HIDDEN)),
            half(initializer("v", HIDDEN, HIDDEN)),
            half(initializer("u", HIDDEN, HIDDEN)),
            half(initializer("c", HIDDEN)),
        ],
    )
    onnx.save(model(graph), folder / "halves.onnx")
    return {"ids": np.array([3, 95, 0])}


def fused(folder: Path) -> Arrays:
    """Products as ONNX Runtime's optimizer fuses them."""
    graph = helper.make_graph(
        [
            node("FusedMatMul", "x, w", "h", domain=MICROSOFT, alpha=0.5),
            node("FusedMatMul", "h, t", "a", domain=MICROSOFT, transB=1),
            node("Attention", "x, qkv, bias, mask", "b", domain=MICROSOFT, num_heads=4),
            node(
                "Attention",
                "x, causal, bias, -, past",
                "c, present",
                domain=MICROSOFT,
                num_heads=4,
                unidirectional=1,
            ),
        ],
        "fused",
        ports("x float 2,5,32; mask int32 2,5; past float 2,2,4,3,8"),
        ports("a float 2,5,24; b float 2,5,32; c float 2,5,32; present float 2,2,4,8,8"),
        [
            initializer("w", HIDDEN, HIDDEN),
            initializer("t", 24, HIDDEN),
            initializer("qkv", HIDDEN, 3 * HIDDEN),
            initializer("causal", HIDDEN, 3 * HIDDEN),
            initializer("bias", 3 * HIDDEN),
        ],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=8,
    )
    onnx.save(made, folder / "fused.onnx")
    mask = np.ones((2, 5), np.int32)
    mask[1, 3:] = 0
    return {
        "x": numbers("x", 2, 5, HIDDEN, gain=1.0),
        "mask": mask,
        "past": numbers("past", 2, 2, 4, 3, 8, gain=1.0),
    }


def defaults(folder: Path) -> Arrays:
    """IR version 8: initializers that are inputs are defaults; callers feed others."""
    graph = helper.make_graph(
        [
            node("MatMul", "x, w", "m"),
            node("Add", "m, bias", "a"),
            node("MatMul", "a, v", "b"),
            node("Mul", "b, scale", "y"),
        ],
        "defaults",
        ports("x float n,32; bias float 32; v float 32,32; scale float"),
        ports("y float n,32"),
        [
            initializer("w", HIDDEN, HIDDEN),
            initializer("bias", HIDDEN),
            initializer("v", HIDDEN, HIDDEN),
            floats("scale", 0.5),
        ],
    )
    onnx.save(model(graph), folder / "defaults.onnx")
    return {
        "x": numbers("x", 3, HIDDEN, gain=1.0),
        "bias": numbers("other bias", HIDDEN, gain=3.0),
        "v": numbers("other v", HIDDEN, HIDDEN),
    }


def defaults_first(folder: Path) -> Arrays:
    """The same with the defaults."""
    return {"x": defaults(folder)["x"]}
