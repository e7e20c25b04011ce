"""The program `lorapress` of this package, as the console script and `python -m lorapress` run it."""

from __future__ import annotations

import os
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
    """Run the program with this process's arguments; on POSIX it takes the process over."""
    command = [str(program()), *sys.argv[1:]]
    try:
        if sys.platform == "win32":
            return subprocess.call(command)
        os.execv(command[0], command)
    except OSError as error:
        print(f"lorapress: {command[0]}: {error.strerror}", file=sys.stderr)
        return 2
