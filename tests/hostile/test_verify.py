"""verify: exit codes, planted faults as a user meets them, and pages about hostile names."""

import json
import re
import shutil
from html.parser import HTMLParser

from harness import BASE, CHECKPOINTS, Case, edit_json, read_tensors, run, write_tensors

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags that open and close in order, and every attribute."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data):
        self.text += data


class Verify(Case):
    """One pressed folder per test."""

    def setUp(self):
        super().setUp()
        self.model = self.tmp / "model"
        self.succeed("export", BASE, self.model)

    def verify(self, *args, checkpoint=BASE) -> tuple[int, str]:
        """Exit code and standard output; nothing on standard error."""
        result = run("verify", checkpoint, self.model, *args)
        self.assertEqual(result.err, "")
        return result.code, result.out

    def report(self, *args, checkpoint=BASE) -> dict:
        code, out = self.verify("--json", *args, checkpoint=checkpoint)
        report = json.loads(out)
        self.assertEqual(code, 0 if report["passed"] else 1)
        return report

    def press_changed(self, change):
        """The folder again, from a checkpoint that was changed."""
        changed = self.checkpoint()
        change(changed)
        self.succeed("export", changed, self.model, "--force")
        shutil.rmtree(changed)


class ExitCodes(Verify):
    def test_right(self):
        code, out = self.verify()
        self.assertEqual(code, 0, out)
        self.assertTrue(out.endswith("\nverified\n"), out)
        self.assertRegex(out, r"fp32 .* 100 % +6/6 .* pass")

    def test_json(self):
        report = self.report("--max-new-tokens", 1)
        (fp32,) = report["dtypes"]
        self.assertEqual(fp32["teacher_forced"]["tokens"], 6)
        self.assertEqual(fp32["teacher_forced"]["match"], 1.0)
        self.assertEqual(len(fp32["layers"]), 4)
        self.assertEqual(len(fp32["images"]), 6)
        self.assertEqual(len(fp32["images"][0]["kl"]), 1)

    def test_planted(self):
        def other_base(folder):
            edit_json(folder / "config.json", lambda c: c["text_config"].update(rope_theta=5e4))

        def no_lora(folder):
            header, data = read_tensors(folder / "model.safetensors")
            data = bytearray(data)
            for name, entry in header.items():
                if "lora_B" in name:
                    begin, end = entry["data_offsets"]
                    data[begin:end] = bytes(end - begin)
            write_tensors(folder / "model.safetensors", header, bytes(data))

        def swapped_heads(folder):
            header, data = read_tensors(folder / "model.safetensors")
            data = bytearray(data)
            for name, entry in header.items():
                if re.search(r"layers\.1\.self_attn\.o_proj\.base_layer", name):
                    begin, _ = entry["data_offsets"]
                    rows, width = entry["shape"]
                    for row in range(rows):
                        at = begin + row * width * 4
                        half = width * 2
                        line = data[at : at + width * 4]
                        data[at : at + width * 4] = line[half:] + line[:half]
            write_tensors(folder / "model.safetensors", header, bytes(data))

        def epsilon(folder):
            edit_json(folder / "config.json", lambda c: c["text_config"].update(rms_norm_eps=1e-6))

        for change in (other_base, no_lora, swapped_heads, epsilon):
            with self.subTest(change.__name__):
                self.press_changed(change)
                code, out = self.verify()
                self.assertEqual(code, 1, out)
                self.assertIn("wrong: fp32: ", out)
                self.assertTrue(out.endswith("\nnot verified\n"), out)

    def test_constants_of_the_folder(self):
        edit_json(
            self.model / "preprocessor_config.json",
            lambda c: c.update(image_mean=[0.485, 0.456, 0.406]),
        )
        code, out = self.verify()
        self.assertEqual(code, 1)
        self.assertIn("wrong: preprocessor_config.json: image_mean is [0.485, 0.456, 0.406]", out)
        (self.model / "preprocessor_config.json").write_text("[]")
        code, out = self.verify()
        self.assertEqual(code, 1)
        self.assertIn("preprocessor_config.json: expected a JSON object", out)

    def test_images(self):
        images = self.tmp / "images"
        images.mkdir()
        for index in (0, 1):
            shutil.copy(BASE / f"golden/image{index}.png", images / f"{index}.png")
        self.assertEqual(self.verify("--images", images)[0], 0)
        (images / "2.webp").write_text("no image")
        code, out = self.verify("--images", images)
        self.assertEqual(code, 1)
        self.assertIn(f"not read: {images}/2.webp", out)
        self.assertEqual(self.report("--images", images)["unreadable_images"], 1)


class BadInput(Verify):
    def refuse_verify(self, *args, code, has):
        self.refuse("verify", *args, code=code, has=has)

    def test_arguments(self):
        both = (BASE, self.model)
        bad = "invalid_argument"
        self.refuse_verify(*both, "--min-match", "1.5", code=bad, has="--min-match")
        self.refuse_verify(*both, "--min-match", "nan", code=bad, has="--min-match")
        self.refuse_verify(*both, "--max-new-tokens", "0", code=bad, has="--max-new-tokens")
        self.refuse_verify(*both, "--max-new-tokens", "999", code=bad, has="positions")
        self.refuse_verify(*both, "--dtype", "q4", code="not_found", has="there are: fp32")
        self.refuse_verify(*both, "--images", "nowhere", code="not_found", has="nowhere")
        (self.tmp / "empty").mkdir()
        self.refuse_verify(*both, "--images", self.tmp / "empty", code=bad, has="no file here")

    def test_folders(self):
        self.refuse_verify(BASE, BASE, code="not_found", has="lorapress press")
        self.refuse_verify(self.model, self.model, code="not_found", has="no model.safetensors")
        other = CHECKPOINTS / "odd"
        self.refuse_verify(other, self.model, code="mismatch", has="is not the model of")
        decoder = self.model / "onnx/decoder_model_merged.onnx"
        whole = decoder.read_bytes()
        decoder.write_bytes(whole[: len(whole) // 2])
        self.refuse_verify(BASE, self.model, code="invalid_file", has=str(decoder))
        decoder.unlink()
        self.refuse_verify(BASE, self.model, code="not_found", has=str(decoder))
        shutil.copy(self.model / "onnx/encoder_model.onnx", decoder)
        self.refuse_verify(BASE, self.model, code="mismatch", has="do not belong together")

    def test_other_bundle(self):
        other = self.tmp / "single"
        self.succeed("export", BASE, other, "--bundle", "single")
        self.refuse_verify(BASE, other, code="unsupported", has=['"single"', '"transformers.js"'])

    def test_weights_that_are_no_numbers(self):
        changed = self.checkpoint()
        header, data = read_tensors(changed / "model.safetensors")
        begin, end = header["language_model.base_model.model.model.norm.weight"]["data_offsets"]
        data = data[:begin] + b"\xff" * (end - begin) + data[end:]
        write_tensors(changed / "model.safetensors", header, data)
        self.refuse_verify(changed, self.model, code="runtime", has="not finite")

    def test_page(self):
        page = self.tmp / "page.html"
        page.write_text("mine")
        both = (BASE, self.model)
        self.refuse_verify(*both, "--html", page, code="exists", has=[str(page), "--force"])
        folder = self.tmp / "folder.html"
        folder.mkdir()
        self.refuse_verify(*both, "--html", folder, "--force", code="exists", has=str(folder))
        nowhere = self.tmp / "nowhere/page.html"
        self.refuse_verify(*both, "--html", nowhere, code="not_found", has="nowhere")
        self.assertEqual(self.verify("--html", page, "--force")[0], 0)
        self.assertTrue(page.read_text().startswith("<!DOCTYPE html>"))


class Pages(Verify):
    def page(self, *args) -> str:
        path = self.tmp / "page.html"
        run("verify", BASE, self.model, "--html", path, "--force", *args)
        return path.read_text()

    def test_hostile_names(self):
        images = self.tmp / "images"
        images.mkdir()
        names = ["<script>alert(1)</script>.png", "a\" onload='x.png", "&amp;.png", "\x1b[31m.png"]
        for name in names:
            shutil.copy(BASE / "golden/image0.png", images / name.replace("/", "\u2044"))
        (images / "<img src=x>.jpg").write_text("none")
        bad = bytes(images) + b"/\xff.png"
        shutil.copy(BASE / "golden/image1.png", bad)
        text = self.page("--images", images)
        page = Page(text)
        self.assertEqual(page.open, [])
        self.assertEqual(
            {tag for tag, *_ in page.attributes} & {"script", "iframe", "object"}, set()
        )
        self.assertNotIn("<script", text)
        self.assertIn("<script>alert(1)<\u2044script>.png", page.text)
        self.assertNotIn("\x1b", text)

    def test_needs_nothing_else(self):
        page = Page(self.page())
        self.assertEqual(page.open, [])
        for tag, name, value in page.attributes:
            self.assertFalse(name.startswith("on"), (tag, name))
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.assertTrue(value.startswith("data:image/png;base64,"), (tag, name))
        sources = [value for tag, name, value in page.attributes if name == "src"]
        self.assertEqual(len(set(sources)), 6)
        self.assertNotRegex(self.page(), r"url\(|@import|https?:")
