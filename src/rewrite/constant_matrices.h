// The constant matrices of a model: which matrix a node reads, in which orientation, whether the
// matrix may be replaced, and if not, why.
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
  // Properties that some schemes cannot express.
  bool vector_left = false;       // a product whose left side has one dimension
  bool unranked_indices = false;  // a lookup by indices of unknown rank
  bool constant_indices = false;  // a lookup of the same rows each time
};

// Empty for every other node, and for forms without a counterpart (transA, an axis other than 0).
// expand_products() rewrites some other forms into these.
std::optional<MatrixUse> matrix_use(const Rewriter& graph, const onnx::NodeProto& node);

// A weight and all of its uses together.
struct ConstantMatrix {
  WeightPtr weight;
  bool rows_are_outputs = false;
  size_t products = 0;  // without those with a vector on the left
  size_t lookups = 0;
  bool unranked_indices = false;  // of any lookup
  bool constant_indices = false;
  // Nothing else needs the weight: every reader is a product or a lookup, all of them in one
  // orientation, and neither the weight nor a reader is excluded.
  bool replaceable = false;
};

class ConstantMatrices {
 public:
  // Analyses the graph as it is now. REQUIRES: both references outlive this object.
  ConstantMatrices(const Rewriter& graph, const SchemeOptions& options);

  // By name: the weights that some node reads as a matrix.
  [[nodiscard]] const std::map<std::string, ConstantMatrix>& uses() const { return uses_; }

  // Records a scheme's own reason for keeping a matrix. Other reasons follow from the nodes that
  // read the matrix.
  void add_reason(const std::string& weight, std::string reason);
  // All matrices except those in `replaced` (a map by weight), with the reasons for keeping them. A
  // matrix here is a float constant that has at least kSmallTensor bytes and two dimensions above
  // 1, and is read by other nodes than elementwise arithmetic, norms and comparisons.
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
  void examine(const onnx::NodeProto& node, int input);

  const Rewriter& graph_;
  const SchemeOptions& options_;
  std::map<std::string, ConstantMatrix> uses_;
  // The name is that of the first node that gives a reason, or the weight's own; the reason is
  // empty as long as nothing prevents a replacement.
  std::map<std::string, KeptMatrix> reasons_;
  std::map<std::string, std::string> beside_;  // operators that read a weight as single values
};

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_CONSTANT_MATRICES_H_
