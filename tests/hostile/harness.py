"""Runs the program on broken input in a scratch folder and holds it to what it promises:

exit code 2, one line on standard error, a JSON document with --json, and every file as it was.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "tests/goldens/checkpoints"
BASE = CHECKPOINTS / "base"
PROGRAM = os.environ.get("LORAPRESS", str(ROOT / "build/lorapress"))
HANG_SECONDS = 60
SEED = int(os.environ.get("LORAPRESS_SEED", random.randrange(1 << 32)))  # runner.py prints it


class Result(NamedTuple):
    """Exit code and both streams of one call."""

    code: int
    out: str
    err: str


@functools.cache
def program_for_everyone() -> str:
    """A copy that other users reach: a checkout below /root is closed to them."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    return shutil.copy(PROGRAM, folder / "lorapress")


def run(*args, **options) -> Result:
    """Runs the program; a hang is a failure of the test."""
    command = [program_for_everyone() if "user" in options else PROGRAM, *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, timeout=HANG_SECONDS, check=False, **options
    )
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    # The library names fields of options; what the program prints are flags (cli/messages.h).
    if leak := re.search(r"(?<![/.\w])options\.(?!json)[a-z_]+", result.out + result.err):
        raise AssertionError(f"{args}: says {leak[0]} where users know a flag")
    return result


@contextlib.contextmanager
def started(command, **options):
    """A process that is killed at the end; Popen alone would wait for one that hangs."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def snapshot(folder: Path) -> dict:
    """Everything below a folder, hidden files too: mode, and of files size, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        kept = (info.st_mode,)
        if path.is_file():
            small = info.st_size < 1 << 24 and os.access(path, os.R_OK)
            content = hashlib.sha256(path.read_bytes() if small else b"").hexdigest()
            kept = (info.st_mode, info.st_size, info.st_mtime_ns, content)
        found[str(path.relative_to(folder))] = kept
    return found


def read_tensors(path: Path) -> tuple[dict, bytes]:
    """Header and data of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_tensors(path: Path, header: dict | bytes, data: bytes) -> None:
    """The header as JSON, or as these very bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def without(header: dict, data: bytes, names: list[str]) -> tuple[dict, bytes]:
    """A valid file without some of its tensors."""
    return packed({name: (entry, data) for name, entry in header.items() if name not in names})


def packed(tensors: dict) -> tuple[dict, bytes]:
    """A valid file of {name: (entry, data of the file it is from)}."""
    header, data = {}, b""
    for name, (entry, source) in tensors.items():
        if name == "__metadata__":
            header[name] = entry
            continue
        begin, end = entry["data_offsets"]
        header[name] = {**entry, "data_offsets": [len(data), len(data) + end - begin]}
        data += source[begin:end]
    return header, data


class Case(unittest.TestCase):
    """A test with a scratch folder, gone afterwards."""

    maxDiff = None

    def setUp(self):
        self.random = random.Random(SEED)
        self.tmp = Path(tempfile.mkdtemp(prefix="lorapress-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)
        self.out = self.tmp / "out"

    def checkpoint(self, source="base", name="ckpt") -> Path:
        """A writable copy of a golden checkpoint."""
        target = self.tmp / name
        shutil.copytree(CHECKPOINTS / source, target, ignore=shutil.ignore_patterns("golden"))
        return target

    @contextlib.contextmanager
    def fresh(self, source="base"):
        """One sub-case: a copy of a checkpoint that is gone at its end."""
        folder = self.checkpoint(source)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def wait_until(self, condition, what: str) -> None:
        """Until condition() holds, looked at every millisecond; too long is a failure."""
        deadline = time.monotonic() + HANG_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"waited too long: {what}")
            time.sleep(0.001)

    def succeed(self, *args, **options) -> str:
        """Standard output of a call that works and has nothing to say on standard error."""
        result = run(*args, **options)
        self.assertEqual((result.code, result.err), (0, ""), f"{args}")
        return result.out

    def one_line(self, err: str) -> str:
        """The message on standard error."""
        self.assertRegex(err, r"\Alorapress: [^\n]+\n\Z")
        self.assertNotRegex(err, r"[\x00-\x09\x0b-\x1f\x7f]")
        return err.removeprefix("lorapress: ").removesuffix("\n")

    def refuse(self, *args, code: str, has=(), hasnt=(), **options) -> str:
        """A call that must fail and leave everything as it was. Returns its message."""
        before = snapshot(self.tmp)
        result = run(*args, **options)
        self.assertEqual(result.code, 2, f"{args}: {result}")
        self.assertEqual(result.out, "", f"{args}")
        message = self.one_line(result.err)
        for words in [has] if isinstance(has, str) else has:
            self.assertIn(words, message)
        for words in hasnt:
            self.assertNotIn(words, message)
        as_json = run(*args, "--json", **options)
        self.assertEqual((as_json.code, as_json.err), (2, result.err), f"{args}")
        error = json.loads(as_json.out)["error"]
        self.assertEqual(error["code"], code, message)
        self.assertEqual(printed(error["message"]), printed(message))
        self.assertEqual(snapshot(self.tmp), before, f"{args} left something behind: {message}")
        return message

    def refuse_checkpoint(
        self, folder: Path, *args, code: str, has=(), commands=("inspect", "merge", "press")
    ) -> None:
        """Every command that reads a checkpoint says the same."""
        for command in commands:
            target = [] if command == "inspect" else [self.out]
            self.refuse(command, folder, *target, *args, code=code, has=has)


def printed(text: str) -> str:
    """A message as a terminal gets it, white space apart."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ufffd]", "?", " ".join(text.split()))


def edit_json(path: Path, change) -> None:
    """change(document) works in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
