// The constant matrices of a model: which one a node reads, in which orientation, whether it may be
// replaced, and why not.
#ifndef LORAPRESS_REWRITE_CONSTANT_MATRICES_H_
#define LORAPRESS_REWRITE_CONSTANT_MATRICES_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rewrite/rewrite.h"

namespace lorapress {

// How one node reads a constant matrix of float32 or float16.
struct MatrixUse {
  enum class Kind { kProduct, kLookup };  // MatMul, Gemm, FusedMatMul; Gather of rows
  Kind kind;
  std::string weight;
  bool rows_are_outputs;  // the weight is [outputs, inputs]: transB, Gather
  // What some schemes have no form for.
  bool vector_left = false;       // a product whose left side has one dimension
  bool unranked_indices = false;  // a lookup by indices of unknown rank
  bool constant_indices = false;  // a lookup of the same rows each time
};

// Empty for every other node, and for forms without a counterpart (transA, an axis other than 0).
// expand_products() has made some others into these.
std::optional<MatrixUse> matrix_use(const Rewriter& graph, const onnx::NodeProto& node);

// A weight and all of its uses together.
struct ConstantMatrix {
  WeightPtr weight;
  bool rows_are_outputs = false;
  size_t products = 0;  // none with a vector on the left
  size_t lookups = 0;
  bool unranked_indices = false;  // of any lookup
  bool constant_indices = false;
  // Nothing else needs the weight: every reader is a product or a lookup, all of them in one
  // orientation, and neither the weight nor a reader is excluded.
  bool replaceable = false;
};

class ConstantMatrices {
 public:
  // As the graph is now. REQUIRES: both outlive this.
  ConstantMatrices(const Rewriter& graph, const SchemeOptions& options);

  // By name: the weights that some node uses.
  [[nodiscard]] const std::map<std::string, ConstantMatrix>& uses() const { return uses_; }

  // A scheme's own reason to leave a matrix alone. Others follow from the nodes that read it.
  void because(const std::string& weight, std::string reason);
  // All matrices but those in `replaced`, a map by weight, with the reasons. Counted are constants
  // of floats that are as large as kSmallTensor, have two dimensions above 1 and are read by
  // something else than arithmetic of single values, norms and comparisons.
  template <typename Replaced>
  [[nodiscard]] std::vector<KeptMatrix> kept(const Replaced& replaced) const {
    std::vector<KeptMatrix> kept;
    for (const auto& [name, matrix] : reasons_) {
      if (!replaced.contains(name)) {
        const std::string& reason = matrix.reason;
        kept.push_back({matrix.name, reason.empty() ? "read both ways round" : reason});
      }
    }
    return kept;
  }

 private:
  void count(const onnx::NodeProto& node);
  void look_at(const onnx::NodeProto& node, int input);

  const Rewriter& graph_;
  const SchemeOptions& options_;
  std::map<std::string, ConstantMatrix> uses_;
  // The name is that of the first node that tells why, or the weight's own; the reason is empty as
  // long as nothing speaks against the matrix.
  std::map<std::string, KeptMatrix> reasons_;
  std::map<std::string, std::string> beside_;  // operators that read a weight as single values
};

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_CONSTANT_MATRICES_H_
