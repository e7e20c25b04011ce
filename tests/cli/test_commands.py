"""Every command on golden checkpoints: what it writes, says, and says as JSON."""

import json
import shutil

from harness import BASE, CHECKPOINTS, ROOT, Case, read_tensors, run

IMAGE = BASE / "golden/image0.png"
FILES = [
    "config.json",
    "generation_config.json",
    "lorapress.json",
    "onnx/decoder_model_merged.onnx",
    "onnx/encoder_model.onnx",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


class Press(Case):
    """press and export."""

    def files(self, folder) -> list:
        """Paths of all files below a folder."""
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def test_reports(self):
        text = self.succeed("press", BASE, self.out)
        for word in [
            "onnx/encoder_model.onnx",
            "in all",
            "8 tensors merged",
            "peak memory",
            "checked",
            f"lorapress caption {self.out} IMAGE",
        ]:
            self.assertIn(word, text)
        self.assertEqual(self.files(self.out), FILES)
        report = json.loads(self.succeed("press", BASE, self.out, "--force", "--json"))
        self.assertEqual([file["path"] for file in report["files"]], FILES)
        self.assertEqual(report["adapted_tensors"], 8)
        self.assertEqual(
            sum(file["bytes"] for file in report["files"]),
            sum((self.out / file).stat().st_size for file in FILES),
        )
        self.assertLessEqual(len(report["caption"]["ids"]), 30)
        self.assertGreater(report["peak_memory_bytes"], 1 << 20)

    def test_export_does_not_run(self):
        text = self.succeed("export", BASE, self.out)
        self.assertNotIn("checked", text)
        self.assertNotIn(
            "caption", json.loads(self.succeed("export", BASE, self.tmp / "b", "--json"))
        )
        self.assertEqual(self.files(self.out), FILES)

    def test_equal_files(self):
        """The same input gives the same bytes, whatever the threads."""
        for threads in (1, 4):
            self.succeed("export", BASE, self.tmp / str(threads), "--threads", threads)
        for name in FILES:
            self.assertEqual(
                (self.tmp / "1" / name).read_bytes(), (self.tmp / "4" / name).read_bytes(), name
            )

    def test_dialects_and_opsets(self):
        ids = set()
        for ops in ("ort", "standard"):
            for opset in (17, 18, 20, 23) if ops == "standard" else (17, 21):
                with self.subTest(ops=ops, opset=opset):
                    report = json.loads(
                        self.succeed(
                            "press",
                            BASE,
                            self.out,
                            "--ops",
                            ops,
                            "--opset",
                            opset,
                            "--force",
                            "--json",
                        )
                    )
                    ids.add(tuple(report["caption"]["ids"]))
                    graph = json.loads(
                        self.succeed(
                            "inspect", self.out / "onnx/decoder_model_merged.onnx", "--json"
                        )
                    )
                    self.assertEqual(graph["opsets"]["ai.onnx"], opset)
                    self.assertEqual("com.microsoft" in graph["opsets"], ops == "ort")
        self.assertEqual(len(ids), 1)

    def test_external_data(self):
        self.succeed("press", BASE, self.out, "--external-data")
        self.assertIn("onnx/decoder_model_merged.onnx_data", self.files(self.out))
        self.assertIn("onnx/encoder_model.onnx_data", self.files(self.out))
        self.succeed("caption", self.out, IMAGE)

    def test_max_new_tokens(self):
        self.succeed("press", BASE, self.out, "--max-new-tokens", 3)
        self.assertEqual(
            json.loads((self.out / "generation_config.json").read_text())["max_new_tokens"], 3
        )
        self.assertLessEqual(
            len(
                json.loads(self.succeed("caption", self.out, IMAGE, "--json"))["captions"][0]["ids"]
            ),
            3,
        )

    def test_generation_config(self):
        checkpoint = self.tmp / "checkpoint"
        shutil.copytree(BASE, checkpoint)
        settings = {"num_beams": 2, "do_sample": None, "min_p": 0.1, "guidance_scale": 2.0}
        (checkpoint / "generation_config.json").write_text(json.dumps(settings))
        report = json.loads(self.succeed("press", checkpoint, self.out, "--json"))
        self.assertTrue(any("guidance_scale" in note for note in report["notes"]))
        written = json.loads((self.out / "generation_config.json").read_text())
        self.assertEqual(written["num_beams"], 2)
        self.assertEqual(written["min_p"], 0.1)
        self.assertNotIn("guidance_scale", written)
        for path in (checkpoint, self.out):
            shown = json.loads(self.succeed("inspect", path, "--json"))
            self.assertEqual(shown["generation"], {"num_beams": 2})

        def caption(*options):
            return json.loads(self.succeed("caption", self.out, IMAGE, "--json", *options))

        own, two = caption()["captions"][0], caption("--num-beams", 2)["captions"][0]
        self.assertEqual((own["ids"], own["score"]), (two["ids"], two["score"]))
        one = caption("--num-beams", 1)["captions"][0]
        self.assertNotIn("score", one)
        self.assertEqual(
            one["ids"], caption("--do-sample", "true", "--top-k", 1)["captions"][0]["ids"]
        )
        self.assertEqual(own["ids"], caption("--do-sample", "false")["captions"][0]["ids"])

    def test_adapters(self):
        folder = CHECKPOINTS / "adapter"
        captions = []
        for weights in (
            [],
            ["--adapter", folder / "adapter"],
            ["--adapter", f"{folder / 'adapter'}:0.5", "--adapter", folder / "adapter_b"],
        ):
            report = json.loads(
                self.succeed("press", folder / "base", self.out, *weights, "--force", "--json")
            )
            captions.append(report["adapted_tensors"])
        self.assertEqual(captions[0], 0)
        self.assertLess(captions[1], captions[2])


class Merge(Case):
    """merge."""

    def test_dtypes(self):
        for dtype, stored in {"keep": "F32", "fp32": "F32", "fp16": "F16", "bf16": "BF16"}.items():
            with self.subTest(dtype):
                report = json.loads(
                    self.succeed("merge", BASE, self.out, "--dtype", dtype, "--force", "--json")
                )
                self.assertEqual((report["tensors"], report["merged"]), (70, 8))
                header, _ = read_tensors(self.out / "model.safetensors")
                self.assertEqual(
                    {entry["dtype"] for name, entry in header.items() if name != "__metadata__"},
                    {stored},
                )
                self.assertFalse(
                    [name for name in header if "lora_" in name or "base_layer" in name]
                )
                config = json.loads((self.out / "config.json").read_text())
                self.assertNotIn("lora_r", config)
                self.assertIn("lorapress", config["merged_by"])
                decoder, _ = read_tensors(self.out / "language_model/model.safetensors")
                self.assertIn("model.layers.0.self_attn.q_proj.weight", decoder)
        text = self.succeed("merge", BASE, self.tmp / "text")
        self.assertIn("70 tensors, 8 merged with an adapter", text)

    def test_merged_presses_as_its_source(self):
        """merge and press are the same arithmetic: equal graphs, byte for byte."""
        self.succeed("merge", BASE, self.tmp / "merged")
        self.succeed("export", BASE, self.out)
        self.succeed("export", self.tmp / "merged", self.tmp / "again")
        for name in ("onnx/encoder_model.onnx", "onnx/decoder_model_merged.onnx"):
            self.assertEqual(
                (self.out / name).read_bytes(), (self.tmp / "again" / name).read_bytes()
            )

    def test_plain_decoder(self):
        self.succeed("merge", BASE, self.tmp / "merged")
        self.succeed("merge", self.tmp / "merged/language_model", self.out)
        whole, plain = (
            read_tensors(folder / "model.safetensors")
            for folder in (self.tmp / "merged/language_model", self.out)
        )
        self.assertEqual(whole, plain)
        has = ["is a decoder alone", "lorapress merge"]
        call = ("press", self.tmp / "merged/language_model", self.tmp / "no")
        self.refuse(*call, "--bundle", "single", code="mismatch", has=has)


class QuantizeCalibrated(Case):
    """quantize --calibrate."""

    def test_a_decoder_in_its_folder(self):
        pressed, out = self.tmp / "pressed", self.tmp / "out.onnx"
        self.succeed("export", BASE, pressed)
        images = ROOT / "tests/goldens/scenes/calibration"
        decoder = pressed / "onnx/decoder_model_merged.onnx"
        call = ("quantize", decoder, out, "--dtype", "q4", "--block-size", "16")
        report = json.loads(self.succeed(*call, "--calibrate", images, "--json"))
        self.assertEqual(report["calibration"]["images"], 16)
        self.assertGreater(report["calibration"]["weights"], 10)
        self.assertEqual(report["calibration"]["weights_not_observed"], 0)
        calibrated = out.read_bytes()
        text = self.succeed(*call, "--calibrate", images, "--force")
        self.assertIn("calibrated:", text)
        self.assertEqual(out.read_bytes(), calibrated)
        self.succeed(*call, "--rounding", "search", "--force")
        self.assertEqual(out.stat().st_size, len(calibrated))
        self.assertNotEqual(out.read_bytes(), calibrated)


class Caption(Case):
    """caption."""

    def setUp(self):
        super().setUp()
        self.succeed("press", BASE, self.out)

    def test_ids(self):
        document = json.loads(self.succeed("caption", self.out, IMAGE, "--json"))
        (caption,) = document["captions"]
        self.assertEqual(caption["image"], str(IMAGE))
        text, ids = self.succeed("caption", self.out, IMAGE, "--ids").rsplit("\n  ", 1)
        self.assertEqual(ids.split(), [str(token) for token in caption["ids"]])
        self.assertEqual(text, caption["text"])

    def test_images(self):
        images = [BASE / f"golden/image{index}.png" for index in range(3)]
        lines = self.succeed("caption", self.out, *images)
        for image in images:
            self.assertEqual(lines.count(f"{image}: "), 1)
        captions = json.loads(self.succeed("caption", self.out, *images, "--json"))["captions"]
        self.assertEqual(
            [caption["image"] for caption in captions], [str(image) for image in images]
        )

    def test_prompt(self):
        plain, prompted = (
            json.loads(self.succeed("caption", self.out, IMAGE, "--json", *extra))["captions"][0][
                "ids"
            ]
            for extra in ([], ["--prompt", "the tree on"])
        )
        self.assertNotEqual(plain, prompted)
        self.assertEqual(
            self.succeed("caption", self.out, IMAGE, "--prompt", ""),
            self.succeed("caption", self.out, IMAGE),
        )

    def test_a_stored_prompt_is_taken_where_none_is_given(self):
        out = self.tmp / "prompted"
        self.succeed("press", BASE, out, "--prompt", "the tree on")
        manifest = json.loads((out / "lorapress.json").read_text())
        self.assertEqual(manifest["prompt"]["default"], "the tree on")
        self.assertEqual(
            self.succeed("caption", out, IMAGE),
            self.succeed("caption", self.out, IMAGE, "--prompt", "the tree on"),
        )
        self.assertEqual(
            self.succeed("caption", out, IMAGE, "--prompt", "a", "--raw-prompt"),
            self.succeed("caption", self.out, IMAGE, "--prompt", "a"),
        )

    def test_a_system_message_needs_a_chat_model(self):
        self.refuse(
            *("caption", self.out, IMAGE, "--system", "Be brief."),
            code="invalid_argument",
            has="--system is a message for chat models",
        )

    def test_max_new_tokens(self):
        long = json.loads(self.succeed("caption", self.out, IMAGE, "--json"))["captions"][0]["ids"]
        for most in (1, 2, 4):
            short = json.loads(
                self.succeed("caption", self.out, IMAGE, "--json", "--max-new-tokens", most)
            )["captions"][0]["ids"]
            self.assertEqual(short, long[:most])

    def test_a_folder_that_moved(self):
        moved = self.tmp / "moved"
        before = self.succeed("caption", self.out, IMAGE)
        self.out.rename(moved)
        self.assertEqual(
            self.succeed("caption", moved, IMAGE, "--dtype", "fp32", "--threads", 1), before
        )


class Inspect(Case):
    """inspect, on everything it knows."""

    def inspect(self, path) -> dict:
        """The JSON document; the readable form must name the same kind."""
        document = json.loads(self.succeed("inspect", path, "--json"))
        self.assertEqual(document["path"], str(path))
        text = self.succeed("inspect", path)
        self.assertRegex(text, rf"(?m)^kind +{document['kind']}$")
        self.assertGreater(document["bytes"], 0)
        return document

    def test_checkpoint(self):
        found = self.inspect(BASE)
        self.assertEqual(found["kind"], "checkpoint")
        self.assertEqual(found["vision"]["image_tokens"], 16)
        self.assertEqual(found["text"]["vocab_size"], 320)
        self.assertEqual(found["adapters"][0]["r"], 4)
        self.assertEqual(found["dtypes"], {"float32": found["bytes"]})
        self.assertEqual(found["family"], "prefix_conditioning_vlm")
        self.assertEqual(found["bundles"][0], "transformers.js")
        self.assertIn("single", found["bundles"])

    def test_every_golden(self):
        parts = 0
        for folder in sorted(CHECKPOINTS.iterdir()):
            for part in (folder, folder / "base", folder / "adapter"):
                if (part / "config.json").exists() or (part / "adapter_config.json").exists():
                    with self.subTest(str(part)):
                        parts += 1
                        self.inspect(part)
        self.assertGreaterEqual(parts, 15)

    def test_adapter(self):
        found = self.inspect(CHECKPOINTS / "adapter/adapter")
        self.assertEqual(
            (found["kind"], found["adapters"][0]["modules"], found["tensors"]), ("adapter", 4, 8)
        )

    def test_files(self):
        found = self.inspect(BASE / "model.safetensors")
        self.assertEqual(
            (found["kind"], found["tensors"]),
            ("safetensors", len(read_tensors(BASE / "model.safetensors")[0]) - 1),
        )

    def test_bundle_and_onnx(self):
        self.succeed("press", BASE, self.out)
        bundle = self.inspect(self.out)
        self.assertEqual(
            (bundle["kind"], bundle["default_dtype"], bundle["image_tokens"]),
            ("bundle", "fp32", 16),
        )
        for external in (False, True):
            if external:
                self.succeed("press", BASE, self.out, "--force", "--external-data")
            onnx = self.inspect(self.out / "onnx/encoder_model.onnx")
            self.assertEqual(onnx["kind"], "onnx")
            self.assertEqual(
                onnx["inputs"], [{"name": "pixel_values", "type": "float32[batch_size, 3, 32, 32]"}]
            )
            self.assertEqual(
                onnx["outputs"],
                [{"name": "last_hidden_state", "type": "float32[batch_size, 16, 64]"}],
            )
            self.assertEqual(onnx["external_files"], int(external))

    def test_relative_paths(self):
        self.assertEqual(
            json.loads(run("inspect", "base", "--json", cwd=CHECKPOINTS).out)["path"], "base"
        )


class Flags(Case):
    """The library names fields of options, the program its flags; names of files stay."""

    def test_fields_are_printed_as_flags(self):
        (self.tmp / "out").mkdir()
        done = run("press", BASE, self.tmp / "out", "--json")
        self.assertIn("pass --force to replace it", done.err)
        self.assertIn("pass --force to replace it", json.loads(done.out)["error"]["message"])

    def test_files_keep_their_names(self):
        for name in ("options.json", "deep/options.base", "my.options.force"):
            done = run("inspect", self.tmp / name)
            self.assertIn(f"/{name}: ", done.err)
            self.assertEqual(done.code, 2)
