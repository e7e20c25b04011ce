"""Bundle "genai" in onnxruntime-genai: images, prompts around them, streaming."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

from goldens import BUNDLES, Golden, until_end

IMAGE = -1  # phi3v's placeholder of the first image


class Captioner:
    """og.Model with the inputs that docs/bundles.md shows."""

    def __init__(self, folder: Path, image_tokens: int) -> None:
        self.model = og.Model(str(folder))
        self.tokenizer = og.Tokenizer(self.model)
        self.image_tokens = image_tokens

    def generate(
        self,
        pixels: np.ndarray,
        most: int,
        before: list[int] | None = None,
        after: list[int] | None = None,
    ) -> list[int]:
        """Return the new ids without the end token, which genai keeps to itself."""
        ids = [*(before or []), *[IMAGE] * self.image_tokens, *(after or [])]
        params = og.GeneratorParams(self.model)
        params.set_search_options(max_length=len(ids) + most)
        inputs = og.NamedTensors()
        inputs["input_ids"] = np.array([ids], np.int32)
        inputs["pixel_values"] = np.ascontiguousarray(pixels[None])
        inputs["num_image_tokens"] = np.array([self.image_tokens], np.int64)
        generator = og.Generator(self.model, params)
        generator.set_inputs(inputs)
        while not generator.is_done():
            generator.generate_next_token()
        return generator.get_sequence(0)[len(ids) :].tolist()


class Genai(unittest.TestCase):
    """Token for token as transformers."""

    def check(self, name: str, *options: str) -> None:
        """Press a golden and compare all its captions and prompts."""
        golden = Golden(name)
        with tempfile.TemporaryDirectory() as scratch:
            folder = golden.press(Path(scratch) / "out", "--bundle=genai", *options)
            captioner = Captioner(folder, golden.json["prefix_shape"][1])
            for caption in golden.case["captions"]:
                ids = captioner.generate(golden.pixels[caption["image"]], golden.most)
                self.assertEqual(until_end(ids, golden.eos), until_end(caption["ids"], golden.eos))
            prompts = golden.bundles["prompts"]
            for row in prompts["results"]:
                ids = captioner.generate(
                    golden.pixels[0],
                    golden.most,
                    prompts["ids"] * row["before"],
                    prompts["ids"] * row["after"],
                )
                wanted = until_end(row["ids"], golden.eos)
                self.assertEqual(until_end(ids, golden.eos), wanted, row)

    def test_every_checkpoint(self) -> None:
        for entry in BUNDLES["checkpoints"]:
            with self.subTest(entry["checkpoint"]):
                self.check(entry["checkpoint"])

    def test_standard_operators_and_external_data(self) -> None:
        self.check("base", "--ops=standard", "--external-data")

    def test_tokenizer(self) -> None:
        golden = Golden("base")
        with tempfile.TemporaryDirectory() as scratch:
            folder = golden.press(Path(scratch) / "out", "--bundle=genai")
            tokenizer = Captioner(folder, 1).tokenizer
            prompts = golden.bundles["prompts"]
            self.assertEqual(tokenizer.encode(prompts["text"]).tolist(), prompts["ids"])


if __name__ == "__main__":
    unittest.main()
