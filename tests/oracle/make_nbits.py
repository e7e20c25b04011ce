"""Goldens of onnxruntime's own 4-bit quantizers: small matrices for MatMulNBits and MatMulBnb4.

Needs onnxruntime, which train/requirements.txt does not have; bench/peers/requirements.txt does.
Usage: make_nbits.py [--out tests/goldens/nbits]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import _pybind_state as native
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
# Name, inputs K, outputs N, block size. K that blocks do not divide, an odd number of blocks.
CASES = (
    ("even", 64, 5, 32),
    ("ragged", 40, 3, 16),
    ("one", 24, 2, 32),
    ("wide", 320, 2, 128),
)
NF4 = 1


def matrix(seed: int, inputs: int, outputs: int) -> np.ndarray:
    """Return weights [K, N] with an outlier, a column of zeros and halves that round away."""
    generator = np.random.Generator(np.random.PCG64(seed))
    values = generator.standard_normal((inputs, outputs)).astype(np.float32)
    values[3, 0] = 9.0
    values[:, -1] = 0.0
    values[:16, 1] = np.arange(-8, 8, dtype=np.float32) * 0.5
    return values


def main() -> None:
    """Quantize every case and write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "tests/goldens/nbits")
    out = parser.parse_args().out
    tensors: dict[str, np.ndarray] = {}
    for seed, (name, inputs, outputs, size) in enumerate(CASES):
        values = matrix(seed, inputs, outputs)
        tensors[f"{name}/{size}/matrix"] = np.ascontiguousarray(values.T)
        blocks = -(-inputs // size)
        for symmetric in (True, False):
            packed = np.zeros((outputs, blocks, size // 2), dtype=np.uint8)
            scales = np.zeros(outputs * blocks, dtype=np.float32)
            zeros = np.zeros(outputs * ((blocks + 1) // 2), dtype=np.uint8)
            native.quantize_matmul_4bits(
                packed, values, scales, zeros, size, outputs, inputs, symmetric
            )
            kind = "symmetric" if symmetric else "asymmetric"
            tensors[f"{name}/{size}/{kind}/packed"] = packed
            tensors[f"{name}/{size}/{kind}/scales"] = scales
            if not symmetric:
                tensors[f"{name}/{size}/{kind}/zero_points"] = zeros
        count = inputs * outputs
        packed = np.zeros((count + 1) // 2, dtype=np.uint8)
        absmax = np.zeros(-(-count // size), dtype=np.float32)
        turned = np.ascontiguousarray(values.T)
        native.quantize_matmul_bnb4(packed, turned, absmax, size, NF4, outputs, inputs)
        tensors[f"{name}/{size}/bnb4/packed"] = packed
        tensors[f"{name}/{size}/bnb4/absmax"] = absmax
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "nbits.safetensors", {"onnxruntime": onnxruntime.__version__})


if __name__ == "__main__":
    main()
