"""Pressed folders and .onnx files that were tampered with, and images that are none."""

import json
import os
import shutil

from harness import BASE, Case, edit_json, run

IMAGE = BASE / "golden/image0.png"


def varint(value: int) -> bytes:
    """A protobuf number."""
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field: a number or a length-delimited one."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


OPSET = field(8, field(1, b"") + field(2, 17))


class Pressed(Case):
    """One pressed folder per test."""

    def setUp(self):
        super().setUp()
        self.model = self.tmp / "model"
        self.succeed("press", BASE, self.model)

    def refuse_model(self, code, has, commands=("caption", "inspect"), *args) -> None:
        for command in commands:
            self.refuse(
                command,
                self.model,
                *([IMAGE] if command == "caption" else []),
                *args,
                code=code,
                has=has,
            )

    def change(self, change) -> None:
        """Edits lorapress.json; the good one is back before the next change."""
        good = self.tmp / "good.json"
        if not good.exists():
            shutil.copy(self.model / "lorapress.json", good)
        shutil.copy(good, self.model / "lorapress.json")
        edit_json(self.model / "lorapress.json", change)


class Manifest(Pressed):
    """lorapress.json, and images."""

    def test_missing(self):
        (self.model / "lorapress.json").unlink()
        self.refuse_model(
            "not_found", [str(self.model), "no lorapress.json", "lorapress press"], ["caption"]
        )
        self.refuse("caption", self.tmp / "no", IMAGE, code="not_found", has=["no lorapress.json"])

    def test_broken(self):
        for name, content in {
            "empty": "",
            "an array": "[]",
            "cut off": '{"format_version": 1',
            "deep": "[" * 10_000,
        }.items():
            with self.subTest(name):
                (self.model / "lorapress.json").write_text(content)
                self.refuse_model("invalid_file", ["lorapress.json"])

    def test_values(self):
        for name, change, code, has in [
            (
                "a newer version",
                lambda m: m.update(format_version=99),
                "unsupported",
                ["format_version 99", "reads 1 to 2"],
            ),
            (
                "no version",
                lambda m: m.pop("format_version"),
                "invalid_file",
                ['"format_version" is missing'],
            ),
            ("other chunks", lambda m: m.update(chunk_bytes=1), "unsupported", ["chunk_bytes"]),
            (
                "chunks of 0",
                lambda m: m.update(chunk_bytes=0),
                "invalid_file",
                ['"chunk_bytes" is 0'],
            ),
            ("no model", lambda m: m.pop("model"), "invalid_file", ['"model" is missing']),
            (
                "2^40 layers",
                lambda m: m["model"].update(num_hidden_layers=1 << 40),
                "invalid_file",
                ['"num_hidden_layers"', "4096"],
            ),
            (
                "0 heads",
                lambda m: m["model"].update(num_key_value_heads=0),
                "invalid_file",
                ['"num_key_value_heads" is 0'],
            ),
            (
                "an image of 2^31",
                lambda m: m["preprocessing"]["size"].update(width=1 << 31),
                "invalid_file",
                ['"width"', "8192"],
            ),
            (
                "a deviation of 0",
                lambda m: m["preprocessing"].update(image_std=[0, 1, 1]),
                "invalid_file",
                ['"image_std"', "positive"],
            ),
            (
                "two means",
                lambda m: m["preprocessing"].update(image_mean=[0, 1]),
                "invalid_file",
                ['"image_mean"'],
            ),
            (
                "a start outside",
                lambda m: m["generation"].update(decoder_start_token_id=320),
                "invalid_file",
                ['"decoder_start_token_id" is 320'],
            ),
            (
                "an end outside",
                lambda m: m["generation"].update(eos_token_id=[-1]),
                "invalid_file",
                ['"eos_token_id" is -1'],
            ),
            (
                "no end",
                lambda m: m["generation"].update(eos_token_id=[]),
                "invalid_file",
                ['"eos_token_id"'],
            ),
            (
                "an unknown default",
                lambda m: m.update(default_dtype="q9"),
                "invalid_file",
                ['"default_dtype" is "q9"'],
            ),
            (
                "graphs of a wrong type",
                lambda m: m.update(graphs={"fp32": "x"}),
                "invalid_file",
                [],
            ),
            (
                "a path that leaves",
                lambda m: m["graphs"]["fp32"].update(encoder="../x.onnx"),
                "invalid_file",
                ["../x.onnx", "not a path inside the folder"],
            ),
            (
                "an absolute path",
                lambda m: m["graphs"]["fp32"].update(encoder="/etc/passwd"),
                "invalid_file",
                ["/etc/passwd", "not a path inside the folder"],
            ),
            (
                "a backslash path",
                lambda m: m["files"][0].update(path="..\\x"),
                "invalid_file",
                ["not a path inside the folder"],
            ),
            (
                "a file of 2^60 bytes",
                lambda m: m["files"][0].update(bytes=1 << 60),
                "invalid_file",
                ['"bytes"'],
            ),
            (
                "too few digests",
                lambda m: m["files"][0].update(sha256=[]),
                "invalid_file",
                ["expected 1 SHA-256"],
            ),
            (
                "a digest that is none",
                lambda m: m["files"][0].update(sha256=["Z" * 64]),
                "invalid_file",
                ["is not a SHA-256 digest"],
            ),
            ("files of a wrong type", lambda m: m.update(files={}), "invalid_file", ['"files"']),
            (
                "a graph of which nothing is said",
                lambda m: m["graph_files"].pop("onnx/encoder_model.onnx"),
                "invalid_file",
                ["onnx/encoder_model.onnx", '"graph_files"'],
            ),
            (
                "an unknown key of a graph",
                lambda m: m["graph_files"]["onnx/encoder_model.onnx"].update(speed=1),
                "invalid_file",
                ["onnx/encoder_model.onnx", "unknown key"],
            ),
        ]:
            with self.subTest(name):
                self.change(change)
                self.refuse_model(code, ["lorapress.json", *has])

    def test_graphs_that_do_not_belong(self):
        for name, change, code in [
            (
                "a graph that is missing",
                lambda m: m["graphs"]["fp32"].update(decoder="onnx/gone.onnx"),
                "invalid_file",
            ),
            (
                "a graph that is a folder",
                lambda m: m["graphs"]["fp32"].update(decoder="onnx"),
                "invalid_file",
            ),
            (
                "a graph that is none",
                lambda m: (
                    m["graphs"]["fp32"].update(decoder="config.json"),
                    m["graph_files"].update(
                        {"config.json": {"external_data": [], "integer_products": False}}
                    ),
                ),
                "invalid_file",
            ),
            (
                "the encoder as decoder",
                lambda m: m["graphs"]["fp32"].update(decoder="onnx/encoder_model.onnx"),
                "mismatch",
            ),
            ("no decoder", lambda m: m["graphs"]["fp32"].pop("decoder"), "unsupported"),
            ("more layers", lambda m: m["model"].update(num_hidden_layers=3), "mismatch"),
            ("other heads", lambda m: m["model"].update(head_dim=8), "mismatch"),
            ("another image", lambda m: m["preprocessing"]["size"].update(width=64), "mismatch"),
            (
                "an unknown filter",
                lambda m: m["preprocessing"].update(resample="nearest"),
                "unsupported",
            ),
        ]:
            with self.subTest(name):
                self.change(change)
                self.refuse_model(code, [], ["caption"])

    def test_a_tokenizer_of_another_model(self):
        edit_json(
            self.model / "tokenizer.json",
            lambda t: t["added_tokens"].append(
                {**t["added_tokens"][0], "id": 4000, "content": "<far>"}
            ),
        )
        self.refuse_model(
            "mismatch",
            ["the model knows 320", "tokenizer.json"],
            ["caption"],
            "--prompt",
            "a <far>",
        )

    def test_what_caption_refuses(self):
        self.refuse_model("not_found", ['dtype "q4"', "fp32"], ["caption"], "--dtype", "q4")
        self.refuse_model(
            "invalid_argument",
            ["600 new tokens", "512 positions"],
            ["caption"],
            "--max-new-tokens",
            600,
        )
        self.refuse_model(
            "invalid_argument", ["prompt tokens"], ["caption"], "--prompt", "a b c " * 400
        )
        self.refuse_model(
            "invalid_argument", ["UTF-8"], ["caption"], "--prompt", os.fsdecode(b"\xff\xfe")
        )

    def test_images(self):
        png = IMAGE.read_bytes()
        for name, content, code, has in [
            ("empty.png", b"", "unsupported", ["is not a JPEG, PNG, WebP, GIF, BMP or TIFF"]),
            ("text.jpg", b"hello", "unsupported", ["is not a JPEG, PNG, WebP, GIF, BMP or TIFF"]),
            ("cut.png", png[: len(png) // 2], "invalid_file", ["PNG"]),
            ("head.png", png[:8], "invalid_file", ["PNG"]),
            ("head.jpg", b"\xff\xd8\xff\xe0", "invalid_file", ["JPEG"]),
            ("head.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "invalid_file", ["WebP"]),
            ("head.gif", b"GIF89a", "invalid_file", ["GIF"]),
            ("head.bmp", b"BM", "invalid_file", ["BMP"]),
            ("head.tif", b"II*\0", "invalid_file", ["TIFF"]),
            ("huge.png", png[:16] + b"\x7f\xff\xff\xff" * 2 + png[24:], "invalid_file", []),
        ]:
            with self.subTest(name):
                (self.tmp / name).write_bytes(content)
                self.refuse("caption", self.model, self.tmp / name, code=code, has=[name, *has])
        self.refuse("caption", self.model, self.tmp / "no.png", code="not_found", has=["no.png"])
        self.refuse(
            "caption", self.model, self.tmp, code="invalid_file", has=["expected a regular file"]
        )

    def test_one_broken_image_of_three(self):
        broken = self.tmp / "broken\n\x1b[31m.png"
        broken.write_bytes(b"no image")
        result = run("caption", self.model, IMAGE, broken, IMAGE)
        self.assertEqual(result.code, 1)
        self.assertIn("is not a JPEG, PNG, WebP, GIF, BMP or TIFF", self.one_line(result.err))
        self.assertEqual(
            len([line for line in result.out.splitlines() if line.startswith(f"{IMAGE}: ")]), 2
        )
        self.assertNotIn("\x1b", result.out)
        as_json = run("caption", self.model, IMAGE, broken, IMAGE, "--json")
        self.assertEqual(as_json.code, 1)
        first, second, third = json.loads(as_json.out)["captions"]
        self.assertEqual((first["ids"], first["image"]), (third["ids"], str(IMAGE)))
        self.assertEqual(second["error"]["code"], "unsupported")


class Onnx(Case):
    """Single .onnx files."""

    def setUp(self):
        super().setUp()
        self.file = self.tmp / "x.onnx"

    def refuse_file(self, content: bytes, has=()) -> None:
        self.file.write_bytes(content)
        self.refuse(
            "inspect",
            self.file,
            code="invalid_file",
            has=[str(self.file), "not an ONNX model", *has],
        )

    def test_broken(self):
        self.succeed("export", BASE, self.out)
        whole = (self.out / "onnx/encoder_model.onnx").read_bytes()
        for size in (1, 10, 100, len(whole) // 2, len(whole) - 1):
            with self.subTest(size=size):
                self.refuse_file(whole[:size], ["incomplete download"])

    def test_bytes(self):
        for name, content in {
            "empty": b"",
            "zeros": b"\0" * 64,
            "ones": b"\xff" * 64,
            "text": b"<!DOCTYPE html><html>" * 10,
            "no opset": field(7, b""),
            "no graph": OPSET,
            "a length of 2^64 - 1": varint(7 << 3 | 2) + b"\xff" * 9 + b"\x01",
            "a number without end": b"\x08" + b"\xff" * 20,
            "a group": b"\x3b\x3c",
            "a graph that is none": OPSET + field(7, field(1, b"\xff\xff\xff")),
            "a tensor of 2^126": OPSET
            + field(7, field(5, field(1, (1 << 63) - 1) * 2 + field(2, 1))),
            "a tensor of -1": OPSET + field(7, field(5, field(1, (1 << 64) - 1) + field(2, 1))),
            "sizes that add up to 2^64": OPSET
            + field(7, field(5, field(1, (1 << 62) - 1) + field(2, 1)) * 2),
        }.items():
            with self.subTest(name):
                self.refuse_file(content)

    def test_names_that_are_not_text(self):
        """Names in the file reach the terminal and the JSON, so neither may be harmed."""
        node = field(4, b"\xff\xfe\x1b[31mEvil\n") + field(7, b"\x1b]0;title\x07")
        port = field(1, b"in\x9b\xc2\x9b31m") + field(2, field(1, field(1, 1)))
        self.file.write_bytes(
            OPSET + field(2, b"\x1b[2J") + field(7, field(1, node) + field(11, port))
        )
        text = self.succeed("inspect", self.file)
        self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
        document = json.loads(self.succeed("inspect", self.file, "--json"))
        self.assertEqual(len(document["operators"]), 1)

    def test_deep_graphs(self):
        """Graphs in graphs, deeper than protobuf follows."""
        graph = b""
        for _ in range(500):
            graph = field(1, field(4, b"If") + field(5, field(6, graph)))
        self.refuse_file(OPSET + field(7, graph))

    def test_many_tiny_fields(self):
        """Millions of empty fields: slow reading would look like a hang."""
        self.file.write_bytes(OPSET + field(7, field(5, b"") * 1_000_000))
        self.succeed("inspect", self.file)
