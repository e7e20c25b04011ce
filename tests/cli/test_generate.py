"""Text alone on the command line: press of a decoder, generate, inspect, families."""

import json
import re
import socket
import subprocess

from harness import BASE, PROGRAM, ROOT, Case, run

GOLDENS = ROOT / "tests/goldens/text"
LLAMA, QWEN2 = (
    json.loads((GOLDENS / name / "golden.json").read_text()) for name in ("llama", "qwen2")
)
ADAPTER = (GOLDENS / "llama/adapter", "--base", GOLDENS / "llama/base")
MERGED = (GOLDENS / "qwen2/merged",)


class Generate(Case):
    """generate."""

    def setUp(self):
        super().setUp()
        self.model, self.chat = self.tmp / "model", self.tmp / "chat"
        self.succeed("export", ADAPTER[0], self.model, *ADAPTER[1:])
        self.succeed("export", *MERGED, self.chat)

    def texts(self, *args) -> list:
        """The texts of the JSON document."""
        return json.loads(self.succeed("generate", *args, "--json"))["texts"]

    def test_prompts_are_continued_in_their_order(self):
        rows = LLAMA["prompts"]
        found = self.texts(self.model, *(row["prompt"] for row in rows))
        self.assertEqual([text["ids"] for text in found], [row["ids"] for row in rows])
        self.assertEqual([text["prompt"] for text in found], [row["prompt"] for row in rows])
        counts = [text["prompt_tokens"] for text in found]
        self.assertEqual(counts, [len(row["input_ids"]) for row in rows])
        lines = self.succeed("generate", self.model, rows[0]["prompt"], "--ids")
        said, ids = lines.rsplit("\n  ", 1)
        self.assertEqual(ids.split(), [str(token) for token in rows[0]["ids"]])
        self.assertEqual(said, rows[0]["text"])

    def test_prompts_of_chat_models_go_through_their_template(self):
        plain, system, raw = QWEN2["prompts"][:3]
        self.assertEqual(self.texts(self.chat, plain["prompt"])[0]["ids"], plain["ids"])
        asked = (self.chat, system["prompt"], "--system", system["system"])
        self.assertEqual(self.texts(*asked)[0]["ids"], system["ids"])
        found = self.texts(self.chat, raw["prompt"], "--raw-prompt")
        self.assertEqual(found[0]["ids"], raw["ids"])

    def test_standard_input_is_a_prompt(self):
        row = LLAMA["prompts"][2]
        done = run("generate", self.model, "-", "--json", input=(row["prompt"] + "\n").encode())
        (text,) = json.loads(done.out)["texts"]
        self.assertEqual((text["prompt"], text["ids"]), (row["prompt"], row["ids"]))

    def test_beams_and_sampling(self):
        row = LLAMA["prompts"][0]
        (best,) = self.texts(self.model, row["prompt"], "--num-beams", 3)
        self.assertEqual(best["ids"], row["beams"]["ids"])
        self.assertAlmostEqual(best["score"], row["beams"]["score"], 3)
        for sample in LLAMA["samples"]:
            options = [
                word
                for name, value in sample["options"].items()
                for word in ("--" + name.replace("_", "-"), value)
            ]
            prompt = LLAMA["prompts"][sample["prompt"]]["prompt"]
            (found,) = self.texts(self.model, prompt, *options, "--seed", sample["seed"])
            self.assertEqual(found["ids"], sample["ids"])

    def test_a_stored_prompt_is_taken_where_none_is_given(self):
        out, row = self.tmp / "prompted", LLAMA["prompts"][1]
        report = self.succeed("press", ADAPTER[0], out, *ADAPTER[1:], "--prompt", row["prompt"])
        self.assertIn(f"lorapress generate {out} PROMPT", report)
        self.assertRegex(report, r"checked: fp32 loads and runs, \d+ tokens for a prompt")
        self.assertEqual(self.texts(out)[0]["ids"], row["ids"])
        has = ["no tokens", "--prompt"]
        self.refuse("generate", self.chat, "--raw-prompt", code="invalid_argument", has=has)

    def test_text_comes_in_pieces(self):
        """The socket keeps the bounds of writes, one for each token that ends a character."""
        row = LLAMA["prompts"][1]
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, there:
            call = [PROGRAM, "generate", str(self.model), row["prompt"]]
            self.assertEqual(subprocess.run(call, stdout=there, check=False).returncode, 0)
            there.close()
            pieces = list(iter(lambda: here.recv(1 << 16), b""))
        self.assertGreater(len(pieces), 5)
        self.assertEqual(b"".join(pieces).decode(), row["text"] + "\n")

    def test_what_it_cannot_take(self):
        model = self.model
        self.refuse(
            "generate", model, "a", "--system", "b", code="invalid_argument", has="--system"
        )
        self.refuse("generate", model, "!" * 120, code="invalid_argument", has="121 prompt tokens")
        beyond = ("generate", model, "a", "--max-new-tokens", 200)
        self.refuse(*beyond, code="invalid_argument", has=["200 new tokens", "--max-new-tokens"])
        self.refuse("generate", model, "a", "--dtype", "q4", code="not_found", has="no dtype")
        self.refuse("generate", self.tmp, "a", code="not_found", has="lorapress.json")

    def test_folders_of_the_other_kind(self):
        self.succeed("export", BASE, self.out)
        has = ["transformers.js", "lorapress caption"]
        self.refuse("generate", self.out, "a", code="unsupported", has=has)
        image = BASE / "golden/image0.png"
        has = ["text-generation", "lorapress generate"]
        self.refuse("caption", self.model, image, code="unsupported", has=has)

    def test_merge_and_inspect(self):
        found = json.loads(self.succeed("inspect", ADAPTER[2], "--json"))
        self.assertEqual(found["family"], "llama")
        self.assertEqual(found["architecture"], "LlamaForCausalLM")
        self.assertEqual(found["bundles"], ["text-generation"])
        self.assertIn("bundles          text-generation\n", self.succeed("inspect", ADAPTER[2]))
        folder = json.loads(self.succeed("inspect", self.model, "--json"))
        self.assertEqual(folder["bundle"], "text-generation")
        self.assertNotIn("image_tokens", folder)
        merged, out = self.tmp / "merged", self.tmp / "again"
        self.succeed("merge", ADAPTER[0], merged, *ADAPTER[1:], "--dtype", "fp32")
        self.succeed("press", merged, out)
        row = LLAMA["prompts"][0]
        self.assertEqual(self.texts(out, row["prompt"])[0]["ids"], row["ids"])

    def test_bench(self):
        options = ("--runs", 1, "--max-new-tokens", 5)
        document = json.loads(self.succeed("bench", self.model, *options, "--json"))
        self.assertEqual((document["image_tokens"], document["new_tokens"]), (0, 5))
        self.assertGreater(document["prompt_tokens"], 50)
        table = self.succeed("bench", self.model, *options, "--prompt", "two")
        self.assertIn("4 prompt tokens, 5 new tokens", table)
        self.assertNotIn("encode ms", table)
        image = BASE / "golden/image0.png"
        has = ["takes no images", "--prompt"]
        call = ("bench", self.model, *options, "--image", image)
        self.refuse(*call, code="invalid_argument", has=has)

    def test_quantize(self):
        """Any of its files is a .onnx file like others."""
        graph = self.model / "onnx/model.onnx"
        self.succeed("quantize", graph, self.tmp / "q.onnx", "--dtype", "q8")
        self.assertLess((self.tmp / "q.onnx").stat().st_size, graph.stat().st_size)


class Families(Case):
    """families."""

    def test_table_and_document(self):
        document = json.loads(self.succeed("families", "--json"))
        table = self.succeed("families")
        names = {"checkpoints": "prefix_conditioning_vlm", "decoders": "llama", "encoders": "vit"}
        for key, name in names.items():
            rows = {row["model_type"]: row for row in document[key]}
            self.assertIn(name, rows)
            for row in rows.values():
                listed = ", ".join(row["bundles"])
                self.assertRegex(table, rf"(?m)^  {row['model_type']} .*{re.escape(listed)}$")
        for row in document["decoders"]:
            alone = row["conditioning"] == "none"
            taking = ["text-generation"] if alone else ["transformers.js", "firefox"]
            self.assertEqual(row["bundles"], taking)
            self.assertRegex(row["architecture"], "(ForCausalLM|LMHeadModel)$")
        known = {row["name"] for row in document["bundles"]}
        for row in document["checkpoints"]:
            self.assertTrue(row["bundles"] and set(row["bundles"]) <= known)
            self.assertIn(row["conditioning"], ("prefix", "cross", "placeholder"))
