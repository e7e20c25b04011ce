"""One product as ONNX bytes, and the initializers of a file, read without the onnx package."""

import numpy as np

from test_models import field
from test_quantize import MATMUL, port, tensor


def one_product(matrix: np.ndarray) -> bytes:
    """y = x w, w [inputs, outputs]."""
    inputs, outputs = matrix.shape
    graph = field(1, MATMUL) + field(2, b"g")
    graph += field(5, tensor(b"w", (inputs, outputs), field(9, matrix.tobytes())))
    graph += field(11, port(b"x", 2, inputs)) + field(12, port(b"y", 2, outputs))
    return field(1, 8) + field(8, field(1, b"") + field(2, 17)) + field(7, graph)


def _number(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(data: memoryview):
    """(number, value) of each field; value is bytes where it has a length."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _number(data, at)
        elif kind == 2:
            size, at = _number(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def initializers(model: bytes) -> dict[str, bytes]:
    """Name to raw_data."""
    (graph,) = (v for k, v in _fields(memoryview(model)) if k == 7)
    found = {}
    for kind, tensor_bytes in _fields(graph):
        if kind == 5:
            parts = dict(_fields(tensor_bytes))
            found[bytes(parts[8]).decode()] = bytes(parts.get(9, b""))
    return found
