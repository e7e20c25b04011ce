"""Bundle "single" with --ops standard: the full ONNX checker and reference evaluator take it."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from goldens import Golden


class Reference(unittest.TestCase):
    """The loop is plain ONNX."""

    def check(self, name: str, beams: int, *options: str) -> None:
        """Compare a batch with transformers' generate()."""
        golden = Golden(name)
        results = golden.bundles["searches"][0]["results"]
        wanted = next(r["batch"] for r in results if r["num_beams"] == beams)
        with tempfile.TemporaryDirectory() as scratch:
            folder = golden.press(
                Path(scratch) / "out",
                "--bundle=single",
                "--ops=standard",
                f"--num-beams={beams}",
                *options,
            )
            path = str(folder / "onnx" / "model.onnx")
            onnx.checker.check_model(path, full_check=True)
            model = onnx.load(path)
            self.assertEqual({o.domain for o in model.opset_import}, {""})
            (found,) = ReferenceEvaluator(model).run(
                ["generated_ids"],
                {"pixel_values": golden.pixels, "max_new_tokens": np.array(golden.most, np.int64)},
            )
            self.assertEqual(found.tolist(), wanted)

    def test_greedy(self) -> None:
        for name in ("base", "odd", "ropescale", "qwen3", "mistral", "phi3", "smollm3"):
            with self.subTest(name):
                self.check(name, 1)

    def test_beams(self) -> None:
        self.check("base", 3)
        self.check("odd", 2)

    def test_opset_23(self) -> None:
        self.check("base", 1, "--opset=23")
        self.check("base", 2, "--opset=23")


if __name__ == "__main__":
    unittest.main()
