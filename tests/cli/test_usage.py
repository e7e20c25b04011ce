"""Help and mistakes on the command line."""

import json
import re

from harness import BASE, Case, run

# What caption and generate share.
GENERATION = (
    "--threads",
    "--max-new-tokens",
    "--min-new-tokens",
    "--repetition-penalty",
    "--no-repeat-ngram-size",
    "--num-beams",
    "--length-penalty",
    "--early-stopping",
    "--do-sample",
    "--temperature",
    "--top-k",
    "--top-p",
    "--seed",
)
COMMANDS = {
    "press": [
        "--adapter",
        "--base",
        "--bundle",
        "--dtype",
        "--ops",
        "--opset",
        "--prompt",
        "--max-new-tokens",
        "--num-beams",
        "--uint8-input",
        "--step",
        "--external-data",
        "--model-id",
        "--revision",
        "--rules-in-graph",
        "--set",
        "--bad-words",
        "--trainer-names",
        "--engine",
        "--threads",
        "--force",
        "--json",
        "--block-size",
        "--accuracy-level",
        "--per-tensor",
        "--per-channel",
        "--asymmetric",
        "--rounding",
        "--exclude",
        "--calibrate",
    ],
    "merge": ["--adapter", "--base", "--dtype", "--threads", "--force", "--json"],
    "quantize": [
        "--calibrate",
        "--freeze-inputs",
        "--allow-unquantized",
        "--dtype",
        "--external-data",
        "--threads",
        "--force",
        "--json",
        "--block-size",
        "--accuracy-level",
        "--per-tensor",
        "--per-channel",
        "--asymmetric",
        "--rounding",
        "--exclude",
    ],
    "caption": [
        "--dtype",
        "--engine",
        "--prompt",
        "--system",
        "--raw-prompt",
        *GENERATION,
        "--jsonl",
        "--batch",
        "--ids",
        "--json",
    ],
    "generate": [
        "--dtype",
        "--engine",
        "--system",
        "--raw-prompt",
        *GENERATION,
        "--ids",
        "--json",
    ],
    "score": ["--split", "--json"],
    "verify": [
        "--adapter",
        "--base",
        "--images",
        "--prompts",
        "--references",
        "--split",
        "--dtype",
        "--max-new-tokens",
        "--min-match",
        "--html",
        "--trace",
        "--trace-model-id",
        "--trace-revision",
        "--against",
        "--engine",
        "--force",
        "--threads",
        "--json",
    ],
    "inspect": ["--json"],
    "families": ["--json"],
    "bench": [
        "--dtype",
        "--engine",
        "--runs",
        "--max-new-tokens",
        "--image",
        "--prompt",
        "--threads",
        "--json",
        "--markdown",
    ],
    "serve": ["--port", "--host", "--open", "--json"],
    "deploy": ["--page", "--report", "--license", "--base-model", "--force", "--json"],
    "upload": [
        "--tag",
        "--message",
        "--private",
        "--report",
        "--license",
        "--base-model",
        "--json",
    ],
    "watch": [
        "--dtype",
        "--bundle",
        "--images",
        "--metric",
        "--once",
        "--engine",
        "--threads",
        "--json",
    ],
}
COMMANDS["export"] = COMMANDS["press"]


class Help(Case):
    """--help of every command."""

    def options(self, text: str) -> dict:
        """{name: description} of a help text; a description may start on the next line."""
        found, name = {}, None
        for line in text.splitlines():
            entry = re.match(r"  (\S.*?)(?:\s{2,}(\S.*))?$", line)
            if line.startswith("  lorapress "):  # an example
                name = None
            elif entry and not line.startswith("   "):
                name = re.split(r"[ ,]", entry[1])[-1 if entry[1].startswith("-h,") else 0]
                found[name] = entry[2] or ""
            elif name and line.strip():
                found[name] += " " + line.strip()
            else:
                name = None
        return found

    def test_program(self):
        text = self.succeed("--help")
        self.assertTrue(text.startswith("LoraPress turns a LoRA-tuned"))
        for command in COMMANDS:
            self.assertRegex(text, rf"\n  {command} +\S.+")
        self.assertRegex(self.succeed("--version"), r"\Alorapress \d+\.\d+\.\d+\n\Z")

    def test_every_option_is_explained(self):
        for command, names in COMMANDS.items():
            with self.subTest(command):
                text = self.succeed(command, "--help")
                self.assertEqual(self.succeed(command, "-h"), text)
                options = self.options(text)
                for name in names:
                    self.assertIn(name, options)
                for name, description in options.items():
                    self.assertGreater(
                        len(description.strip()), 3, f"{command} {name} is not explained"
                    )
                self.assertNotIn("TEXT", text)  # CLI11's word for any string
                self.assertNotIn(" UINT", text)

    def test_an_option_that_does_nothing_says_so(self):
        """--compat stood in --help and in the docs once: it is taken, and named as useless."""
        for command in ("press", "export"):
            with self.subTest(command):
                out = self.tmp / command
                report = json.loads(self.succeed(command, BASE, out, "--compat", "--json"))
                self.assertTrue(any("--compat" in note for note in report["notes"]))
                text = self.succeed(command, BASE, out, "--compat", "--force")
                self.assertIn("note: --compat", text)
                self.assertNotIn("compat", self.succeed(command, BASE, out, "--force"))
        graph = out / "onnx/encoder_model.onnx"
        text = self.succeed("quantize", graph, self.tmp / "q.onnx", "--dtype", "q8", "--compat")
        self.assertIn("note: --compat", text)

    def test_no_option_is_secret(self):
        for command, names in COMMANDS.items():
            with self.subTest(command):
                listed = {
                    name
                    for name in self.options(self.succeed(command, "--help"))
                    if name.startswith("--")
                }
                self.assertEqual(listed - {"--help"}, set(names))


class Mistakes(Case):
    """One line that says what is wrong and where to read on."""

    def refuse_usage(self, *args, has=()) -> None:
        message = self.refuse(*args, code="invalid_argument", has=has)
        self.assertRegex(message, r"see lorapress .*--help$")

    def test_commands(self):
        has = ["press, export, merge"]
        result = run()  # with --json it would be an unknown command
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertIn("no command is given", self.one_line(result.err))
        self.refuse_usage("pres", BASE, self.out, has=["pres is not a command", *has])
        self.refuse_usage("--colour", has=["--colour is not a command", *has])

    def test_arguments(self):
        self.refuse_usage("press", has=["CHECKPOINT", "press --help"])
        self.refuse_usage("press", BASE, has=["OUT"])
        self.refuse_usage("merge", BASE, self.out, self.tmp / "more", has=["more", "merge --help"])
        self.refuse_usage("caption", self.tmp, has=["IMAGE"])
        self.refuse_usage("inspect", has=["PATH"])
        self.refuse_usage("serve", has=["DIR"])
        self.refuse_usage("press", BASE, self.out, "--fast", has=["--fast"])

    def test_values(self):
        for args, has in [
            (["press", BASE, self.out, "--ops", "cuda"], ["--ops", "cuda", "standard"]),
            (["press", BASE, self.out, "--opset", "new"], ["--opset", "new"]),
            (["press", BASE, self.out, "--opset", 16], ["--opset", "16"]),
            (["press", BASE, self.out, "--opset", 24], ["--opset", "24"]),
            (["press", BASE, self.out, "--threads", -1], ["--threads"]),
            (["press", BASE, self.out, "--threads", 10**9], ["--threads"]),
            (["press", BASE, self.out, "--max-new-tokens", 0], ["--max-new-tokens"]),
            (["press", BASE, self.out, "--max-new-tokens", 10**12], ["--max-new-tokens"]),
            (["merge", BASE, self.out, "--dtype", "int8"], ["--dtype", "int8", "bf16"]),
            (["caption", self.out, "x.png", "--max-new-tokens", 0], ["--max-new-tokens"]),
            (["caption", self.out, "x.png", "--threads", "many"], ["--threads"]),
            (["bench", self.out, "--runs", 0], ["--runs"]),
            (["bench", self.out, "--max-new-tokens", 1], ["--max-new-tokens"]),
            (["serve", self.out, "--port", 65536], ["--port"]),
            (["serve", self.out, "--port", -1], ["--port"]),
            (["serve", self.out, "--port", "http"], ["--port"]),
        ]:
            with self.subTest(args):
                self.refuse_usage(*args, has=has)

    def test_unknown_names(self):
        self.refuse(
            "press", BASE, self.out, "--dtype", "fp17", code="unsupported", has=["fp17", "fp32"]
        )
        self.refuse(
            "press",
            BASE,
            self.out,
            "--bundle",
            "tfjs",
            code="unsupported",
            has=["tfjs", "transformers.js"],
        )

    def test_options_before_arguments(self):
        """An option takes its own value and not what follows."""
        adapter = BASE.parent / "adapter/adapter"
        report = json.loads(
            self.succeed(
                "merge", "--adapter", adapter, BASE.parent / "adapter/base", self.out, "--json"
            )
        )
        self.assertGreater(report["merged"], 0)
        result = run("press", BASE, self.out, "--adapter")
        self.assertEqual(result.code, 2)
        self.assertIn("--adapter", self.one_line(result.err))
        self.succeed("export", "--base", BASE, "--dtype", "fp32", BASE, self.tmp / "second")

    def test_double_dash(self):
        out = self.tmp / "-out"
        self.assertEqual(run("merge", "--", BASE, "-out", cwd=self.tmp).code, 0)
        self.assertTrue((out / "config.json").exists())
