"""Quantize one .onnx file with ONNX Runtime's own Python tools, as their users do.

usage: quantize_peer.py SCHEME IN.onnx OUT.onnx      SCHEME: uint8-pre | uint8 | fp16 | q4
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

# Imports stand in the functions: a process pays only for the tool that it uses.


def dynamic(source: str, target: str) -> None:
    """Dynamic 8 bit with unsigned weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)


def preprocessed(source: str, target: str) -> None:
    """The same behind shape inference and graph optimization, as the tool itself advises."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
        ready = str(Path(folder) / "ready.onnx")
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        dynamic(ready, target)


def float16(source: str, target: str) -> None:
    """Half precision with float32 inputs and outputs."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def four_bit(source: str, target: str) -> None:
    """MatMulNBits, symmetric, blocks of 32."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True)
    quantizer.process()
    onnx.save(quantizer.model.model, target)


SCHEMES = {"uint8-pre": preprocessed, "uint8": dynamic, "fp16": float16, "q4": four_bit}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    SCHEMES[sys.argv[1]](sys.argv[2], sys.argv[3])
