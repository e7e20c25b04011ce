"""Time a GGUF decoder in llama.cpp: 196 positions, then one token after the other.

usage: llama_loop.py MODEL.gguf [--runs N] [--tokens N] [--threads N]

Prints one JSON line with the same names as `lorapress caption --json`; nothing is encoded.
"""

from __future__ import annotations

import argparse
import json

import llama_cpp
import numpy as np
from decode_loop import PREFIX, now_ms


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = llama_cpp.Llama(
        arguments.model,
        n_ctx=PREFIX + arguments.tokens,
        n_batch=512,
        n_threads=arguments.threads,
        n_threads_batch=arguments.threads,
        verbose=False,
    )
    prompt = np.random.default_rng(1).integers(0, model.n_vocab(), PREFIX).tolist()

    def logits() -> np.ndarray:
        values = llama_cpp.llama_get_logits(model.ctx)
        return np.ctypeslib.as_array(values, shape=(model.n_vocab(),))

    captions = []
    for _ in range(arguments.runs):
        model.reset()
        begin = now_ms()
        model.eval(prompt)
        ids = [int(logits().argmax())]
        first = now_ms()
        while len(ids) < arguments.tokens:
            model.eval(ids[-1:])
            ids.append(int(logits().argmax()))
        end = now_ms()
        captions.append(
            {"ids": ids, "encode_ms": 0.0, "prefill_ms": first - begin, "decode_ms": end - first}
        )
    print(json.dumps({"captions": captions}))


if __name__ == "__main__":
    main()
