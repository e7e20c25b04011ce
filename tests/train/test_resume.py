"""A training that is killed anywhere, again and again, ends with the bits of one that was not."""

import multiprocessing
import os
import random
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import torch

from harness import CHECKPOINTS, SEED
from sets import write_jsonl
from train.errors import TrainError
from train.tune import run as work
from train.tune.run_folder import checkpoints, own
from train.tune.settings import Settings

KILLS = int(os.environ.get("LORAPRESS_KILLS", "5"))
FORK = multiprocessing.get_context("fork")  # a child has torch already


def attempt(settings: Settings, run: Path) -> None:
    """A child's whole work; what it says goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    work.make_deterministic()
    work.train(settings, run)


def start(settings: Settings, run: Path):
    """A training in a process of its own."""
    child = FORK.Process(target=attempt, args=(settings, run))
    child.start()
    return child


def same(first: Path, second: Path) -> list[str]:
    """Files of two folders that differ; times and speeds in trainer_state.json do not count."""
    names = {p.name for p in first.iterdir()} ^ {p.name for p in second.iterdir()}
    for path in first.iterdir():
        other = second / path.name
        if path.name in names or path.name == work.STATE:
            continue
        if path.suffix in (".pt", ".pth"):
            a, b = (torch.load(p, weights_only=False) for p in (path, other))
            equal = repr_of(a) == repr_of(b)
        else:
            equal = path.read_bytes() == other.read_bytes()
        if not equal:
            names.add(path.name)
    return sorted(names)


def repr_of(value) -> object:
    """A state as comparable values: every bit of every tensor."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: repr_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [repr_of(inner) for inner in value]
    return value.tobytes() if hasattr(value, "tobytes") else value


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
        child = start(self.settings, self.folder / "whole")
        child.join()
        self.assertEqual(child.exitcode, 0)
        took = time.monotonic() - began
        whole = checkpoints(self.folder / "whole")
        self.assertEqual(whole[-1].name, "checkpoint-20")

        killed, run = 0, self.folder / "killed"
        while killed < KILLS:
            child = start(self.settings, run)
            child.join(rng.uniform(0, took))
            if not child.is_alive():  # finished before it could be killed: once more from nothing
                self.assertEqual(child.exitcode, 0)
                shutil.rmtree(run)
                continue
            child.kill()
            child.join()
            killed += 1
            for path in checkpoints(run) if run.exists() else []:
                self.assertTrue((path / work.STATE).exists(), f"{path} is half written")
        child = start(self.settings, run)
        child.join()
        self.assertEqual(child.exitcode, 0)
        self.assertEqual([p.name for p in checkpoints(run)], [p.name for p in whole])
        for path in whole:
            self.assertEqual(same(path, run / path.name), [], path.name)
        self.assertEqual(same(self.folder / "whole/best", run / "best"), [])
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

    def test_two_at_once(self):
        lock = own(self.folder / "run")
        with self.assertRaises(TrainError) as caught:
            own(self.folder / "run")
        self.assertIn("another training runs here", str(caught.exception))
        lock.close()


if __name__ == "__main__":
    unittest.main()
