"""Makes every part of tests/goldens in one process.

Each maker alone takes longer to import torch than to work.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import traceback
from pathlib import Path

import peft  # noqa: F401  # before the forks, which then have it
import torch  # noqa: F401
import transformers  # noqa: F401

from common import GOLDENS, PARTS


def make(part: str, out: Path) -> int:
    """Run make_PART.py with --out in a fork, so that no part sees another's settings."""
    child = os.fork()
    if child == 0:
        sys.argv = [f"make_{part}.py", "--out", str(out / PARTS[part])]
        try:
            runpy.run_module(f"make_{part}", run_name="__main__")
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        except BaseException:  # the parent's code must not run on here
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> int:
    """Make all parts, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {' '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=GOLDENS)
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sys.stdout.flush()
    return max(make(part, args.out) for part in args.parts or PARTS)


if __name__ == "__main__":
    sys.exit(main())
