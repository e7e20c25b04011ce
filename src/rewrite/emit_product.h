// Emits the nodes around a product whose MatMul is replaced.
#ifndef LORAPRESS_REWRITE_EMIT_PRODUCT_H_
#define LORAPRESS_REWRITE_EMIT_PRODUCT_H_

#include <functional>
#include <string>

#include "rewrite/rewrite.h"

namespace lorapress {

// Emits alpha and beta * C of a Gemm or FusedMatMul. `product` emits nodes that compute the product
// into the value of the given name, in the type `made`; the nodes behind the product are appended
// to `nodes`. The result has the type of the weight. Factors that float16 cannot hold are applied
// in float32.
//
//  A ── product ── (Mul alpha) ── (Add (C (Mul beta))) ── (Cast) ── Y
void emit_product(Rewriter& graph,
                  const onnx::NodeProto& node,
                  DType made,
                  const std::function<void(const std::string& output)>& product,
                  NodeList& nodes);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_EMIT_PRODUCT_H_
