"""`quantize` on .onnx files that were tampered with: one line, and nothing is left behind."""

import json
import os
import re
import shutil
import struct

from harness import ROOT, Case, run
from test_models import field, varint

GOLDENS = ROOT / "tests/goldens/onnx"
FLOAT = 1


def port(name: bytes, rows: int, cols: int) -> bytes:
    """A ValueInfoProto of a float matrix."""
    dims = b"".join(field(1, field(1, dim)) for dim in (rows, cols))
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def tensor(name: bytes, dims: tuple, content: bytes) -> bytes:
    """A TensorProto; content is its encoded data fields."""
    return b"".join(field(1, dim) for dim in dims) + field(2, FLOAT) + field(8, name) + content


def node(kind: bytes, inputs: list, outputs: list, *more: bytes) -> bytes:
    """A NodeProto."""
    names = b"".join(field(1, name) for name in inputs) + b"".join(field(2, n) for n in outputs)
    return names + field(4, kind) + b"".join(more)


def model(nodes: list, tensors: list, opset: int = 17, output: bytes = b"y") -> bytes:
    """x [2, 64] goes in, the output [2, 64] out."""
    graph = b"".join(field(1, n) for n in nodes) + field(2, b"g")
    graph += b"".join(field(5, t) for t in tensors)
    graph += field(11, port(b"x", 2, 64)) + field(12, port(output, 2, 64))
    return field(1, 8) + field(8, field(1, b"") + field(2, opset)) + field(7, graph)


WEIGHT = struct.pack("<4096f", *(((i * 37) % 101 - 50) / 200 for i in range(4096)))
MATMUL = node(b"MatMul", [b"x", b"w"], [b"y"])


def equation() -> bytes:
    """The attribute of an Einsum that is a product."""
    return field(1, b"equation") + field(20, 3) + field(4, b"ij,jk->ik")


def external(**keys: str) -> bytes:
    """Data fields that point into another file."""
    entries = (field(13, field(1, k.encode()) + field(2, v.encode())) for k, v in keys.items())
    return b"".join(entries) + field(14, 1)


def dtypes() -> list:
    """What --dtype takes, as the help says."""
    text = run("quantize", "--help").out
    names = ("fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4")
    return [name for name in names if re.search(rf"^ +{name}: ", text, re.M)]


class Quantize(Case):
    """One file in, one out."""

    def setUp(self):
        super().setUp()
        self.source = self.tmp / "in.onnx"
        self.target = self.tmp / "out.onnx"

    def write(self, content: bytes) -> None:
        self.source.write_bytes(content)

    def quantize(self, *args, dtype="fp32") -> str:
        return self.succeed("quantize", self.source, self.target, "--dtype", dtype, *args)

    def refuse_model(self, code, has, *args, dtype="fp32") -> None:
        self.refuse(
            "quantize", self.source, self.target, "--dtype", dtype, *args, code=code, has=has
        )

    def test_a_good_one(self):
        self.write(model([MATMUL], [tensor(b"w", (64, 64), field(9, WEIGHT))]))
        report = json.loads(self.quantize("--json"))
        self.assertEqual(report["bytes_in"], self.source.stat().st_size)
        self.assertEqual(report["bytes_out"], self.target.stat().st_size)
        self.assertEqual(report["operators"], {})
        self.assertIn("peak memory", self.quantize("--force"))

    def test_options(self):
        self.write(model([MATMUL], [tensor(b"w", (64, 64), field(9, WEIGHT))]))
        self.refuse("quantize", self.source, self.target, code="invalid_argument", has="--dtype")
        self.refuse_model("unsupported", ["--dtype q3", "fp32"], dtype="q3")
        self.refuse_model("invalid_argument", "--block-size", "--block-size", "48")
        self.refuse_model("invalid_argument", "--block-size", "--block-size", "8")
        self.refuse_model("invalid_argument", "--accuracy-level", "--accuracy-level", "3")
        self.refuse_model("invalid_argument", "--rounding", "--rounding", "up")
        self.refuse_model("invalid_argument", "per-", "--per-channel", "--per-tensor")

    def test_calibration(self):
        shutil.copy(GOLDENS / "torch_vision.onnx", self.source)
        images = self.tmp / "images"
        images.mkdir()
        args = ("--calibrate", images, "--block-size", "16")
        self.refuse_model("not_found", ["no image", "0 files"], *args, dtype="q4")
        (images / "a.txt").write_text("no image")
        (images / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
        (images / "c.jpg").write_bytes(b"")
        (images / "d.png").mkdir()
        self.refuse_model("not_found", ["no image", "3 files"], *args, dtype="q4")
        shutil.copy(ROOT / "models/demo/images/scene-10000000.png", images / "e.png")
        report = json.loads(self.quantize("--json", *args, dtype="q4"))
        self.assertEqual(report["calibration"]["images"], 1)
        self.assertTrue(any("3 other files passed over" in note for note in report["notes"]))
        self.target.unlink()
        for what, code, dtype in [
            (("--rounding", "nearest"), "invalid_argument", "q4"),
            ((), "invalid_argument", "fp16"),
        ]:
            self.refuse_model(code, "--calibrate", *args, *what, dtype=dtype)
        config = self.tmp / "preprocessor_config.json"
        for text, code in {
            "{": "invalid_file",
            "[]": "invalid_file",
            '{"size": {"height": 16, "width": -16}}': "mismatch",
            '{"size": {"height": 16, "width": 1000000000000}}': "mismatch",
            '{"size": {"height": 16, "width": 16}, "resample": 9}': "unsupported",
            '{"size": {"shortest_edge": 16}}': "unsupported",
            '{"size": 16, "image_mean": [0, 0], "image_std": [1, 1, 1]}': "invalid_file",
            '{"size": 16, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}': "invalid_file",
        }.items():
            with self.subTest(text):
                config.write_text(text)
                self.refuse_model(code, str(config), *args, dtype="q4")
        config.unlink()
        (self.tmp / "lorapress.json").write_text("{}")
        self.refuse_model("invalid_file", "lorapress.json", *args, dtype="q4")
        (self.tmp / "lorapress.json").unlink()
        self.write(model([MATMUL], [tensor(b"w", (64, 64), field(9, WEIGHT))]))
        self.refuse_model("unsupported", "--calibrate takes a graph", *args, dtype="q4")

    def test_no_onnx(self):
        good = model([MATMUL], [tensor(b"w", (64, 64), field(9, WEIGHT))])
        for name, content in {
            "empty": b"",
            "text": b"hello world",
            "zeros": bytes(100),
            "ones": b"\xff" * 100,
            "no graph": good[:10],
            "a graph of 2^63 bytes": b"\x08\x08\x3a" + varint(1 << 63),
            "a number without end": b"\x3a" + b"\x80" * 20,
        }.items():
            with self.subTest(name):
                self.write(content)
                self.refuse_model("invalid_file", [str(self.source), "not an ONNX model"])
        for size in range(20, len(good), len(good) // 12):
            self.write(good[:size])
            self.refuse_model("invalid_file", [str(self.source)])
        self.source.unlink()
        self.refuse_model("not_found", str(self.source))
        self.source.mkdir()
        self.refuse_model("invalid_file", "regular file")

    def test_graphs(self):
        weight = tensor(b"w", (64, 64), field(9, WEIGHT))
        deep = MATMUL
        for _ in range(40):
            body = field(1, b"then_branch") + field(20, 5) + field(6, field(1, deep))
            deep = node(b"If", [b"x"], [], field(5, body))
        for name, content, code, has in [
            (
                "a dangling name",
                model([node(b"MatMul", [b"x", b"gone"], [b"y"])], [weight]),
                "invalid_file",
                ["MatMul reads gone", "nothing produces"],
            ),
            (
                "a dangling output",
                model([MATMUL], [weight], output=b"z"),
                "invalid_file",
                ["output reads z"],
            ),
            (
                "a cycle",
                model(
                    [node(b"Add", [b"x", b"z"], [b"y"]), node(b"Relu", [b"y"], [b"z"])], [weight]
                ),
                "invalid_file",
                ["Add reads z", "cycle"],
            ),
            (
                "a name twice",
                model([MATMUL, MATMUL], [weight]),
                "invalid_file",
                ["gives y again"],
            ),
            ("an old opset", model([MATMUL], [weight], 6), "unsupported", ["opset 6", "7 to"]),
            ("a new opset", model([MATMUL], [weight], 999), "unsupported", ["opset 999"]),
            ("bodies in bodies", model([deep], [weight]), "invalid_file", ["nested too deep"]),
            (
                "too few bytes",
                model([MATMUL], [tensor(b"w", (64, 65), field(9, WEIGHT))]),
                "invalid_file",
                ["tensor w", "16640 bytes", "16384"],
            ),
            (
                "a shape of 2^80",
                model([MATMUL], [tensor(b"w", (1 << 40, 1 << 40), field(9, WEIGHT))]),
                "invalid_file",
                ["tensor w", "impossible shape"],
            ),
            (
                "control characters",
                model([node(b"Relu", [b"a\n\x1b[2Jb"], [b"y"])], [weight]),
                "invalid_file",
                ["nothing produces"],
            ),
        ]:
            with self.subTest(name):
                self.write(content)
                self.refuse_model(code, [str(self.source), *has])

    def test_external_data(self):
        def use(**keys: str) -> None:
            self.write(model([MATMUL], [tensor(b"w", (64, 64), external(**keys))]))

        use(location="w.bin")
        self.refuse_model("not_found", ["tensor w", "w.bin is missing"])
        (self.tmp / "w.bin").write_bytes(WEIGHT)
        self.quantize()
        self.target.unlink()
        self.assertEqual(WEIGHT in self.source.read_bytes(), False)
        use(location="w.bin", offset="4")
        self.refuse_model("invalid_file", ["tensor w", "16384 bytes, but there are 16380"])
        use(location="w.bin", length="99999")
        self.refuse_model("invalid_file", ["tensor w", "ends at byte 99999", "w.bin"])
        for location in ("../w.bin", "/etc/passwd", "a/../../w.bin", "", "..", "w.bin\0"):
            use(location=location)
            self.refuse_model("invalid_file", ["tensor w", "inside the model's folder"])
        (self.tmp / "link").symlink_to("/etc/passwd")
        use(location="link")
        self.refuse_model("invalid_file", ["tensor w", "a link that leaves"])
        os.mkfifo(self.tmp / "pipe")
        use(location="pipe")
        self.refuse_model("invalid_file", ["regular file"])

    def test_nan(self):
        for bad in (float("nan"), float("inf")):
            content = struct.pack("<f", bad).join([WEIGHT[:400], WEIGHT[404:]])
            self.write(model([MATMUL], [tensor(b"w", (64, 64), field(9, content))]))
            for dtype in dtypes():
                with self.subTest(dtype):
                    if dtype == "fp32":
                        self.quantize()
                        self.target.unlink()
                    else:
                        self.refuse_model("invalid_file", ["w"], dtype=dtype)

    def test_nothing_to_quantize(self):
        small = tensor(b"w", (2, 2), field(9, WEIGHT[:16]))
        self.write(model([node(b"MatMul", [b"w", b"x"], [b"y"])], [small]))
        for dtype in dtypes():
            with self.subTest(dtype):
                if dtype in ("fp32", "fp16"):
                    self.quantize(dtype=dtype)
                    self.target.unlink()
                    continue
                self.refuse_model("unsupported", ["nothing in it is quantized"], dtype=dtype)
                report = json.loads(self.quantize("--allow-unquantized", "--json", dtype=dtype))
                self.assertEqual(report["quantized_matrices"], 0)
                self.assertTrue(any("nothing in it" in note for note in report["notes"]))
                self.target.unlink()

    def test_what_stays_is_named(self):
        left = [
            node(b"MatMul", [b"x", b"w"], [b"h"]),
            node(b"Gemm", [b"x", b"v"], [b"g"], field(3, b"/g\n\x1b[2J")),
            node(b"Einsum", [b"h", b"u"], [b"e"], field(5, equation())),
            node(b"Add", [b"g", b"e"], [b"y"]),
        ]
        self.write(model(left, [tensor(n, (64, 64), field(9, WEIGHT)) for n in (b"w", b"v", b"u")]))
        report = json.loads(self.quantize("--json", "--exclude", "v", dtype="q8"))
        self.assertEqual(report["quantized_matrices"], 1)
        reasons = sorted(kept["reason"] for kept in report["kept"])
        self.assertEqual(reasons, ["--exclude", "read by Einsum"])
        self.assertEqual(report["notes"][-1].count("\n"), 0)
        text = self.quantize("--force", "--exclude", "v", dtype="q4")
        self.assertIn("2 of 3 matrices not in 4 bit", text)
        self.assertNotIn("\x1b", text)

    def test_inputs_with_defaults(self):
        weight = tensor(b"w", (64, 64), field(9, WEIGHT))
        whole = model([MATMUL], [weight])
        graph = field(1, MATMUL) + field(2, b"g") + field(5, weight)
        graph += field(11, port(b"x", 2, 64)) + field(11, port(b"w", 64, 64))
        graph += field(12, port(b"y", 2, 64))
        head = field(8, field(1, b"") + field(2, 17))
        for ir, fed in ((3, False), (8, True)):
            self.write(field(1, ir) + head + field(7, graph))
            if fed:
                self.refuse_model("unsupported", ["w", "--freeze-inputs"], dtype="q8")
                self.quantize("--freeze-inputs", dtype="q8")
            else:
                self.quantize(dtype="q8")
            self.assertLess(self.target.stat().st_size, len(whole) // 2)
            self.target.unlink()
        # A default of another type than the input.
        floats = port(b"w", 64, 64)
        graph = graph.replace(floats, floats.replace(field(1, 1), field(1, 7), 1))
        self.write(field(1, 8) + head + field(7, graph))
        self.refuse_model("invalid_file", ["input w is of onnx type 7"])

    def test_out(self):
        shutil.copy(GOLDENS / "external.onnx", self.source)
        shutil.copy(GOLDENS / "external.onnx_data", self.tmp)
        self.quantize("--external-data")
        self.assertTrue((self.tmp / "out.onnx_data").exists())
        self.refuse_model("exists", ["out.onnx", "--force"])
        self.quantize("--external-data", "--force")
        self.target = self.source
        self.refuse_model("invalid_argument", ["is what is read"], "--force")
        self.target = self.tmp
        self.refuse_model("exists", ["is no file"], "--force")
        self.target = self.tmp / "w.bin" / "x.onnx"
        (self.tmp / "w.bin").touch()
        self.refuse_model("io", [str(self.tmp / "w.bin")])

    def test_every_golden_in_every_dtype(self):
        for path in sorted(GOLDENS.glob("*.onnx")):
            for dtype in dtypes():
                with self.subTest(f"{path.name} {dtype}"):
                    self.succeed("quantize", path, self.target, "--dtype", dtype, "--force")
