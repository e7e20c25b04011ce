"""The command line of goldens that are rows of a catalog: make them, or search for a seed."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import folder_bytes, quiet

# (spec, folder) -> the golden's document; (document, spec) -> why it would be a weak test.
Make = Callable[[Any, Path], dict[str, Any]]
Problems = Callable[[dict[str, Any], Any], list[str]]


def end_candidate(document: dict[str, Any], spec: Any) -> int:
    """Return a token that comes late in one of the first two captions and never in the other."""
    first, second = (c["ids"] for c in document["cases"][0]["captions"][:2])
    for ids, other in ((first, second), (second, first)):
        for step, token in enumerate(ids):
            fresh = token not in ids[:step] and token not in other
            if fresh and 6 <= step <= 15 and 3 <= token < spec.tokenizer_size:
                return token
    return 0


def attempt(spec: Any, make: Make, problems: Problems) -> tuple[Any, list[str]]:
    """Make a candidate in a scratch folder; where no caption ends, once more with rows swapped."""
    with tempfile.TemporaryDirectory() as scratch:
        document = make(spec, Path(scratch))
    found = problems(document, spec)
    if spec.stops and not spec.swap and len(found) == 1 and "no end token" in found[0]:
        token = end_candidate(document, spec)
        if token:
            return attempt(dataclasses.replace(spec, swap=token), make, problems)
    return spec, found


def search(spec: Any, tries: int, make: Make, problems: Problems) -> None:
    """Try seeds until no golden check complains; print why each one failed."""
    for seed in range(1, tries + 1):
        tried, found = attempt(dataclasses.replace(spec, seed=seed, swap=0), make, problems)
        print(f"{spec.name} seed={seed}, swap={tried.swap}: {found or 'good'}", flush=True)
        if not found:
            return
    raise SystemExit(f"{spec.name}: no good seed in {tries} tries")


def run(specs: Sequence[Any], folder: Path, make: Make, problems: Problems) -> int:
    """Make the named checkpoints (all by default) under --out, `folder` by default."""
    parser = argparse.ArgumentParser(description="Make golden checkpoints.")
    parser.add_argument("names", nargs="*", help="checkpoints to make; all by default")
    parser.add_argument("--out", type=Path, default=folder)
    parser.add_argument("--search", type=int, default=0, help="try this many seeds, write nothing")
    args = parser.parse_args()
    quiet()
    known = {spec.name: spec for spec in specs}
    bad = 0
    for name in args.names or known:
        spec = known[name]
        if args.search:
            search(spec, args.search, make, problems)
            continue
        shutil.rmtree(args.out / name, ignore_errors=True)
        document = make(spec, args.out / name)
        found = problems(document, spec)
        bad += bool(found)
        low = min(c["min_margin"] for case in document["cases"] for c in case["captions"])
        size = folder_bytes(args.out / name)
        print(f"{name}: {size} bytes, min margin {low}, {found or 'good'}", flush=True)
    return 1 if bad else 0
