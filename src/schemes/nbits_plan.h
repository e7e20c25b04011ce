// Which constant matrices of a model become blocks of 4 bits: those of which every reader is a
// product with them or a lookup of their rows.
#ifndef LORAPRESS_SCHEMES_NBITS_PLAN_H_
#define LORAPRESS_SCHEMES_NBITS_PLAN_H_

#include <map>
#include <optional>
#include <string>

#include "rewrite/rewrite.h"
#include "schemes/matrix_census.h"
#include "schemes/scheme.h"

namespace lorapress {

// How one node reads a constant matrix.
struct MatrixUse {
  enum class Kind { kProduct, kGather };  // MatMul, Gemm, FusedMatMul; Gather
  Kind kind;
  std::string weight;
  bool rows_are_outputs;  // the weight is [outputs, inputs]: transB, Gather
};

// Empty for every other node, and for forms that have no counterpart (transA, axis other than 0,
// constant indices, indices of unknown rank, a vector on the left). expand_products() has made some
// others into these.
std::optional<MatrixUse> matrix_use(const Rewriter& graph, const onnx::NodeProto& node);

struct PlannedMatrix {
  WeightPtr matrix;        // [outputs, inputs]
  bool looked_up = false;  // a Gather reads it too
  bool multiplied = false;
};

// By the name of the weight. Matrices below two blocks, those that would not become half as small,
// excluded ones (by node or weight), and those that something else reads or that are read in both
// orientations are left out. A table that only lookups read is one when it has at least twice as
// many rows as columns; position tables seldom do. The census gets the reasons.
std::map<std::string, PlannedMatrix> plan_matrices(const Rewriter& graph,
                                                   const SchemeOptions& options,
                                                   MatrixCensus& census);

// ActivationStats of the weight; null when there are none.
std::shared_ptr<const ErrorFeedback> feedback_of(const SchemeContext& context,
                                                 const std::string& weight);

// What is around a quantized product: alpha and beta * C of Gemm and FusedMatMul. `product` turns A
// into the value of the given name, in the type `made`; what comes behind it is appended. The
// result has the type of the weight. Factors that float16 cannot hold are applied in float32.
//
//  A ── product ── (Mul alpha) ── (Add (C (Mul beta))) ── (Cast) ── Y
void emit_product(Rewriter& graph,
                  const onnx::NodeProto& node,
                  DType made,
                  const std::function<void(const std::string& output)>& product,
                  NodeList& nodes);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_NBITS_PLAN_H_
