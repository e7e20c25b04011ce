"""lorapress bench: its table in three forms, its figures beside what is known, its children."""

import json
import os
import signal
import subprocess

from harness import BASE, PROGRAM, Case, run

IMAGE = BASE / "golden/image0.png"
TIMES = [
    "load_ms",
    "first_token_ms",
    "encode_ms",
    "prefill_ms",
    "token_ms",
    "caption_ms",
]


class Bench(Case):
    """The command on a small pressed folder."""

    def setUp(self):
        super().setUp()
        self.succeed("export", BASE, self.out)

    def test_json(self):
        options = ["--runs", 2, "--max-new-tokens", 9, "--threads", 1]
        document = json.loads(self.succeed("bench", self.out, *options, "--json"))
        self.assertEqual(document["folder"], str(self.out))
        self.assertIsNone(document["image"])
        for key, value in {"image_tokens": 16, "new_tokens": 9, "threads": 1}.items():
            self.assertEqual(document[key], value)
        (row,) = document["dtypes"]
        self.assertEqual(row["dtype"], "fp32")
        graphs = sum(path.stat().st_size for path in (self.out / "onnx").iterdir())
        self.assertEqual(row["bytes"], graphs)
        for name in TIMES:
            self.assertGreater(row[name]["least"], 0.0, name)
            self.assertLessEqual(row[name]["least"], row[name]["median"], name)
        for name in ("first_token_ms", "token_ms", "prefill_ms"):
            self.assertLess(row[name]["least"], row["caption_ms"]["least"], name)
        rate = row["tokens_per_second"]
        self.assertAlmostEqual(rate["median"], 1000 / row["token_ms"]["median"], places=3)
        self.assertLessEqual(rate["median"], rate["most"])

    def test_memory_is_of_the_child(self):
        """About what a captioning process takes, measured from outside."""
        document = json.loads(self.succeed("bench", self.out, "--runs", 1, "--json"))
        caption = os.posix_spawn(
            PROGRAM,
            [PROGRAM, "caption", str(self.out), str(IMAGE)],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        _, status, usage = os.wait4(caption, 0)
        self.assertEqual(status, 0)
        ratio = document["dtypes"][0]["peak_memory_bytes"] / (usage.ru_maxrss * 1024)
        self.assertGreater(ratio, 0.5)
        self.assertLess(ratio, 1.5)

    def test_text(self):
        text = self.succeed("bench", self.out, "--runs", 1, "--max-new-tokens", 5)
        setting, how, blank, header, medians, best = text.splitlines()
        for word in (
            str(self.out),
            "16 image tokens",
            "5 new tokens",
            "a test card",
            "LoraPress",
        ):
            self.assertIn(word, setting)
        self.assertIn("1 process per dtype", how)
        self.assertEqual(blank, "")
        for word in ("dtype", "size", "load ms", "first token ms", "tokens/s", "memory"):
            self.assertIn(word, header)
        self.assertRegex(medians, r"^fp32 .*\d MB$")
        self.assertRegex(best, r"^  best .*\d")
        self.assertEqual(len(header), len(medians))

    def test_markdown(self):
        text = self.succeed("bench", self.out, "--runs", 1, "--max-new-tokens", 5, "--markdown")
        header, rule, row = text.splitlines()[3:]
        self.assertEqual(len({line.count("|") for line in (header, rule, row)}), 1)
        self.assertRegex(rule, r"^\| -+ \|( -+: \|)+$")
        self.assertRegex(row, r"^\| fp32 .* \d+\.\d+ / \d+\.\d+ \|")

    def test_image(self):
        options = ["--runs", 1, "--image", IMAGE, "--dtype", "fp32"]
        self.assertIn(f"{IMAGE}", self.succeed("bench", self.out, *options))
        document = json.loads(self.succeed("bench", self.out, *options, "--json"))
        self.assertEqual(document["image"], str(IMAGE))

    def test_odd_folder_name(self):
        odd = self.tmp / "-runs"
        self.out.rename(odd)
        result = run("bench", "--runs", 1, "--", "-runs", cwd=self.tmp)
        self.assertEqual((result.code, result.err), (0, ""))

    def test_refuses(self):
        self.refuse("bench", self.tmp / "none", code="not_found", has=["none"])
        self.refuse("bench", BASE, code="not_found", has=["lorapress.json"])
        self.refuse("bench", self.out, "--dtype", "q3", code="not_found", has=["q3", "fp32"])
        self.refuse(
            "bench", self.out, "--dtype", "fp32,fp32", code="invalid_argument", has=["fp32 twice"]
        )
        message = "do not fit"
        self.refuse(
            "bench", self.out, "--max-new-tokens", 10**6, code="invalid_argument", has=[message]
        )

    def test_one_form(self):
        result = run("bench", self.out, "--json", "--markdown")
        self.assertEqual(result.code, 2)
        self.assertIn("--json excludes --markdown", self.one_line(result.err))

    def test_errors_of_the_child_come_through(self):
        self.refuse("bench", self.out, "--image", self.tmp / "none.png", code="not_found")
        (self.out / "onnx/encoder_model.onnx").write_bytes(b"no graph")
        self.refuse("bench", self.out, code="invalid_file", has=["encoder_model.onnx"])

    def test_interrupt(self):
        """Ctrl-C at any moment: one line, no child left."""
        process = subprocess.Popen(
            [PROGRAM, "bench", self.out, "--runs", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        child = ""
        while not child:
            with open(children, encoding="ascii") as file:
                child = file.read().strip()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (2, ""))
        self.assertIn("interrupted", self.one_line(err))
        with self.assertRaises(ProcessLookupError):
            os.killpg(process.pid, 0)
