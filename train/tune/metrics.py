"""The metrics of validation: those of `lorapress score`, where the program has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from ..settings import ROOT

TIMEOUT = 600


def program() -> str | None:
    """`LORAPRESS`, else the build's own program, else the one on the path."""
    built = ROOT / "build" / "lorapress"
    named = os.environ.get("LORAPRESS")
    return named or (str(built) if built.is_file() else shutil.which("lorapress"))


@lru_cache
def _scorer() -> str | None:
    name = program()
    if name is None:
        return None
    asked = subprocess.run([name, "score", "--help"], capture_output=True, check=False)
    return name if asked.returncode == 0 else None


def score(candidates: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    """Numbers by name, such as `cider`; none where nothing can compute them."""
    scorer = _scorer()
    if scorer is None:
        return {}
    with tempfile.TemporaryDirectory() as name:
        said, wanted = Path(name) / "candidates.jsonl", Path(name) / "references.jsonl"
        said.write_text(
            "".join(json.dumps({"image": k, "caption": v}) + "\n" for k, v in candidates.items()),
            encoding="utf-8",
        )
        wanted.write_text(
            "".join(
                json.dumps({"image": key, "caption": caption}) + "\n"
                for key, captions in references.items()
                for caption in captions
            ),
            encoding="utf-8",
        )
        done = subprocess.run(
            [scorer, "score", str(said), str(wanted), "--json"],
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
        )
    if done.returncode != 0:
        return {}
    found = json.loads(done.stdout)
    found = found.get("metrics", found)
    return {
        key.lower().replace("-", "_"): float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
