"""Timed child processes, and cp as the yardstick."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """A step failed; the message says which and what it printed."""


@dataclass
class Run:
    """What one child process took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(command: list[str | Path]) -> Run:
    """Run to the end; standard output is kept, standard error only shown on failure."""
    arguments = [str(part) for part in command]
    start = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = child.stdout, child.stderr
    assert output is not None and errors is not None
    text = output.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    message = errors.read()
    output.close()
    errors.close()
    if child.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: exit {child.returncode}\n{message}")
    peak = usage.ru_maxrss * 1024
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak, text)


def clear(path: Path) -> None:
    """Remove an old output and write out what is still dirty, so that no timer pays for it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    os.sync()


def copy_seconds(source: Path, target: Path) -> float:
    """Time `cp -r source target`."""
    clear(target)
    return run(["cp", "-r", source, target]).seconds


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def say(text: str) -> None:
    """Report progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cpu_name() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def idle_share(seconds: float = 0.3) -> float:
    """Return how much of all cores' time was idle during the next moment."""

    def totals() -> tuple[int, int]:
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return fields[3] + fields[4], sum(fields)

    idle, whole = totals()
    time.sleep(seconds)
    idle_after, whole_after = totals()
    return (idle_after - idle) / max(1, whole_after - whole)


def wait_for_quiet(most_seconds: float, enough: float = 0.9) -> float:
    """Wait until the machine is nearly idle, but not for ever; return its idle share."""
    end = time.monotonic() + most_seconds
    share = idle_share()
    while share < enough and time.monotonic() < end:
        time.sleep(0.5)
        share = idle_share()
    return share
