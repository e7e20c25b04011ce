"""Time one graph in one process with plain onnxruntime: the same loop for every peer.

usage: decode_loop.py decoder|encoder MODEL.onnx [--embeddings model.npy] [--runs N] [--tokens N]

Prints one JSON line. A decoder is run as it is meant to be: with input_ids and
encoder_hidden_states (LoraPress), or with inputs_embeds and attention_mask (the other builders),
whose embeddings are looked up here.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

PREFIX = 196


def open_session(path: Path, threads: int, profile: str | None) -> ort.InferenceSession:
    """Open the graph with default optimizations and the given number of threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def now_ms() -> float:
    """Return a monotonic time in milliseconds."""
    return time.perf_counter() * 1e3


class Timer:
    """Wall and CPU time of one call; with one thread, CPU time stands even on a busy machine."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __enter__(self) -> Timer:
        """Start."""
        self._start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        """Note both times."""
        wall, cpu = self._start
        self.wall.append((time.perf_counter() - wall) * 1e3)
        self.cpu.append((time.process_time() - cpu) * 1e3)

    def report(self, name: str) -> dict[str, list[float]]:
        """Return both lists under the name of the call."""
        return {f"{name}_ms": self.wall, f"{name}_cpu_ms": self.cpu}


class Decoder:
    """A decoder graph and the inputs it wants."""

    def __init__(
        self,
        session: ort.InferenceSession,
        table: np.ndarray | None,
        cache_shape: tuple[int, int, int],
    ) -> None:
        """Read the names of the cache from the graph's inputs."""
        self.session = session
        self.table = table
        inputs = {port.name: port for port in session.get_inputs()}
        self.names = set(inputs)
        self.past = [name for name in inputs if name.startswith("past_key_values")]
        self.outputs = [
            "logits",
            *(name.replace("past_key_values", "present") for name in self.past),
        ]
        half = self.past and inputs[self.past[0]].type == "tensor(float16)"
        self.cache_dtype = np.float16 if half else np.float32
        self.empty = np.zeros((1, *cache_shape), self.cache_dtype)

    def feed(self, prefix: np.ndarray, ids: list[int], past_length: int) -> dict[str, np.ndarray]:
        """Return the inputs of one call: the prefix first, one token later."""
        if "encoder_hidden_states" in self.names:
            return {"input_ids": np.array([ids], np.int64), "encoder_hidden_states": prefix}
        embeds = prefix if past_length == 0 else self.table[ids][None]
        total = past_length + embeds.shape[1]
        feed = {"inputs_embeds": embeds, "attention_mask": np.ones((1, total), np.int64)}
        if "position_ids" in self.names:
            feed["position_ids"] = np.arange(past_length, total, dtype=np.int64)[None]
        return feed

    def generate(self, prefix: np.ndarray, tokens: int, prefill: Timer, step: Timer) -> list[int]:
        """Return the greedy tokens; the first call is timed as prefill, the others as steps."""
        cache = [self.empty] * len(self.past)
        ids, past_length = [0], 0
        for _ in range(tokens):
            feed = self.feed(prefix, ids[-1:], past_length)
            feed.update(zip(self.past, cache, strict=True))
            with step if past_length else prefill:
                logits, *cache = self.session.run(self.outputs, feed)
                ids.append(int(logits[0, -1].argmax()))
            past_length = cache[0].shape[2]
        return ids[1:]


def time_decoder(session: ort.InferenceSession, arguments: argparse.Namespace) -> dict[str, object]:
    """Time generations after one warm-up."""
    table = np.load(arguments.embeddings, mmap_mode="r") if arguments.embeddings else None
    decoder = Decoder(session, table, (arguments.kv_heads, 0, arguments.head_dim))
    width = arguments.hidden
    prefix = np.random.default_rng(1).standard_normal((1, PREFIX, width)).astype(np.float32)
    decoder.generate(prefix, 5, Timer(), Timer())
    prefill, step, ids = Timer(), Timer(), []
    for _ in range(arguments.runs):
        ids = decoder.generate(prefix, arguments.tokens, prefill, step)
    return {**prefill.report("prefill"), **step.report("token"), "ids": ids}


def time_encoder(session: ort.InferenceSession, arguments: argparse.Namespace) -> dict[str, object]:
    """Time single images after one warm-up."""
    port = session.get_inputs()[0]
    size = (1, *port.shape[1:])
    pixels = np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)
    session.run(None, {port.name: pixels})
    timer = Timer()
    for _ in range(arguments.runs * 3):
        with timer:
            features = session.run(None, {port.name: pixels})[0]
    return {**timer.report("encode"), "mean": float(np.abs(features).mean())}


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["decoder", "encoder"])
    parser.add_argument("model", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--kv-heads", type=int, default=3)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=31)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile")
    arguments = parser.parse_args()
    start = now_ms()
    session = open_session(arguments.model, arguments.threads, arguments.profile)
    load = now_ms() - start
    result = (time_decoder if arguments.kind == "decoder" else time_encoder)(session, arguments)
    if arguments.profile:
        result["profile"] = session.end_profiling()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"load_ms": load, "peak_bytes": peak, **result}))


if __name__ == "__main__":
    main()
