"""kill -9 at any moment: OUT stays whole, and the next run removes what the killed ones left."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import test_output
from harness import BASE, PROGRAM, Case, snapshot
from test_quantize import MATMUL, WEIGHT, field, model, tensor

LEFT = "removed what killed runs left beside "


def contents(path: Path) -> dict | bytes | None:
    """A file or a folder by its bytes."""
    if path.is_dir():
        return {k: v[-1] if len(v) > 1 else None for k, v in snapshot(path).items()}
    return path.read_bytes() if path.exists() else None


def stopped(pid: int) -> bool:
    """Whether each thread has stopped; one inside a write ends that first."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(text.rpartition(")")[2].split()[0] == "T" for text in states)


class Killed(Case):
    """Every command that writes, killed at random moments of its run."""

    KILLS = 8

    def leftovers(self, out: Path) -> list[str]:
        """Hidden folders of runs, and their locks, beside OUT."""
        return sorted(path.name for path in out.parent.glob(f".{out.name}.part-*"))

    def expect_clean(self, out: Path, *command) -> None:
        """Kills the command again and again; then one run must leave OUT alone beside itself."""
        command = [*map(str, command), "--force"]
        start = time.monotonic()
        self.succeed(*command)
        length = time.monotonic() - start
        whole = contents(out)
        names = sorted(path.name for path in out.parent.iterdir())
        for _ in range(self.KILLS):
            with subprocess.Popen(
                [PROGRAM, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                time.sleep(self.random.uniform(0, length))
                process.kill()
            self.assertIsNotNone(contents(out), "OUT is gone")
            if out.is_dir():
                self.assertEqual(contents(out).keys(), whole.keys())
            # a folder and its lock: each run removes what the one before left
            self.assertLessEqual(len(self.leftovers(out)), 2, self.leftovers(out))
        before = self.leftovers(out)
        text = self.succeed(*command)
        self.assertEqual(sorted(path.name for path in out.parent.iterdir()), names)
        folders = [name for name in before if not name.endswith(".lock")]
        self.assertEqual(text.count(LEFT + out.name), 1 if folders else 0, text)

    def test_folders(self):
        for command in ("export", "merge", "press"):
            with self.subTest(command):
                out = self.tmp / command
                self.expect_clean(out, command, BASE, out)

    def test_files(self):
        source, out = self.tmp / "in.onnx", self.tmp / "files/out.onnx"
        source.write_bytes(model([MATMUL], [tensor(b"w", (64, 64), field(9, WEIGHT))]))
        self.expect_clean(out, "quantize", source, out, "--dtype", "q4", "--external-data")

    def test_pages(self):
        folder, page = self.tmp / "model", self.tmp / "pages/page.html"
        self.succeed("export", BASE, folder)
        page.parent.mkdir()
        self.expect_clean(page, "verify", BASE, folder, "--html", page, "--max-new-tokens", 1)

    def test_what_stands_there_is_removed_and_said_once(self):
        for command, out in (("merge", self.tmp / "a/out"), ("export", self.tmp / "b/out")):
            stale = out.parent / ".out.part-abc123"
            (stale / "onnx").mkdir(parents=True)
            (stale / "onnx/half.onnx").write_bytes(bytes(2_500_000))
            Path(f"{stale}.lock").touch()
            report = json.loads(self.succeed(command, BASE, out, "--json"))
            line = f"{LEFT}out: .out.part-abc123, 2.5 MB"
            self.assertEqual([note for note in report["notes"] if LEFT in note], [line])
            self.assertEqual([path.name for path in out.parent.iterdir()], ["out"])

    def test_a_page_after_a_killed_run_of_an_older_version(self):
        """Which left page.html.part and could not be run again."""
        folder, page = self.tmp / "model", self.tmp / "page.html"
        self.succeed("export", BASE, folder)
        Path(f"{page}.part").write_text("half")
        self.succeed("verify", BASE, folder, "--html", page, "--max-new-tokens", 1)
        self.assertTrue(page.read_text().startswith("<!DOCTYPE html>"))


class Living(test_output.Interrupted):
    """Two runs with one OUT at once."""

    def test_keeps_its_folder(self):
        """A stopped process lives; the other run neither removes its folder nor speaks of it."""
        with self.writing("export", self.large, self.out) as process:
            process.send_signal(signal.SIGSTOP)
            self.wait_until(lambda: stopped(process.pid), "all threads stop")
            (theirs,) = [p for p in self.tmp.glob(".out.part-*") if p.is_dir()]
            before = contents(theirs)
            text = self.succeed("export", BASE, self.out)
            self.assertNotIn(LEFT, text)
            self.assertEqual(contents(theirs), before)
            shutil.rmtree(self.out)
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.assertTrue(theirs.exists())
        self.assertIn(f"{LEFT}out: {theirs.name}, ", self.succeed("export", BASE, self.out))
        self.assertFalse(theirs.exists())
        self.assertEqual(sorted(p.name for p in self.tmp.iterdir()), ["ckpt", "out"])

    test_leaves_nothing = test_json = test_nohup = None  # Interrupted runs them
