"""Time whole captions of a vision graph and a decoder in one process with plain onnxruntime.

usage: caption_loop.py VISION.onnx DECODER.onnx [--embeddings model.npy] [--cache returned|shared]

Prints one JSON line with the same names as `lorapress caption --json`. `returned`: the cache goes
in and comes out as arrays, as most loops do. `shared`: onnxruntime-genai's own way, one buffer per
key and value of the greatest length, bound once, past and present at once; only a graph that takes
the number of past positions from its attention_mask can do this.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from decode_loop import PREFIX, Decoder, Timer, open_session


class SharedDecoder(Decoder):
    """The same with cache buffers that are bound once per caption and written in place."""

    def generate(self, prefix: np.ndarray, tokens: int, prefill: Timer, step: Timer) -> list[int]:
        """Return the greedy tokens; the first call is timed as prefill, the others as steps."""
        heads, _, width = self.empty.shape[1:]
        shape = [1, heads, PREFIX + tokens, width]
        binding = self.session.io_binding()
        with prefill:
            for name in self.past:
                buffer = ort.OrtValue.ortvalue_from_shape_and_type(shape, self.cache_dtype)
                binding.bind_ortvalue_input(name, buffer)
                present = name.replace("past_key_values", "present")
                binding.bind_ortvalue_output(present, buffer)
            token = self._call(binding, prefix, [], 0)
        ids, past_length = [token], PREFIX
        for _ in range(tokens - 1):
            with step:
                ids.append(self._call(binding, prefix, ids[-1:], past_length))
            past_length += 1
        return ids

    def _call(
        self, binding: ort.IOBinding, prefix: np.ndarray, ids: list[int], past_length: int
    ) -> int:
        """Run once and return the likeliest token."""
        for name, value in self.feed(prefix, ids, past_length).items():
            binding.bind_cpu_input(name, value)
        binding.bind_output("logits")
        self.session.run_with_iobinding(binding)
        logits = next(v for v in binding.get_outputs() if len(v.shape()) == 3)
        return int(logits.numpy()[0, -1].argmax())


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("vision", type=Path)
    parser.add_argument("decoder", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--cache", choices=["returned", "shared"], default="returned")
    parser.add_argument("--kv-heads", type=int, default=3)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    vision = open_session(arguments.vision, arguments.threads, None)
    session = open_session(arguments.decoder, arguments.threads, None)
    table = np.load(arguments.embeddings) if arguments.embeddings else None
    kind = SharedDecoder if arguments.cache == "shared" else Decoder
    decoder = kind(session, table, (arguments.kv_heads, 0, arguments.head_dim))
    port = vision.get_inputs()[0]
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, *port.shape[1:])).astype(np.float32)
    captions = []
    for _ in range(arguments.runs):
        encode, prefill, step = Timer(), Timer(), Timer()
        with encode:
            prefix = vision.run(None, {port.name: pixels})[0]
        ids = decoder.generate(prefix, arguments.tokens, prefill, step)
        captions.append(
            {
                "ids": ids,
                "encode_ms": encode.wall[0],
                "prefill_ms": prefill.wall[0],
                "decode_ms": sum(step.wall),
            }
        )
    print(json.dumps({"captions": captions}))


if __name__ == "__main__":
    main()
