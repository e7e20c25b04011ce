"""lorapress watch: only whole checkpoints, the newest and the best, and kill -9 at any moment."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from harness import BASE, PROGRAM, Case, started

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "tests/goldens/images"
KILLS = int(os.environ.get("LORAPRESS_KILLS", "8"))


class Watch(Case):
    """A run of golden checkpoints, which are whole models."""

    def setUp(self):
        super().setUp()
        self.run_folder = self.tmp / "run"
        self.run_folder.mkdir()
        self.images = self.tmp / "photos"
        self.images.mkdir()
        for path in sorted(IMAGES.glob("*.png"))[:2]:
            shutil.copy(path, self.images)
        self.losses = {}

    def state(self, step: int) -> dict:
        """trainer_state.json as transformers' Trainer writes it."""
        history = [{"step": s, "loss": 9.0} for s in self.losses]
        history += [{"step": s, "eval_loss": v, "epoch": 1} for s, v in self.losses.items()]
        return {"global_step": step, "log_history": history, "max_steps": 100}

    def save(self, step: int, loss: float | None, whole: bool = True) -> Path:
        """Writes a checkpoint of the run; one that is not whole has no state yet."""
        if loss is not None:
            self.losses[step] = loss
        folder = self.run_folder / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(BASE / name, folder)
        (folder / "optimizer.pt").write_bytes(b"not read")
        if whole:
            (folder / "trainer_state.json").write_text(json.dumps(self.state(step)))
        return folder

    def watch(self, *options) -> list[dict]:
        """What one look says."""
        text = self.succeed(
            "watch", self.run_folder, self.out, "--once", "--dtype", "fp32", "--json", *options
        )
        return [json.loads(line) for line in text.splitlines()]

    def expect_whole(self) -> dict:
        """Whatever OUT names must be whole at any moment."""
        state = json.loads((self.out / "watch.json").read_text())
        for name in ("newest", "best"):
            link = self.out / name
            if link.is_symlink():
                manifest = json.loads((link / "lorapress.json").read_text())
                self.assertTrue(manifest)
        return state

    def names(self) -> list[str]:
        """Names in OUT, hidden ones left out."""
        return sorted(p.name for p in self.out.iterdir() if not p.name.startswith("."))

    def test_newest_and_best(self):
        self.save(5, 3.0)
        self.save(10, 2.0)
        said = self.watch("--images", self.images)
        told = [(s["step"], s["best"], s["metric"]) for s in said]
        self.assertEqual(told, [(5, True, 3.0), (10, True, 2.0)])
        self.assertEqual(len(said[0]["captions"]), 2)
        self.save(15, 2.5)
        said = self.watch("--images", self.images)
        self.assertEqual([(s["step"], s["best"]) for s in said], [(15, False)])
        self.assertEqual(os.readlink(self.out / "newest"), "step-15")
        self.assertEqual(os.readlink(self.out / "best"), "step-10")
        self.assertEqual(
            self.names(),
            ["best", "images", "index.html", "newest", "step-10", "step-15", "watch.json"],
        )
        self.assertEqual(self.watch(), [])
        image = next(self.images.iterdir())
        told = json.loads(self.succeed("caption", self.out / "newest", image, "--json"))
        texts = {c["image"]: c["text"] for c in said[0]["captions"]}
        self.assertEqual(texts[image.name], told["captions"][0]["text"])

    def test_higher_is_better_for_other_metrics(self):
        for step, score in ((5, 0.1), (10, 0.7), (15, 0.5)):
            folder = self.save(step, None, whole=False)
            state = {"global_step": step, "log_history": [{"step": step, "eval_cider": score}]}
            (folder / "trainer_state.json").write_text(json.dumps(state))
        self.watch("--metric", "eval_cider")
        self.assertEqual(os.readlink(self.out / "best"), "step-10")

    def test_half_written_checkpoints_wait(self):
        folder = self.save(5, 3.0, whole=False)
        self.assertEqual(self.watch(), [])
        state = folder / "trainer_state.json"
        text = json.dumps(self.state(5))
        state.write_text(text[: len(text) // 2])
        self.assertEqual(self.watch(), [])
        state.write_text(json.dumps(self.state(4)))  # of another step
        self.assertEqual(self.watch(), [])
        state.write_text(text)
        weights = folder / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-100])
        self.assertEqual(self.watch(), [])
        weights.write_bytes(whole)
        self.assertEqual([s["step"] for s in self.watch()], [5])

    def test_a_checkpoint_that_cannot_be_pressed(self):
        folder = self.save(5, 3.0)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["hidden_size"] = 48
        (folder / "config.json").write_text(json.dumps(config))
        self.save(10, 4.0)
        first, second = self.watch()
        self.assertIn("checkpoint-5", first["error"])
        self.assertTrue(second["best"])
        self.assertEqual(os.readlink(self.out / "newest"), "step-10")

    def test_refusals(self):
        self.refuse("watch", self.tmp / "none", self.out, code="not_found", has=["none"])
        other = self.tmp / "other"
        other.mkdir()
        (other / "mine.txt").write_text("mine")
        self.refuse("watch", self.run_folder, other, code="exists", has=["other"])
        self.save(5, 3.0)
        self.watch()
        self.refuse(
            "watch", self.run_folder, self.out, "--metric", "eval_x", "--once", code="mismatch"
        )

    def test_follows_and_ends(self):
        command = [PROGRAM, "watch", self.run_folder, self.out, "--dtype", "fp32", "--json"]
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.save(5, 3.0)
            self.assertEqual(json.loads(process.stdout.readline())["step"], 5)
            self.refuse(
                "watch", self.run_folder, self.out, "--once", code="exists", has=["another"]
            )
            self.save(10, 2.0)
            self.assertEqual(json.loads(process.stdout.readline())["step"], 10)
            process.send_signal(signal.SIGINT)
            process.wait(20)
            self.assertEqual(process.returncode, 2)
            self.assertIn(b"the next one goes on", process.stderr.read())

    def test_killed(self):
        for step in (5, 10, 15, 20):
            self.save(step, 10 / step)
        command = ["watch", self.run_folder, self.out, "--once", "--dtype", "fp32,q4"]
        command += ["--images", self.images]
        start = time.monotonic()
        self.succeed(*command)
        length = time.monotonic() - start
        names, whole = self.names(), json.loads((self.out / "watch.json").read_text())
        shutil.rmtree(self.out)
        for _ in range(KILLS):
            with subprocess.Popen(
                [PROGRAM, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                time.sleep(self.random.uniform(0, length))
                process.kill()
            if (self.out / "watch.json").exists():
                seen = self.expect_whole()
                if len(seen["steps"]) == 4:
                    shutil.rmtree(self.out)
        self.succeed(*command)
        self.assertEqual(self.names(), names)
        self.assertEqual(self.expect_whole(), whole)


if __name__ == "__main__":
    unittest.main()
