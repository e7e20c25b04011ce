"""From pictures to captions with the commands of docs/training.md, and what is refused."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from forked import call, differing, train
from harness import CHECKPOINTS, ROOT, Case, read_tensors
from sets import NAMES, write_csv
from train.demo import main as make_demo

BASE = str(CHECKPOINTS / "base")


class Guide(Case):
    """Whole ways."""

    def trained(self, *options) -> dict:
        """The report of a training that works."""
        done = train(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_shapes_from_nothing(self):
        """The demo's recipe, train/run.sh: a base, an adapter on top, the folder around them."""
        base, run, twin = (self.tmp / name for name in ("base", "run", "twin"))
        both = ["--sample", 60, "--epochs", 1, "--batch", 16, "--lora-alpha", 32]
        both += ["--bf16", "--shares", 2, "--lora-dropout", 0]
        plain = [*both, "--dataset", "shapes-plain", "--out", base]
        report = self.trained(*plain)
        self.assertEqual(report["best"], str(base / "best"))
        self.assertEqual(self.trained(*plain), report)  # nothing to do
        adapter = [*both, "--dataset", "shapes", "--from", base / "best", "--adapter", "new"]
        for out in (run, twin):
            self.trained(*adapter, "--lora-rate", 2e-3, "--out", out)
        self.assertEqual(differing(run / "best", twin / "best"), [])
        before, after = (read_tensors(p / "best/model.safetensors") for p in (base, run))
        self.assertEqual(set(before[0]), set(after[0]))
        pressed, demo = self.tmp / "pressed", self.tmp / "demo"
        self.succeed("press", run / "best", pressed, "--dtype", "fp32,q4")
        verified = json.loads(self.succeed("verify", run / "best", pressed, "--json"))
        self.assertTrue(verified)
        call(make_demo, [str(run), str(base), "--out", str(demo), "--heldout", "4"])
        self.assertEqual(
            sorted(p.name for p in demo.iterdir()),
            sorted(p.name for p in (ROOT / "models/demo").iterdir()),
        )
        metrics = json.loads((demo / "metrics.json").read_text())
        self.assertEqual(metrics["training"]["finetune"]["settings"]["lora_alpha"], 32)
        self.succeed("press", demo, pressed, "--force")
        image = ROOT / "models/demo/images/wide-256x192.jpg"
        said = json.loads(self.succeed("caption", pressed, image, "--json"))
        self.assertEqual(len(said["captions"]), 1)

    def test_what_training_says_is_what_the_program_says(self):
        """The captions of the run are those of the pressed folder on the same picture files."""
        write_csv(self.tmp)
        run, pressed = self.tmp / "run", self.tmp / "pressed"
        parts = ["--encoder", BASE, "--decoder", BASE]
        self.trained("--dataset", self.tmp, *parts, "--epochs", 3, "--out", run, "--batch", 4)
        kept = sorted((run / "captions").glob("*.jsonl"), key=lambda p: int(p.stem))[-1]
        last = sorted(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))[-1]
        self.succeed("press", last, pressed, "--dtype", "fp32")
        for line in kept.read_text().splitlines():
            told = json.loads(line)
            image = self.tmp / told["image"]
            said = json.loads(self.succeed("caption", pressed, image, "--json"))
            self.assertEqual(said["captions"][0]["text"].strip(), told["caption"])

    def test_other_parts(self):
        """ViT with GPT-2, an mlp between them, a layer of the encoder learning."""
        write_csv(self.tmp)
        run, pressed = self.tmp / "run", self.tmp / "pressed"
        parts = ["--encoder", CHECKPOINTS / "vit", "--decoder", CHECKPOINTS / "gpt2"]
        more = ["--projection", "mlp", "--unfreeze", 1, "--max-length", 12, "--epochs", 1]
        self.trained("--dataset", self.tmp, *parts, *more, "--out", run, "--batch", 4)
        self.succeed("press", run / "best", pressed)
        inside = json.loads((run / "best/config.json").read_text())
        self.assertEqual(inside["vision_unfreeze_layers"], 1)
        verified = json.loads(self.succeed("verify", run / "best", pressed, "--json"))
        self.assertTrue(verified)


class Refused(unittest.TestCase):
    """One line on standard error, exit code 2."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        write_csv(self.folder)

    def refused(self, *options, has: tuple[str, ...]) -> None:
        """A call that must fail."""
        done = train(*options, "--out", self.folder / "run")
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
        for words in has:
            self.assertIn(words, done.stderr)

    def test_options(self):
        self.refused("--dataset", self.folder, "--epochs", "0", has=("--epochs", "above 0"))
        self.refused("--dataset", self.folder, "--what", has=("--what",))

    def test_parts(self):
        here = ["--dataset", self.folder]
        self.refused(*here, has=("ENCODER is not given", "shapes"))
        self.refused(*here, "--encoder", "org/name", "--decoder", BASE, has=("ENCODER org/name",))
        both = [*here, "--encoder", BASE, "--decoder", BASE]
        self.refused(*both, "--unfreeze", 9, has=("UNFREEZE 9",))
        self.refused(*both, "--qat", "q4", has=("QAT needs FROM",))
        self.refused(*both, "--adapter", "new", has=("ADAPTER new needs FROM",))
        self.refused(*both, "--projection", "lora", has=("PROJECTION lora needs MODEL",))
        self.refused(*both, "--shares", 2, has=("--lora-dropout 0",))
        self.refused(*both, "--from", self.folder, has=("no config.json",))

    def test_a_malformed_set(self):
        table = self.folder / "captions.csv"
        table.write_text(table.read_text() + f"gone.png,a\n{NAMES[0]},\n")
        parts = ["--encoder", BASE, "--decoder", BASE]
        self.refused("--dataset", self.folder, *parts, has=("gone.png is missing", "line 27"))


if __name__ == "__main__":
    unittest.main()
