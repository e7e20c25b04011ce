// Weights in 8 bits, quantized while they are read.
#ifndef LORAPRESS_QUANT_INT8_WEIGHT_H_
#define LORAPRESS_QUANT_INT8_WEIGHT_H_

#include <string>
#include <vector>

#include "quant/weight_scan.h"

namespace lorapress {

// A weight w of rank 2, float32 or float16, as int8 or uint8:
//
//   q = round_half_even(w / scale) + zero_point,   zero_point = 0 (int8) or 128 (uint8)
//
// with one scale for the whole weight, for each row or for each column. Returns a QuantizedWeight,
// or a transposed view of one. `name` is the weight's name in the graph. Throws kInvalidArgument
// where the rank is not 2 or the number of scales does not fit. REQUIRES: |w / scale| < 127.5.
WeightPtr quantize_int8(const std::string& name,
                        WeightPtr weight,
                        Channels channels,
                        std::vector<float> scales,
                        DType dtype);

// The symmetric scale max|w| / steps of every channel, as onnxruntime.quantization's
// compute_scale_zp(symmetric=True); 1 where the scale would be below the smallest normal float32.
std::vector<float> int8_scales(const std::vector<float>& magnitudes, int steps);

// The largest |q - zero_point|. ONNX Runtime's kernels for uint8 activations and int8 weights add
// pairs of products in 16 bits where the processor has AVX2 without VNNI, and saturate there; int8
// weights use half the range, so that 2 * 255 * 64 fits (as with ONNX Runtime's own reduce_range).
// Kernels for uint8 weights never saturate, so uint8 weights use the whole range.
constexpr int int8_steps(DType dtype) {
  return dtype == DType::kU8 ? 127 : 64;
}

inline constexpr int kUint8ZeroPoint = 128;

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_INT8_WEIGHT_H_
