"""Time several graphs in turns, one process each, and print a table.

usage: compare.py ROUNDS OUT.json NAME=KIND:MODEL[:EMBEDDINGS] ...
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from children import cpu_name, say, wait_for_quiet  # noqa: E402
from report import table  # noqa: E402

THREADS = (2, 1)
PATIENCE = 30.0
KINDS = {"decoder": ("prefill", "token"), "encoder": ("encode",)}


def measure(entry: str, threads: int) -> dict[str, list[float]]:
    """Run one graph in one process."""
    kind, model, *embeddings = entry.split(":")
    command = [sys.executable, str(HERE / "decode_loop.py"), kind, model, "--threads", str(threads)]
    if embeddings:
        command += ["--embeddings", embeddings[0]]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def spread(values: list[float]) -> str:
    """Return "min / median"."""
    return f"{min(values):.1f} / {statistics.median(values):.1f}"


def rows_of(kind: str, results: dict[str, dict[int, list[dict]]]) -> list[list[str]]:
    """Return a row per graph: wall time on two threads, CPU time on one."""
    rows = []
    for name, by_threads in results.items():
        runs = [by_threads[threads] for threads in THREADS]
        if f"{KINDS[kind][0]}_ms" not in runs[0][0]:
            continue
        row = [name]
        for call in KINDS[kind]:
            row.append(spread([t for run in runs[0] for t in run[f"{call}_ms"]]))
            row.append(spread([t for run in runs[1] for t in run[f"{call}_cpu_ms"]]))
        row.append(f"{min(run['load_ms'] for run in runs[0]):.0f}")
        row.append(f"{min(run['peak_bytes'] for run in runs[0]) / 1e6:.0f}")
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    rounds, out = int(sys.argv[1]), Path(sys.argv[2])
    entries = dict(argument.split("=", 1) for argument in sys.argv[3:])
    results: dict[str, dict[int, list[dict]]] = {n: {t: [] for t in THREADS} for n in entries}
    idle = []
    for number in range(rounds):
        for threads in THREADS:
            say(f"round {number + 1} of {rounds}, {threads} threads")
            for name, entry in entries.items():
                idle.append(wait_for_quiet(PATIENCE))
                results[name][threads].append(measure(entry, threads))
    out.write_text(json.dumps({"idle": idle, "results": results}) + "\n")
    for kind, calls in KINDS.items():
        header = [kind]
        for call in calls:
            header += [f"{call}, 2 threads, ms", f"{call}, 1 thread, CPU ms"]
        print(table([*header, "load, ms", "peak MB"], rows_of(kind, results)), end="\n\n")
    print(f"Min / median of {rounds} processes each, in turns; {cpu_name()}.")
    print(f"The machine was {100 * statistics.median(idle):.0f} % idle before a process (median).")
    tokens = {name: tuple(runs[2][0].get("ids", ())) for name, runs in results.items()}
    same = len({ids for ids in tokens.values() if ids}) == 1
    print("All decoders gave the same tokens." if same else f"Tokens differ: {tokens}")


if __name__ == "__main__":
    main()
