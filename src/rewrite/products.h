// Rewrites forms of a product that no scheme quantizes into forms that schemes quantize.
#ifndef LORAPRESS_REWRITE_PRODUCTS_H_
#define LORAPRESS_REWRITE_PRODUCTS_H_

#include <string>

#include "rewrite/rewrite.h"

namespace lorapress {

// Main graph and bodies; excluded names, and weights below kSmallTensor, are not changed:
//  - MatMul and FusedMatMul of a weight [1, ..., K, N] take [K, N]; an Unsqueeze behind them gives
//    the leading ones where the left side has fewer dimensions. A vector on the left becomes a row.
//  - Gemm and FusedMatMul with transA get a Transpose before them.
//  - Attention of com.microsoft becomes a product, Split and MultiHeadAttention, past and present
//    as its keys and values.
void expand_products(Model& model, const SchemeOptions& options);

// Why an Attention stays one node; empty where expand_products() takes it.
std::string attention_obstacle(const Rewriter& graph, const onnx::NodeProto& node);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_PRODUCTS_H_
