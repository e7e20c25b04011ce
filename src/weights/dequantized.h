// Weights that bitsandbytes stored in 4 or 8 bits, restored to the floats that it computes with.
// Formulas follow bitsandbytes/backends/default/ops.py (dequantize_blockwise,
// int8_vectorwise_dequant) and functional.py (QuantState, dequantize_4bit); each value is computed
// in float32 and rounded once.
#ifndef LORAPRESS_WEIGHTS_DEQUANTIZED_H_
#define LORAPRESS_WEIGHTS_DEQUANTIZED_H_

#include "weights/weight.h"

namespace lorapress {

// QLoRA's double quantization (Dettmers et al. 2023): the scales are stored as 8-bit codes, too.
//   scale[i] = map[code[i]] * absmax[i / block] + offset
struct NestedScales {
  WeightPtr absmax;        // float32, one for each block of codes
  std::vector<float> map;  // [256]
  int64_t block = 256;
  float offset = 0.0F;
};

// NF4 or FP4:  w[i] = map[code[i]] * scale[i / block] over the row-major elements, two codes in a
// byte, the first in the high half.
struct FourBit {
  WeightPtr packed;        // any dtype; its bytes are the codes
  WeightPtr scales;        // float32, or uint8 codes where `nested` is set
  std::vector<float> map;  // [16]
  int64_t block = 64;
  std::optional<NestedScales> nested;
};

// A lazy weight of a float dtype. Throws kInvalidFile where the numbers of codes, scales or map
// entries do not fit the shape and the block sizes.
WeightPtr from_four_bit(FourBit parts, DType dtype, Shape shape);

// LLM.int8() (Dettmers et al. 2022):  w[i][j] = codes[i][j] * row_max[i] / 127 for codes int8 [n,
// k] and row_max float32 [n], in float32. Throws kInvalidFile where dtypes or shapes do not fit.
WeightPtr from_int8_rows(WeightPtr codes, WeightPtr row_max);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_DEQUANTIZED_H_
