"""Author the first call's attention into a folder's decoders, to measure what that would cost.

usage: prefill.py MODEL_DIR OUT

Every GroupQueryAttention becomes If(cache is empty) of plain products and of the node as it was,
which is what the web package does while it loads (web/src/engine/onnx_attention.ts). The cache
cannot be written in place inside an If, so lorapress.json says so. Then, in turns:
    lorapress bench MODEL_DIR --dtype q4 --runs 1 --json
    lorapress bench OUT --dtype q4 --runs 1 --json
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper

MS = "com.microsoft"
LOWEST = -3.4028234663852886e38
node = helper.make_node


def constant(
    name: str, values: list, kind: int = TensorProto.INT64, dims: list | None = None
) -> NodeProto:
    """Return a Constant, by default a list of integers."""
    dims = [len(values)] if dims is None else dims
    return node("Constant", [], [name], value=helper.make_tensor(name, kind, dims, values))


def shared(attention: NodeProto, group: int) -> list[NodeProto]:
    """Return the condition and the causal mask, [group * rows, rows], which all layers share."""
    packed, past = attention.input[0], attention.input[3]
    return [
        constant("/p/zero", [0]),
        constant("/p/one", [1]),
        constant("/p/begin", [0], dims=[]),
        constant("/p/step", [1], dims=[]),
        node("Shape", [past], ["/p/past"], start=2, end=3),
        node("Equal", ["/p/past", "/p/zero"], ["/p/first"]),
        node("Shape", [packed], ["/p/rows"], start=1, end=2),
        node("Squeeze", ["/p/rows", "/p/zero"], ["/p/end"]),
        node("Range", ["/p/begin", "/p/end", "/p/step"], ["/p/keys"]),
        node("Concat", ["/p/keys"] * group, ["/p/queries"], axis=0),
        node("Unsqueeze", ["/p/queries", "/p/one"], ["/p/column"]),
        node("LessOrEqual", ["/p/keys", "/p/column"], ["/p/visible"]),
        constant("/p/seen", [0.0], TensorProto.FLOAT, []),
        constant("/p/hidden", [LOWEST], TensorProto.FLOAT, []),
        node("Where", ["/p/visible", "/p/seen", "/p/hidden"], ["/p/mask"]),
    ]


def plain(attention: NodeProto, heads: int, kv_heads: int, width: int) -> list[NodeProto]:
    """Return the attention of the first call as products, its results as then_0 to then_2."""
    cos, sin = attention.input[7:9]

    def at(part: str) -> str:
        return f"{attention.name}/{part}"

    def turned(part: str) -> NodeProto:
        return node(
            "RotaryEmbedding", [at(part), "/p/zero", cos, sin], [at(f"{part}_turned")], domain=MS
        )

    def shaped(x: str, y: str, *dims: int) -> list[NodeProto]:
        return [
            constant(at(f"{y}_shape"), list(dims)),
            node("Reshape", [at(x), at(f"{y}_shape")], [at(y)]),
        ]

    def heads_first(x: str, y: str) -> NodeProto:
        return node("Transpose", [at(x)], [at(y)], perm=[0, 2, 1, 3])

    keys = kv_heads * width
    return [
        constant(at("widths"), [heads * width, keys, keys]),
        node("Split", [attention.input[0], at("widths")], [at("q"), at("k"), at("v")], axis=2),
        turned("q"),
        turned("k"),
        *shaped("q_turned", "q_heads", 0, 0, heads, width),
        *shaped("k_turned", "k_heads", 0, 0, kv_heads, width),
        *shaped("v", "v_heads", 0, 0, kv_heads, width),
        heads_first("q_heads", "q_first"),
        heads_first("k_heads", "then_1"),
        heads_first("v_heads", "then_2"),
        *shaped("q_first", "grouped", 0, kv_heads, -1, width),
        node(
            "FusedMatMul",
            [at("grouped"), at("then_1")],
            [at("scores")],
            domain=MS,
            transB=1,
            alpha=1 / math.sqrt(width),
        ),
        node("Add", [at("scores"), "/p/mask"], [at("masked")]),
        node("Softmax", [at("masked")], [at("weights")], axis=-1),
        node("MatMul", [at("weights"), at("then_2")], [at("attended")]),
        *shaped("attended", "ungrouped", 0, heads, -1, width),
        heads_first("ungrouped", "joined"),
        *shaped("joined", "then_0", 0, 0, heads * width),
    ]


def branched(attention: NodeProto, width: int) -> NodeProto:
    """Return the If that replaces a GroupQueryAttention."""
    sizes = {attribute.name: attribute.i for attribute in attention.attribute}
    otherwise = NodeProto()
    otherwise.CopyFrom(attention)
    del otherwise.output[:]
    otherwise.output.extend(f"{attention.name}/else_{i}" for i in range(3))

    def body(name: str, nodes: list[NodeProto]) -> onnx.GraphProto:
        results = [f"{attention.name}/{name}_{i}" for i in range(3)]
        values = [helper.make_tensor_value_info(x, TensorProto.FLOAT, None) for x in results]
        return helper.make_graph(nodes, f"{attention.name}/{name}", [], values)

    first = plain(attention, sizes["num_heads"], sizes["kv_num_heads"], width)
    return node(
        "If",
        ["/p/first"],
        list(attention.output),
        name=f"{attention.name}/If",
        then_branch=body("then", first),
        else_branch=body("else", [otherwise]),
    )


def author(path: Path, width: int) -> None:
    """Rewrite one decoder file."""
    model = onnx.load(path)
    nodes = list(model.graph.node)
    all_attention = [x for x in nodes if x.op_type == "GroupQueryAttention"]
    sizes = {attribute.name: attribute.i for attribute in all_attention[0].attribute}
    made: list[NodeProto] = []
    for x in nodes:
        if x is all_attention[0]:
            made += shared(x, sizes["num_heads"] // sizes["kv_num_heads"])
        made.append(branched(x, width) if x.op_type == "GroupQueryAttention" else x)
    del model.graph.node[:]
    model.graph.node.extend(made)
    onnx.save(model, path)


def main() -> int:
    """Copy the folder and rewrite its decoders."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, out = map(Path, sys.argv[1:])
    shutil.copytree(source, out)
    manifest = json.loads((out / "lorapress.json").read_text())
    decoders = {graphs["decoder"] for graphs in manifest["graphs"].values()}
    for name in decoders:
        author(out / name, manifest["model"]["head_dim"])
        manifest["graph_files"][name]["in_place_cache"] = False
    for file in manifest["files"]:
        if file["path"] in decoders:
            file["bytes"] = (out / file["path"]).stat().st_size
    (out / "lorapress.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
