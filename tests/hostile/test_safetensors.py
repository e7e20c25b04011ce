"""Safetensors files that break the format: every rule of the reference validator and more."""

import json
import os
import struct

from harness import Case, read_tensors, write_tensors

HEADER = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F16", "shape": [2, 2], "data_offsets": [8, 16]},
}


def header(**changes) -> dict:
    """HEADER with keys of "a" changed."""
    return {**HEADER, "a": {**HEADER["a"], **changes}}


# name: (header as an object or bytes, data, code, what the message says)
BROKEN = {
    "not JSON": (b"{nope}", b"", "invalid_file", ["not valid JSON"]),
    "an array": (b"[]", b"", "invalid_file", ["does not start with '{'"]),
    "leading space": (b' {"a": 1}', b"", "invalid_file", ["does not start with '{'"]),
    "duplicate keys": (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b"\0" * 8,
        "invalid_file",
        ['"a"', "twice"],
    ),
    "deep nesting": (
        b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"",
        "invalid_file",
        ["nested deeper"],
    ),
    "an entry that is no object": (
        {"a": 3},
        b"",
        "invalid_file",
        ["tensor a", '"dtype" is missing'],
    ),
    "an entry without a dtype": (
        {"a": {"shape": [0], "data_offsets": [0, 0]}},
        b"",
        "invalid_file",
        ["tensor a", '"dtype" is missing'],
    ),
    "a dtype that is no string": (
        header(dtype=1),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"dtype" is 1'],
    ),
    "an unknown dtype": (
        header(dtype="F8_E4M3"),
        b"\0" * 16,
        "unsupported",
        ["tensor a", "F8_E4M3", "BF16"],
    ),
    "a dtype with an escape sequence": (
        header(dtype="\x1b[31mF32\n"),
        b"\0" * 16,
        "unsupported",
        ["tensor a"],
    ),
    "no shape": (
        {"a": {"dtype": "F32", "data_offsets": [0, 4]}},
        b"\0" * 4,
        "invalid_file",
        ["tensor a", '"shape"'],
    ),
    "a shape that is no list": (
        header(shape=2),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"shape"'],
    ),
    "a negative dimension": (
        header(shape=[-2]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"shape" holds -2'],
    ),
    "a broken dimension": (
        header(shape=[2.0]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"shape" holds 2.0'],
    ),
    "nine dimensions": (
        header(shape=[2, 1, 1, 1, 1, 1, 1, 1, 1]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "at most 8"],
    ),
    "a dimension of 2^63": (
        header(shape=[1 << 63]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"shape" holds 9223372036854775808'],
    ),
    "a product of 2^64": (
        header(shape=[1 << 32, 1 << 32]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "too large"],
    ),
    "a product that wraps to 8 bytes": (
        header(shape=[(1 << 62) + 2]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "too large"],
    ),
    "no offsets": (
        {"a": {"dtype": "F32", "shape": [1]}},
        b"\0" * 4,
        "invalid_file",
        ["tensor a", '"data_offsets"'],
    ),
    "one offset": (
        header(data_offsets=[0]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"data_offsets"'],
    ),
    "negative offsets": (
        header(data_offsets=[-8, 0]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"data_offsets"'],
    ),
    "offsets of 2^64": (
        header(data_offsets=[0, 1 << 64]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", '"data_offsets"'],
    ),
    "offsets that wrap": (
        header(data_offsets=[(1 << 64) - 8, 0]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "18446744073709551608"],
    ),
    "offsets in reverse": (
        header(data_offsets=[8, 0]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "[8, 0]"],
    ),
    "offsets past the end": (
        header(shape=[100], data_offsets=[0, 400]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "[0, 400]", "16 bytes"],
    ),
    "a size that does not fit": (
        header(shape=[3]),
        b"\0" * 16,
        "invalid_file",
        ["tensor a", "takes 12 bytes", "give 8"],
    ),
    "overlap": (
        {**HEADER, "c": {"dtype": "U8", "shape": [8], "data_offsets": [4, 12]}},
        b"\0" * 16,
        "invalid_file",
        ["overlap"],
    ),
    "the same bytes twice": ({**HEADER, "c": HEADER["a"]}, b"\0" * 16, "invalid_file", ["overlap"]),
    "a gap": (
        {"a": HEADER["a"], "b": {"dtype": "F16", "shape": [2, 2], "data_offsets": [12, 20]}},
        b"\0" * 20,
        "invalid_file",
        ["tensor b", "starts at byte 12", "expected 8"],
    ),
    "a gap at the start": (
        {"b": HEADER["b"]},
        b"\0" * 16,
        "invalid_file",
        ["tensor b", "starts at byte 8", "expected 0"],
    ),
    "data left over": (HEADER, b"\0" * 20, "invalid_file", ["cover 16 bytes", "has 20"]),
    "data cut off": (HEADER, b"\0" * 15, "invalid_file", ["tensor b", "incomplete download"]),
}

GOOD = {
    "empty": ({}, b""),
    "padded": (json.dumps(HEADER).encode() + b"   ", b"\0" * 16),
    "with metadata": ({"__metadata__": {"format": "pt"}, **HEADER}, b"\0" * 16),
    "out of order": ({"b": HEADER["b"], "a": HEADER["a"]}, b"\0" * 16),
    "an empty tensor": (
        {**HEADER, "c": {"dtype": "F32", "shape": [0, 5], "data_offsets": [8, 8]}},
        b"\0" * 16,
    ),
    "a scalar": ({"a": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}}, b"\0" * 8),
}


class Safetensors(Case):
    """Single files; inspect reads them as every command does."""

    def setUp(self):
        super().setUp()
        self.file = self.tmp / "x.safetensors"

    def refuse_file(self, code: str, has) -> None:
        self.refuse("inspect", self.file, code=code, has=[str(self.file), *has])

    def test_broken(self):
        for name, (head, data, code, has) in BROKEN.items():
            with self.subTest(name):
                write_tensors(self.file, head, data)
                self.refuse_file(code, has)

    def test_good(self):
        for name, (head, data) in GOOD.items():
            with self.subTest(name):
                write_tensors(self.file, head, data)
                self.assertEqual(
                    json.loads(self.succeed("inspect", self.file, "--json"))["kind"], "safetensors"
                )

    def test_lengths(self):
        for name, content, has in [
            ("empty", b"", ["0 bytes"]),
            ("seven bytes", b"1234567", ["7 bytes", "incomplete download"]),
            ("no header", struct.pack("<Q", 100), ["claims 100 bytes", "has 8"]),
            ("an empty header", struct.pack("<Q", 0), ["does not start with '{'"]),
            ("a header past the end", struct.pack("<Q", 17) + b'{"a":1}', ["claims 17 bytes"]),
            ("2^64 - 1", b"\xff" * 8 + b"{}", ["claims 18446744073709551615 bytes"]),
            ("2^63", struct.pack("<Q", 1 << 63) + b"{}", ["claims 9223372036854775808 bytes"]),
            (
                "text",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
                ["not a safetensors file"],
            ),
        ]:
            with self.subTest(name):
                self.file.write_bytes(content)
                self.refuse_file("invalid_file", has)

    def test_header_above_the_limit(self):
        with self.file.open("wb") as file:
            file.write(struct.pack("<Q", 200_000_000))
            file.truncate(300_000_000)
        self.addCleanup(os.unlink, self.file)
        self.refuse_file("invalid_file", ["claims 200000000 bytes"])

    def test_truncated_anywhere(self):
        """A real file cut at many places never reads as whole."""
        whole = (self.checkpoint() / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", whole[:8])
        for size in [
            1,
            8,
            9,
            8 + length // 2,
            8 + length - 1,
            8 + length,
            len(whole) // 2,
            len(whole) - 1,
        ]:
            with self.subTest(size=size):
                self.file.write_bytes(whole[:size])
                self.refuse_file(
                    "invalid_file", ["incomplete download"] if size != 8 + length // 2 else []
                )

    def test_reads_as_the_reference_does(self):
        head, data = read_tensors(self.checkpoint() / "model.safetensors")
        write_tensors(self.file, head, data)
        found = json.loads(self.succeed("inspect", self.file, "--json"))
        self.assertEqual(
            (found["tensors"], found["bytes"]), (len(head) - ("__metadata__" in head), len(data))
        )
