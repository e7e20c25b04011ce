"""The runner of these tests: skips are counted, and in CI they must be expected."""

import os
import re
import subprocess
import sys
from pathlib import Path

from harness import ROOT, SEED, Case

RUNNER = ROOT / "tests/hostile/runner.py"


class Runner(Case):
    def results(self, body: str, **env) -> tuple[int, str]:
        """Exit code and last line for a folder with one test that passes and one of this body."""
        (self.tmp / "test_it.py").write_text(
            "import unittest\n\nclass It(unittest.TestCase):\n"
            f"    def test_passes(self): pass\n    def test_body(self): {body}\n"
        )
        done = subprocess.run(
            [sys.executable, RUNNER, self.tmp],
            env={**os.environ, "CI": "", "LORAPRESS_SEED": str(SEED), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn(f"LORAPRESS_SEED={SEED} ", done.stdout)
        self.out = done.stdout
        return done.returncode, done.stdout.splitlines()[-1]

    def test_counts(self):
        self.assertEqual(self.results("pass"), (0, "2 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.results("self.fail()"), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.results("1 / 0"), (1, "1 passed, 1 failed, 0 skipped"))

    def test_an_unexpected_skip_is_a_failure_in_ci(self):
        skip = "self.skipTest('no moon')"
        self.assertEqual(self.results(skip), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.results(skip, CI="true"), (1, "1 passed, 1 failed, 1 skipped"))
        self.assertIn("skipped: test_it.It.test_body: no moon", self.out)
        self.assertIn("not ['test_it.It.test_body']", self.out)

    def test_expected_skips_name_tests(self):
        for line in (ROOT / "tests/skips.txt").read_text().splitlines():
            if not line.startswith("#"):
                module, case, test = line.split()[0].split(".")
                (file,) = Path(ROOT / "tests").glob(f"*/{module}.py")
                self.assertRegex(file.read_text(), rf"class {case}\b[\s\S]+def {test}\b")
                self.assertIsNotNone(re.search(r"\S+ \S+", line), f"{test}: no reason")
