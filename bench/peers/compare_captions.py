"""Time whole captions of LoraPress and of the best mix of other tools in turns, one process each.

usage: compare_captions.py ROUNDS OUT.json NAME=COMMAND ...

A command (one argument, split as a shell does) prints captions as `lorapress caption --json` does,
and may add a "note". The first name is compared with each other one, as a whole where both encode
an image. The first caption of a process is its warm-up. The ratio is that of the least times, and
the median of the ratios of single rounds.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from children import Run, cpu_name, run, say, wait_for_quiet  # noqa: E402
from report import table  # noqa: E402

PATIENCE = 30.0


def figures(child: Run) -> dict[str, Any]:
    """Return the best of each part in one process."""
    document = json.loads(child.output)
    captions = document["captions"][1:]
    counts = {len(caption["ids"]) for caption in captions}
    if len(counts) != 1 or max(counts) < 2:
        raise ValueError(f"captions of {sorted(counts)} tokens do not compare")
    parts = ("encode_ms", "prefill_ms", "decode_ms")
    return {
        "encode": min(caption["encode_ms"] for caption in captions),
        "prefill": min(caption["prefill_ms"] for caption in captions),
        "token": min(caption["decode_ms"] for caption in captions) / (max(counts) - 1),
        "whole": min(sum(caption[part] for part in parts) for caption in captions),
        "tokens": max(counts),
        "peak_mb": child.peak_bytes / 1e6,
        "dtypes": document.get("dtypes"),
        "note": document.get("note"),
    }


def spread(values: list[float], digits: int) -> str:
    """Return "min / median"."""
    return f"{min(values):.{digits}f} / {statistics.median(values):.{digits}f}"


def main() -> None:
    """Measure and print."""
    rounds, out = int(sys.argv[1]), Path(sys.argv[2])
    commands = dict(argument.split("=", 1) for argument in sys.argv[3:])
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    idle = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for name, command in commands.items():
            idle.append(wait_for_quiet(PATIENCE))
            results[name].append(figures(run(shlex.split(command))))
    out.write_text(json.dumps({"idle": idle, "results": results}) + "\n")
    rows = []
    for name, runs in results.items():
        parts = [
            spread([one[part] for one in runs], digits)
            for part, digits in (("encode", 1), ("prefill", 1), ("token", 2), ("whole", 0))
        ]
        rows.append([name, *parts, f"{min(one['peak_mb'] for one in runs):.0f}"])
    header = ["caption", "encode, ms", "prefill, ms", "ms per token", "whole, ms", "peak MB"]
    print(table(header, rows), end="\n\n")
    tokens = max(one["tokens"] for runs in results.values() for one in runs)
    print(f"Min / median of {rounds} processes each, in turns, {tokens} tokens; {cpu_name()}.")
    print(f"The machine was {100 * statistics.median(idle):.0f} % idle before a process (median).")
    for note in {one["note"]: None for runs in results.values() for one in runs if one["note"]}:
        print(note)
    ours, *others = results
    for theirs in others:
        encodes = all(one["encode"] > 0 for one in results[theirs])
        for part in ("whole", "prefill", "token") if encodes else ("prefill", "token"):
            mine, other = ([one[part] for one in results[name]] for name in (ours, theirs))
            pairs = [b / a for a, b in zip(mine, other, strict=True)]
            print(
                f"{part}: {ours} is {min(other) / min(mine):.2f} times as fast as {theirs} by "
                f"least times, {statistics.median(pairs):.2f} by the median of the rounds."
            )


if __name__ == "__main__":
    main()
