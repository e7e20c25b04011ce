// 4-bit NormalFloat weights for MatMulBnb4: dtype bnb4.
#ifndef LORAPRESS_SCHEMES_BNB4_H_
#define LORAPRESS_SCHEMES_BNB4_H_

#include <string>

#include "schemes/scheme.h"

namespace lorapress {

// The two tensors of MatMulBnb4 (onnxruntime/contrib_ops/cpu/quantization/
// blockwise_quant_block_bnb4.h). Blocks run over the flattened matrix [N, K] and pass the ends of
// rows; each value is one of 16 levels times the largest magnitude of its block.
struct Bnb4Weights {
  WeightPtr packed;  // uint8 [ceil(N * K / 2)], the first value in the high half
  WeightPtr absmax;  // [ceil(N * K / block_size)], in the matrix's dtype
};
Bnb4Weights quantize_bnb4(const std::string& name, WeightPtr matrix, int64_t block_size);

// Products with constant matrices; tables that are looked up stay as they are, with the product
// that shares them.
void apply_bnb4(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_BNB4_H_
