"""Bundles "llava" and "smolvlm" with --ops standard in ONNX's checker and reference evaluator."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from goldens import ROOT, read_floats

GOLDENS = ROOT / "tests/goldens"
STEPS = 4


class Folder:
    """The three graphs of a pressed folder."""

    def __init__(self, name: str, out: Path) -> None:
        folder = GOLDENS / name
        adapter = folder / "adapter"
        source = [adapter, "--base", folder / "base"] if adapter.exists() else [folder / "base"]
        words = [os.environ["LORAPRESS"], "export", source[0], out, *source[1:], "--ops=standard"]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
        self.golden: dict[str, Any] = json.loads((folder / "golden.json").read_text("ascii"))
        self.tensors = folder / "golden.safetensors"
        self.config: dict[str, Any] = json.loads((out / "config.json").read_text("ascii"))
        self.models = {path.stem: self.checked(path) for path in (out / "onnx").glob("*.onnx")}

    @staticmethod
    def checked(path: Path) -> onnx.ModelProto:
        """Load a graph that the checker takes and that needs no other operators."""
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path))
        if {o.domain for o in model.opset_import} != {""}:
            raise AssertionError(f"{path} needs other operators")
        return model

    def run(self, name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run a graph."""
        model = self.models[name]
        names = [output.name for output in model.graph.output]
        return dict(zip(names, ReferenceEvaluator(model).run(None, inputs), strict=True))

    def generate(self, ids: list[int], features: np.ndarray) -> list[int]:
        """Return the likeliest tokens behind a prompt whose image tokens are these features."""
        embeds = self.run("embed_tokens", input_ids=np.array([ids], np.int64))["inputs_embeds"]
        token = self.config["image_token_id"]
        embeds = embeds.copy()
        embeds[0, np.array(ids) == token] = features
        past = {}
        for port in self.models["decoder_model_merged"].graph.input:
            if port.name.startswith("past_key_values"):
                _, heads, _, width = (dim.dim_value for dim in port.type.tensor_type.shape.dim)
                past[port.name] = np.zeros((1, heads, 0, width), np.float32)
        found: list[int] = []
        while len(found) < STEPS:
            out = self.run("decoder_model_merged", inputs_embeds=embeds, **past)
            found.append(int(out["logits"][0, -1].argmax()))
            past = {name: out[name.replace("past_key_values", "present")] for name in past}
            more = self.run("embed_tokens", input_ids=np.array([[found[-1]]], np.int64))
            embeds = more["inputs_embeds"]
        return found


class Placeholder(unittest.TestCase):
    """Features are a golden's, so that no image is read."""

    def check(self, name: str) -> None:
        """Compare the first tokens with transformers' generate()."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Folder(name, Path(scratch) / "out")
            row = folder.golden["captions"][0]
            if name.startswith("llava"):
                features = read_floats(folder.tensors, "image_features")[0]
            else:
                features = read_floats(folder.tensors, row["image"])
            self.assertEqual(folder.generate(row["input_ids"], features), row["ids"][:STEPS])

    def test_captions(self) -> None:
        for name in ("llava/clip", "llava/siglip", "llava/layers", "smolvlm/idefics3"):
            with self.subTest(name):
                self.check(name)

    def test_tiles_under_a_mask_and_tiles_of_zeros(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Folder("smolvlm/smolvlm", Path(scratch) / "out")
            size = folder.golden["tile"]
            rng = np.random.default_rng(5)
            pixels = rng.normal(size=(2, 2, 3, size, size)).astype(np.float32)
            mask = np.ones((2, 2, size, size), bool)
            mask[0, 0, 20:] = False
            one = folder.run("vision_encoder", pixel_values=pixels, pixel_attention_mask=mask)
            pixels[1, 1] = 0.0
            some = folder.run("vision_encoder", pixel_values=pixels, pixel_attention_mask=mask)
            self.assertEqual(len(one["image_features"]), 4)
            np.testing.assert_array_equal(one["image_features"][:3], some["image_features"])
            mask[0, 0] = True
            whole = folder.run("vision_encoder", pixel_values=pixels, pixel_attention_mask=mask)
            difference = np.abs(whole["image_features"] - some["image_features"]).max((1, 2))
            self.assertGreater(difference[0], 1e-3)
            self.assertEqual(difference[1:].max(), 0.0)


if __name__ == "__main__":
    unittest.main()
