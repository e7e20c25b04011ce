"""Makes tests/goldens/int8: weights as onnxruntime.quantization quantizes them to int8.

Symmetric, per channel and per tensor, in the full range and in the reduced one.

Not part of run.sh, since nothing else here needs ONNX Runtime's Python package:
    python -m pip install numpy onnx onnxruntime safetensors && python tests/oracle/make_int8.py
Made with onnxruntime 1.32.0, numpy 2.4.6.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization.quant_utils import quantize_data
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent


def quantized(weight: np.ndarray, reduced: bool) -> tuple[np.ndarray, np.ndarray]:
    """One tensor with one scale."""
    _, scale, values = quantize_data(
        weight, onnx.TensorProto.INT8, symmetric=True, reduce_range=reduced
    )
    return np.asarray(values, np.int8), np.asarray(scale, np.float32)


def weights() -> dict[str, tuple[np.ndarray, bool]]:
    """Name -> weight [out, in] and whether every row has its own scale."""
    rng = np.random.Generator(np.random.PCG64(7))
    normal = rng.standard_normal((24, 65), dtype=np.float32) * np.float32(0.05)
    spread = normal * np.exp2(rng.integers(-20, 20, (24, 1))).astype(np.float32)
    zero_row = normal[:6].copy()
    zero_row[2] = 0
    ties = np.tile(np.arange(-127, 128, dtype=np.float32) / 2, (3, 1))
    ties[:, 0] = 127  # a scale of exactly 1
    return {
        "normal": (normal, True),
        "spread": (spread, True),
        "zero_row": (zero_row, True),
        "ties": (ties, True),
        "per_tensor": (normal, False),
    }


def main() -> None:
    """Writes the golden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "goldens" / "int8")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, (weight, per_channel) in weights().items():
        tensors[f"{name}/weight"] = weight
        for part, reduced in (("full", False), ("reduced", True)):
            rows = [quantized(row, reduced) for row in (weight if per_channel else [weight])]
            tensors[f"{name}/quantized_{part}"] = np.stack([row[0] for row in rows]).reshape(
                weight.shape
            )
            tensors[f"{name}/scale_{part}"] = np.stack([row[1] for row in rows]).reshape(-1)
    save_file(tensors, out / "golden.safetensors")


if __name__ == "__main__":
    main()
