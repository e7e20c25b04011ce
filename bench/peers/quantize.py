"""Time `lorapress quantize` and ONNX Runtime's Python tools on the same .onnx files, in turns.

usage: quantize.py PROGRAM ROUNDS OUT.json GRAPH.onnx...
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from children import Run, clear, cpu_name, folder_bytes, run, say, wait_for_quiet  # noqa: E402
from report import table  # noqa: E402

PATIENCE = 20.0
# Their scheme -> our options.
SCHEMES = {
    "uint8-pre": ["--dtype", "uint8", "--per-tensor"],
    "uint8": ["--dtype", "uint8", "--per-tensor"],
    "fp16": ["--dtype", "fp16"],
    "q4": ["--dtype", "q4", "--rounding", "nearest"],
    "q4, search": ["--dtype", "q4", "--rounding", "search"],
}


def one(command: list[Any], out: Path) -> tuple[Run, int]:
    """Run one tool into an empty folder; return what it took and wrote."""
    clear(out)
    out.mkdir()
    result = run([*command, out / "out.onnx"])
    return result, folder_bytes(out)


def compare(program: str, scheme: str, graph: Path, rounds: int, out: Path) -> dict[str, Any]:
    """Alternate both tools."""
    peer_command = [sys.executable, HERE / "quantize_peer.py", scheme.split(",")[0], graph]
    # OUT comes last for both.
    our_command = [program, "quantize", *SCHEMES[scheme], graph]
    theirs, ours = [], []
    for _ in range(rounds):
        wait_for_quiet(PATIENCE)
        theirs.append(one(peer_command, out))
        ours.append(one(our_command, out))
    clear(out)

    def summary(runs: list[tuple[Run, int]]) -> dict[str, float]:
        return {
            "min_s": min(step.seconds for step, _ in runs),
            "median_s": statistics.median(step.seconds for step, _ in runs),
            "cpu_s": min(step.cpu_seconds for step, _ in runs),
            "peak_mb": max(step.peak_bytes for step, _ in runs) / 1e6,
            "mb": runs[-1][1] / 1e6,
        }

    pairs = [peer.seconds / our.seconds for (peer, _), (our, _) in zip(theirs, ours, strict=True)]
    return {"theirs": summary(theirs), "ours": summary(ours), "times": statistics.median(pairs)}


def main() -> None:
    """Measure and print."""
    program, rounds, target = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    graphs = [Path(name) for name in sys.argv[4:]]
    folder = Path(tempfile.mkdtemp(dir=target.parent))
    rows, results = [], {}
    try:
        for scheme in SCHEMES:
            for graph in graphs:
                say(f"{scheme}, {graph.name}")
                found = compare(program, scheme, graph, rounds, folder / "out")
                results[f"{scheme}/{graph.name}"] = found
                theirs, ours = found["theirs"], found["ours"]
                rows.append(
                    [
                        scheme,
                        graph.name,
                        f"{theirs['min_s']:.2f} / {theirs['median_s']:.2f}",
                        f"{ours['min_s']:.2f} / {ours['median_s']:.2f}",
                        f"{found['times']:.1f}",
                        f"{theirs['peak_mb']:.0f}",
                        f"{ours['peak_mb']:.0f}",
                        f"{theirs['mb']:.1f}",
                        f"{ours['mb']:.1f}",
                    ]
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    header = ["scheme", "graph", "ORT's tools, s", "LoraPress, s", "times faster"]
    print(table([*header, "their peak MB", "our peak MB", "their MB", "our MB"], rows))
    print(f"\nMin / median of {rounds} processes each, in turns; {cpu_name()}.")


if __name__ == "__main__":
    main()
