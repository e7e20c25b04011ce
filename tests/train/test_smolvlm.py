"""LoRA on a whole SmolVLM: learns, goes on after a kill, is pressed, says what PyTorch says."""

import json
import time
import unittest

from forked import differing, start, succeeded, train
from harness import ROOT, Case
from train.scenes import make_scene
from train.tune import run as work
from train.tune.run_folder import checkpoints
from train.tune.settings import Settings

MODEL = str(ROOT / "tests/goldens/smolvlm/smolvlm/base")


class Smolvlm(Case):
    """The tiny SmolVLM of the goldens, whose pictures become 17 tiles."""

    def test_from_shapes_to_captions(self):
        settings = Settings(
            "shapes",
            epochs=2,
            sample=30,
            model=MODEL,
            projection="lora",
            batch=8,
            save_steps=2,
            lora_rate=3e-3,
            projection_rate=3e-3,
        )
        whole, killed = self.tmp / "whole", self.tmp / "killed"
        child = start(settings, killed)
        while child.is_alive() and not (killed / "checkpoint-2").exists():
            time.sleep(0.01)
        if child.is_alive():
            child.kill()
            child.join()
        else:
            succeeded(child, killed)
        children = {run: start(settings, run) for run in (whole, killed)}
        for run, child in children.items():
            succeeded(child, run)
        self.assertEqual([p.name for p in checkpoints(whole)][-1], "checkpoint-6")
        for path in [*checkpoints(whole), whole / work.BEST]:
            other = killed / path.relative_to(whole)
            self.assertEqual(differing(path, other), [], path.name)

        last = whole / "checkpoint-6"
        history = json.loads((last / work.STATE).read_text())["log_history"]
        losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
        self.assertLess(losses[-1], losses[0])
        adapter = json.loads((last / "adapter_config.json").read_text())
        self.assertEqual(adapter["base_model_name_or_path"], MODEL)

        self.expect_captions(whole, last)
        self.expect_watched(whole)

    def expect_captions(self, run, last):
        """What the pressed folder says is what generate() said of the validation pictures."""
        pressed = self.tmp / "pressed"
        prompt = (last / "prompt.txt").read_text().strip()
        self.assertEqual(prompt, "Describe the image.")
        self.succeed("press", last, pressed, "--bundle", "smolvlm", "--prompt", prompt)
        told = [json.loads(line) for line in (run / "captions/6.jsonl").read_text().splitlines()]
        images = []
        for line in told:
            images.append(self.tmp / f"{line['image']}.png")
            make_scene(int(line["image"].split("-")[1])).image().save(images[-1])
        said = json.loads(self.succeed("caption", pressed, *images, "--json"))["captions"]
        self.assertEqual([c["text"].strip() for c in said], [line["caption"] for line in told])
        self.assertGreater(len({line["caption"] for line in told}), 1)

    def expect_watched(self, run):
        """`watch` knows PEFT folders."""
        out = self.tmp / "watched"
        said = self.succeed("watch", run, out, "--once", "--bundle", "smolvlm", "--json")
        steps = [json.loads(line)["step"] for line in said.splitlines()]
        self.assertEqual(steps, [int(p.name.split("-")[1]) for p in checkpoints(run)])

    def test_refusals(self):
        for options, words in (
            (["--unfreeze", 1], "UNFREEZE does not go with MODEL"),
            (["--projection", "mlp"], "PROJECTION mlp"),
            (["--prompt", " "], "PROMPT is empty"),
            (["--model", ROOT / "models/demo"], "model_type prefix_conditioning_vlm"),
        ):
            given = ["--dataset", "shapes", "--sample", 10, "--model", MODEL, *options]
            done = train(*given, "--out", self.tmp / "run")
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
