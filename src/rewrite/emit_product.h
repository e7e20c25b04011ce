// What is around a product when the product itself is replaced.
#ifndef LORAPRESS_REWRITE_EMIT_PRODUCT_H_
#define LORAPRESS_REWRITE_EMIT_PRODUCT_H_

#include <functional>
#include <string>

#include "rewrite/rewrite.h"

namespace lorapress {

// alpha and beta * C of a Gemm or FusedMatMul. `product` turns A into the value of the given name, in
// the type `made`; what comes behind it is appended. The result has the type of the weight. Factors
// that float16 cannot hold are applied in float32.
//
//  A ── product ── (Mul alpha) ── (Add (C (Mul beta))) ── (Cast) ── Y
void emit_product(Rewriter& graph,
                  const onnx::NodeProto& node,
                  DType made,
                  const std::function<void(const std::string& output)>& product,
                  NodeList& nodes);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_EMIT_PRODUCT_H_
