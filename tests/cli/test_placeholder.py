"""LLaVA and SmolVLM on the command line: prompts, chat templates, rules, batches, verify."""

import json

from harness import ROOT, Case

GOLDENS = ROOT / "tests/goldens"


class Placeholder(Case):
    """A checkpoint whose image features replace the prompt's image tokens."""

    case = "llava/clip"
    drawn = 6  # pictures of verify

    def setUp(self):
        super().setUp()
        self.folder = GOLDENS / self.case
        self.golden = json.loads((self.folder / "golden.json").read_text())
        base, adapter = self.folder / "base", self.folder / "adapter"
        self.source = [adapter, "--base", base] if adapter.exists() else [base]
        self.succeed("press", self.source[0], self.out, *self.source[1:])

    def image(self, row):
        """The file of a golden's row."""
        return self.folder.parent / row["image"]

    def ids(self, rows, *options) -> list:
        """The ids of the rows' images in one call."""
        images = [self.image(row) for row in rows]
        most = ("--max-new-tokens", self.golden["max_new_tokens"])
        text = self.succeed("caption", self.out, *images, "--json", *most, *options)
        return [caption["ids"] for caption in json.loads(text)["captions"]]

    def test_a_prompt_goes_through_the_chat_template(self):
        for row in self.golden["chat"]:
            options = ["--prompt", row["prompt"]]
            if row["system"]:
                options += ["--system", row["system"]]
            self.assertEqual(self.ids([row], *options), [row["ids"]])

    def test_a_raw_prompt_does_not(self):
        rows = self.golden["captions"]
        raw = ("--raw-prompt", "--prompt", self.golden["prompt"])
        self.assertEqual(self.ids(rows, *raw), [row["ids"] for row in rows])
        self.assertEqual(self.ids(rows, *raw, "--num-beams", 3), [row["beams"] for row in rows])

    def test_rules_see_the_prompt(self):
        rules = self.golden["rules"]
        raw = ("--raw-prompt", "--prompt", rules["prompt"])
        for variant in rules["variants"][:4]:
            options = [
                word
                for key, value in variant["options"].items()
                for word in (f"--{key.replace('_', '-')}", value)
            ]
            self.assertEqual(self.ids([rules], *raw, *options), [variant["ids"]])

    def test_verify(self):
        args = ["verify", self.source[0], self.out, *self.source[1:], "--max-new-tokens", 4]
        text = self.succeed(*args)
        self.assertTrue(text.endswith("\nverified\n"), text)
        self.assertRegex(text, rf"fp32 .* 100 % +{self.drawn}/{self.drawn} .* pass")
        page = self.tmp / "page.html"
        report = json.loads(self.succeed(*args, "--json", "--html", page))
        self.assertTrue(report["passed"])
        self.assertIn("100 %", page.read_text())
        (fp32,) = report["dtypes"]
        self.assertEqual({layer["part"] for layer in fp32["layers"]}, {"encoder", "decoder"})
        self.assertLess(max(layer["error"] for layer in fp32["layers"]), 1e-5)


class Tiles(Placeholder):
    """The same with images in tiles."""

    case = "smolvlm/smolvlm"
    drawn = 2
