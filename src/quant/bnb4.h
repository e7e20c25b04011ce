// The two tensors of MatMulBnb4 over one lazy matrix: 4-bit NormalFloat
// (onnxruntime/contrib_ops/cpu/quantization/blockwise_quant_block_bnb4.h).
#ifndef LORAPRESS_QUANT_BNB4_H_
#define LORAPRESS_QUANT_BNB4_H_

#include <string>

#include "weights/weight.h"

namespace lorapress {

// Blocks run over the flattened matrix [N, K] and pass the ends of rows; each value is one of 16
// levels times the largest magnitude of its block. Both tensors are one WeightGroup.
struct Bnb4Weights {
  WeightPtr packed;  // uint8 [ceil(N * K / 2)], the first value in the high half
  WeightPtr absmax;  // [ceil(N * K / block_size)], in the matrix's dtype
};
Bnb4Weights quantize_bnb4(const std::string& name, WeightPtr matrix, int64_t block_size);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_BNB4_H_
