"""A training that is killed anywhere, again and again, ends with the bits of one that was not."""

import json
import os
import random
import shutil
import tempfile
import time
import unittest
from dataclasses import replace
from pathlib import Path

from forked import differing, start, succeeded
from harness import CHECKPOINTS, SEED
from sets import write_jsonl
from train.errors import TrainError
from train.tune import run as work
from train.tune.run_folder import checkpoints, own
from train.tune.settings import Settings

KILLS = int(os.environ.get("LORAPRESS_KILLS", "5"))


class Resume(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        write_jsonl(self.folder)
        base = str(CHECKPOINTS / "base")
        self.settings = Settings(
            str(self.folder), epochs=4, encoder=base, decoder=base, batch=4, save_steps=3
        )

    def test_killed_anywhere(self):
        rng = random.Random(SEED)
        began = time.monotonic()
        succeeded(start(self.settings, self.folder / "whole"), self.folder / "whole")
        took = time.monotonic() - began
        whole = checkpoints(self.folder / "whole")
        self.assertEqual(whole[-1].name, "checkpoint-20")

        killed, run = 0, self.folder / "killed"
        while killed < KILLS:
            child = start(self.settings, run)
            child.join(rng.uniform(0, took))
            if not child.is_alive():  # finished before it could be killed: once more from nothing
                succeeded(child, run)
                shutil.rmtree(run)
                continue
            child.kill()
            child.join()
            killed += 1
            for path in checkpoints(run) if run.exists() else []:
                self.assertTrue((path / work.STATE).exists(), f"{path} is half written")
        succeeded(start(self.settings, run), run)
        self.assertEqual([p.name for p in checkpoints(run)], [p.name for p in whole])
        for path in whole:
            self.assertEqual(differing(path, run / path.name), [], path.name)
        self.assertEqual(differing(self.folder / "whole/best", run / "best"), [])
        left = [p.name for p in run.iterdir() if p.name.endswith((".part", ".old"))]
        self.assertEqual(left, [])

    def test_goes_on_only_as_it_began(self):
        run = self.folder / "run"
        own(run).close()
        work.remember(Settings("elsewhere"), "digest", run)  # never came to a checkpoint
        work.remember(self.settings, "digest", run)
        (run / "checkpoint-3").mkdir()
        work.remember(self.settings, "digest", run)
        for changed, words in (
            ({"epochs": 5}, "epochs 4, now it is 5"),
            ({"seed": 1}, "seed 42, now it is 1"),
        ):
            with self.assertRaises(TrainError) as caught:
                work.remember(Settings(**{**vars(self.settings), **changed}), "digest", run)
            self.assertIn(words, str(caught.exception))
        with self.assertRaises(TrainError) as caught:
            work.remember(self.settings, "other", run)
        self.assertIn("other pictures", str(caught.exception))

    def test_stops_early(self):
        """At rates at which the loss rises; the stop outlives a kill behind the last checkpoint."""
        run = self.folder / "run"
        settings = replace(self.settings, epochs=40, lora_rate=0.3, projection_rate=0.3, patience=2)

        def ended() -> tuple[list[str], dict]:
            succeeded(start(settings, run), run)
            names = [p.name for p in checkpoints(run)]
            return names, json.loads((run / names[-1] / work.STATE).read_text())

        names, state = ended()
        self.assertLess(state["global_step"], state["max_steps"])
        losses = [e["eval_loss"] for e in state["log_history"] if "eval_loss" in e]
        least = losses.index(min(losses))
        self.assertEqual(len(losses) - 1 - least, settings.patience)
        self.assertEqual(state["best_global_step"], settings.save_steps * (least + 1))
        report = json.loads((run / work.REPORT).read_text())
        self.assertEqual(report["step"], state["best_global_step"])
        shutil.rmtree(run / work.BEST)
        self.assertEqual(ended()[0], names)
        self.assertEqual(json.loads((run / work.REPORT).read_text()), report)

    def test_two_at_once(self):
        lock = own(self.folder / "run")
        with self.assertRaises(TrainError) as caught:
            own(self.folder / "run")
        self.assertIn("another training runs here", str(caught.exception))
        lock.close()


if __name__ == "__main__":
    unittest.main()
