"""The program `lorapress` of this package, as the console script and `python -m lorapress` run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def program() -> Path:
    """Return the program: the package's own, else that of the source tree's build; LORAPRESS names another."""
    if given := os.environ.get("LORAPRESS"):
        return Path(given)
    name = "lorapress.exe" if sys.platform == "win32" else "lorapress"
    packaged = PACKAGE / "bin" / name
    built = PACKAGE.parents[1] / "build" / name
    return built if not packaged.exists() and built.exists() else packaged


def main() -> int:
    """Run the program with this process's arguments and return its status; on POSIX it takes the process over.

    Windows has no exec: that of its C library starts a second process and ends the first, so that no shell waits.
    """
    command = [str(program()), *sys.argv[1:]]
    try:
        if sys.platform == "win32":
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the program, too, and its status counts
            return subprocess.call(command)
        os.execv(command[0], command)
    except OSError as error:
        print(f"lorapress: {command[0]}: {error.strerror}", file=sys.stderr)
        return 2
