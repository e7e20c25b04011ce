"""Runs the tests of a folder, names the seed of what is random, and counts what was skipped.

usage: runner.py FOLDER [unittest options]

With CI=true a skipped test that tests/skips.txt does not have is a failure. Where it stands is
printed every ten minutes: a test that hangs says where.
"""

import faulthandler
import os
import signal
import sys
import unittest
from pathlib import Path

from harness import ROOT, SEED


def main() -> int:
    """Return the exit code."""
    folder, *options = sys.argv[1:]
    # Tests send these; children would ignore them where this runs in the background or below nohup.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    faulthandler.dump_traceback_later(600, repeat=True)
    print(f"LORAPRESS_SEED={SEED} repeats what is random here", flush=True)
    arguments = ["runner", "discover", "--start-directory", folder, *options]
    result = unittest.main(module=None, argv=arguments, exit=False).result
    lines = Path(ROOT / "tests/skips.txt").read_text().splitlines()
    allowed = {line.split()[0] for line in lines if line and not line.startswith("#")}
    unexpected = [test.id() for test, _ in result.skipped if test.id() not in allowed]
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    bad = {test.id().split(" ")[0] for test, _ in [*result.failures, *result.errors]}
    failed = max(len(bad), int(not result.wasSuccessful()))
    passed = result.testsRun - failed - len(result.skipped)
    if unexpected and os.environ.get("CI") == "true":
        print(f"in CI only the tests of tests/skips.txt may be skipped, not {unexpected}")
        failed += len(unexpected)
    if result.testsRun == 0:
        print(f"no test in {folder} fits {options}")
        failed += 1
    print(f"{passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
