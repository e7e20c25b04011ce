"""Models of make_onnx.py in opsets 7 to 10, of which several operators took other forms later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnx_by_hand import HIDDEN, Arrays, initializer, model, numbers, ports
from onnx_forms import constant, floats, integers, node


def old_nodes() -> list[onnx.NodeProto]:
    """What opsets 7 to 10 have in common: attributes that became inputs later."""
    return [
        node("Conv", "image, kernel", "c", strides=[4, 4]),
        node("BatchNormalization", "c, s, b, mean, var", "n"),
        node("Clip", "n", "r", min=0.0, max=6.0),
        node("ReduceMean", "r", "pooled", axes=[2, 3], keepdims=0),
        node("Dropout", "pooled", "d"),
        node("Gemm", "d, w, bias", "g", transB=1),
        node("Softmax", "r", "flat", axis=1),  # of [n, c h w]
        node("ReduceSum", "flat", "sums", axes=[2, 3], keepdims=0),
        node("Unsqueeze", "sums", "u", axes=[1]),
        node("Squeeze", "u", "q", axes=[1]),
        node("Gather", "table, ids", "e"),
        node("Transpose", "table", "t", perm=[1, 0]),
        node("MatMul", "e, t", "logits"),
        node("ReduceMax", "g", "largest", axes=[1]),
        node("Clip", "largest", "guard", min=1e-9, max=1e9),
        node("Div", "g, guard", "y"),
    ]


OLD_PORTS = "image float 1,3,16,16; ids int64 n"
OLD_OUTPUTS = "y float 1,32; q float 1,32; logits float n,80"


def old_weights() -> list[TensorProto]:
    """Those of old_nodes()."""
    return [
        initializer("kernel", HIDDEN, 3, 4, 4),
        initializer("s", HIDDEN),
        initializer("b", HIDDEN),
        initializer("mean", HIDDEN),
        constant("var", np.abs(numbers("var", HIDDEN)) + np.float32(0.1)),
        initializer("w", HIDDEN, HIDDEN),
        initializer("bias", HIDDEN),
        initializer("table", 80, 40),  # not whole blocks
    ]


def old_feeds() -> Arrays:
    """Those of old_nodes()."""
    return {"image": numbers("image", 1, 3, 16, 16, gain=1.0), "ids": np.array([3, 79])}


def save_old(folder: Path, opset: int, ir: int, more: list, outputs: str, weights: list) -> Arrays:
    """old_nodes() and more; IR version 3 wants every initializer to be an input."""
    inputs = ports(OLD_PORTS)
    tensors = old_weights() + weights
    if ir < 4:
        inputs += [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors
        ]
    graph = helper.make_graph(
        old_nodes() + more, f"opset{opset}", inputs, ports(f"{OLD_OUTPUTS}; {outputs}"), tensors
    )
    onnx.save(model(graph, opset=opset, ir=ir), folder / f"opset{opset}.onnx")
    return old_feeds()


def opset7(folder: Path) -> Arrays:
    """Upsample with an attribute, Slice with attributes."""
    more = [
        node("Upsample", "image", "z", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]),
        node("Slice", "image", "part", axes=[2], starts=[1], ends=[5]),
    ]
    return save_old(folder, 7, 3, more, "z float 1,3,32,32; part float 1,3,4,16", [])


def opset9(folder: Path) -> Arrays:
    """Upsample with an input; a mask by Where."""
    more = [
        node("Upsample", "image, scales", "z", mode="linear"),
        node("Greater", "image, zero", "positive"),
        node("Where", "positive, image, zero", "part"),
    ]
    weights = [floats("scales", [1, 1, 2, 2]), floats("zero", 0)]
    return save_old(folder, 9, 4, more, "z float 1,3,32,32; part float 1,3,16,16", weights)


def opset10(folder: Path) -> Arrays:
    """Resize with scales as its second input, Slice with inputs."""
    more = [
        node("Resize", "image, scales", "z", mode="linear"),
        node("Slice", "image, one, five, axis", "part"),
    ]
    weights = [
        floats("scales", [1, 1, 2, 2]),
        integers("one", [1]),
        integers("five", [5]),
        integers("axis", [2]),
    ]
    return save_old(folder, 10, 5, more, "z float 1,3,32,32; part float 1,3,4,16", weights)
