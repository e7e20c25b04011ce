"""Says whether tests/goldens are still those that the makers of this folder made.

tests/goldens/made_by.json holds the SHA-256 of the makers (this folder and the pinned libraries)
and of every golden that they make. While both are equal, making the goldens again gives the same
files.

Usage: made_by.py [--write]      exit status 0: the same; 1: a maker, a library or a golden changed
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from common import GOLDENS, PARTS, read_json, write_json

HERE = Path(__file__).resolve().parent
PINS = HERE.parent.parent / "train" / "requirements.lock"
RECORD = GOLDENS / "made_by.json"
SOURCES = (".py", ".jinja", ".json", ".txt")


def digest(root: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and bytes of files below `root`."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def files_below(folder: Path) -> list[Path]:
    """List the files of a folder, without what Python leaves there."""
    return [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]


def current() -> dict[str, str]:
    """Return the digests of this tree."""
    makers = [p for p in files_below(HERE) if p.suffix in SOURCES]
    goldens = [p for folder in PARTS.values() for p in files_below(GOLDENS / folder)]
    return {
        "makers": digest(HERE.parent.parent, [*makers, PINS]),
        "goldens": digest(GOLDENS, goldens),
    }


def main() -> int:
    """Compare with the record, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="after goldens were made or compared")
    if parser.parse_args().write:
        write_json(RECORD, current())
        return 0
    record, now = read_json(RECORD) if RECORD.exists() else {}, current()
    changed = [name for name in now if now[name] != record.get(name)]
    print(f"goldens: {' and '.join(changed)} changed" if changed else "goldens: as they were made")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
