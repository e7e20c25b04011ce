"""PressCallback beside a training with transformers' own Trainer."""

import json
import os
import unittest

from harness import CHECKPOINTS, PROGRAM, Case
from sets import write_jsonl
from train.callback import PressCallback
from train.tune import run as work
from train.tune.settings import Settings
from train.tune.trainer import CaptionTrainer


class Callback(Case):
    """A short training with two checkpoints."""

    def test_presses_what_is_saved(self):
        write_jsonl(self.tmp)
        base = str(CHECKPOINTS / "base")
        settings = Settings(
            str(self.tmp), epochs=1, encoder=base, decoder=base, batch=4, save_steps=3
        )
        shares, _ = work.read_split(settings)
        task = work.build(settings, shares)
        run, out = self.tmp / "run", self.tmp / "pressed"
        trainer = CaptionTrainer(task, settings, run, task.rows(shares.train), shares.validation)
        trainer.add_callback(PressCallback(out, dtype="fp32", program=PROGRAM))
        trainer.train()
        state = json.loads((out / "watch.json").read_text())
        self.assertEqual(state["steps"][-1]["step"], 5)
        self.assertEqual(os.readlink(out / "newest"), "step-5")
        best = trainer.state.best_global_step
        self.assertEqual(os.readlink(out / "best"), f"step-{best}")


if __name__ == "__main__":
    unittest.main()
