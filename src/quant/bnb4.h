// The two weight tensors of MatMulBnb4 for one lazy matrix: 4-bit NormalFloat
// (onnxruntime/contrib_ops/cpu/quantization/blockwise_quant_block_bnb4.h).
#ifndef LORAPRESS_QUANT_BNB4_H_
#define LORAPRESS_QUANT_BNB4_H_

#include <string>

#include "weights/weight.h"

namespace lorapress {

// Blocks run over the flattened matrix [N, K] and may cross the ends of rows. Each restored value
// is one of 16 levels times the largest magnitude of its block. Both tensors form one WeightGroup.
// `name` is the matrix's name in the graph. Reading throws kInvalidFile for values that are not
// finite.
struct Bnb4Weights {
  WeightPtr packed;  // uint8 [ceil(N * K / 2)], the first value in the high half
  WeightPtr absmax;  // [ceil(N * K / block_size)], in the matrix's dtype
};
Bnb4Weights quantize_bnb4(const std::string& name, WeightPtr matrix, int64_t block_size);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_BNB4_H_
