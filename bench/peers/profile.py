"""Say where the time of a graph goes: ONNX Runtime's profile of one thread, by operator.

usage: profile.py encoder|decoder MODEL.onnx [--runs N] [--threads N] [--nodes N]

Of every node the least time over all runs counts, and sums are over those: on a busy machine, where
no whole run is undisturbed, they still come out alike. A decoder is run as decode_loop.py runs it;
its first call (prefill) and its later ones (token) are told apart.
"""

from __future__ import annotations

import argparse
import bisect
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from decode_loop import PREFIX, Decoder, Timer, open_session

KERNEL = "_kernel_time"


def call_encoder(session, arguments: argparse.Namespace) -> list[str]:
    """Run the images; return what each run of the session was."""
    port = session.get_inputs()[0]
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, *port.shape[1:])).astype(np.float32)
    for _ in range(arguments.runs):
        session.run(None, {port.name: pixels})
    return ["encode"] * arguments.runs


def call_decoder(session, arguments: argparse.Namespace) -> list[str]:
    """Run a few tokens several times."""
    tokens = 6
    table = np.zeros((1 << 20, arguments.hidden), np.float32)  # of peers; never written, so free
    decoder = Decoder(session, table, (arguments.kv_heads, 0, arguments.head_dim))
    prefix = np.random.default_rng(1).standard_normal((1, PREFIX, arguments.hidden))
    for _ in range(arguments.runs):
        decoder.generate(prefix.astype(np.float32), tokens, Timer(), Timer())
    return (["prefill"] + ["token"] * (tokens - 1)) * arguments.runs


def least_times(profile: Path, calls: list[str]) -> dict[str, dict[str, tuple[str, int]]]:
    """Return, by kind of call and node, its operator and its least microseconds."""
    events = json.loads(profile.read_text())
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    least: dict[str, dict[str, tuple[str, int]]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(KERNEL):
            continue
        call = calls[bisect.bisect_right(starts, event["ts"]) - 1]
        nodes = least.setdefault(call, {})
        name = event["name"].removesuffix(KERNEL)
        known = nodes.get(name, ("", event["dur"]))[1]
        nodes[name] = (event["args"]["op_name"], min(known, event["dur"]))
    return least


def report(call: str, nodes: dict[str, tuple[str, int]], most_nodes: int) -> None:
    """Print the sums by operator, and the slowest nodes."""
    times, counts = Counter(), Counter()
    for operator, time in nodes.values():
        times[operator] += time
        counts[operator] += 1
    print(f"{call}: {sum(times.values()) / 1e3:.2f} ms in {len(nodes)} nodes")
    for operator, time in times.most_common():
        if time >= 10:
            print(f"  {time / 1e3:8.2f} ms  {counts[operator]:4d}  {operator}")
    for name, (_, time) in sorted(nodes.items(), key=lambda n: -n[1][1])[:most_nodes]:
        print(f"  {time / 1e3:8.2f} ms        {name}")


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["encoder", "decoder"])
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--kv-heads", type=int, default=3)
    parser.add_argument("--head-dim", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(arguments.model, arguments.threads, f"{folder}/profile")
        call = call_encoder if arguments.kind == "encoder" else call_decoder
        calls = call(session, arguments)
        least = least_times(Path(session.end_profiling()), calls)
    for name, nodes in least.items():
        report(name, nodes, arguments.nodes)


if __name__ == "__main__":
    main()
