"""Rounding in training is the program's own, bit for bit."""

import unittest

import numpy as np
import torch

from harness import Case
from onnx_bytes import initializers, one_product
from train.tune.qat import BLOCK, is_rounded, rounded, straight_through


class Rounding(Case):
    """Against `lorapress quantize --dtype q4` of one product."""

    def program(self, matrix: np.ndarray) -> np.ndarray:
        """[outputs, inputs] as the program's integers and scales restore it."""
        source, made = self.tmp / "in.onnx", self.tmp / "made.onnx"
        source.write_bytes(one_product(matrix.T.copy()))
        self.succeed("quantize", source, made, "--dtype", "q4", "--force")
        found = initializers(made.read_bytes())
        (packed,) = (v for k, v in found.items() if k.endswith("_Q4"))
        (scales,) = (v for k, v in found.items() if k.endswith("_scales"))
        outputs, inputs = matrix.shape
        packed = np.frombuffer(packed, np.uint8).reshape(outputs, -1, BLOCK // 2)
        integers = np.stack([packed & 15, packed >> 4], -1).reshape(outputs, -1, BLOCK)
        scales = np.frombuffer(scales, np.float32).reshape(outputs, -1, 1)
        restored = (integers.astype(np.float32) - np.float32(8)) * scales
        return restored.reshape(outputs, -1)[:, :inputs]

    def test_equal_to_the_program(self):
        rng = np.random.default_rng(self.random.randrange(1 << 32))
        for outputs, inputs in ((64, 64), (48, 96), (33, 80), (16, 257)):
            for gain in (1e-3, 1.0, 300.0):
                with self.subTest(outputs=outputs, inputs=inputs, gain=gain):
                    matrix = (gain * rng.standard_normal((outputs, inputs))).astype(np.float32)
                    matrix[0, :BLOCK] = 0.0
                    matrix[1, :4] = (7.5, -8.0, 0.5, -0.5)  # halves
                    self.assertTrue(is_rounded(outputs, inputs))
                    own = rounded(torch.from_numpy(matrix)).numpy()
                    np.testing.assert_array_equal(own, self.program(matrix))

    def test_gradient_passes(self):
        matrix = torch.randn(8, 64, requires_grad=True)
        straight_through(matrix).sum().backward()
        self.assertTrue(torch.equal(matrix.grad, torch.ones(8, 64)))


if __name__ == "__main__":
    unittest.main()
