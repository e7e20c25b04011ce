// The constant matrices of a model and why those that a scheme leaves alone are left alone.
#ifndef LORAPRESS_SCHEMES_MATRIX_CENSUS_H_
#define LORAPRESS_SCHEMES_MATRIX_CENSUS_H_

#include <map>
#include <set>
#include <string>

#include "rewrite/rewrite.h"
#include "schemes/scheme.h"

namespace lorapress {

// Counts constants of floats that are as large as kSmallTensor, have two dimensions above 1 and are
// read by something else than arithmetic of single values, norms and comparisons: what products,
// convolutions, recurrences and lookups read.
class MatrixCensus {
 public:
  MatrixCensus(const Rewriter& graph, const SchemeOptions& options);

  // A pass's own reason. Others follow from the nodes that read the matrix.
  void because(const std::string& weight, std::string reason);
  // Tells the outcome, where the context has one: all matrices but those of the given names are
  // kept. `form` is what they are not in, such as "8 bit".
  template <typename Tables>
  void report(const SchemeContext& context, std::string_view form, const Tables& quantized) const {
    std::set<std::string> names;
    for (const auto& [name, table] : quantized) {
      names.insert(name);
    }
    tell(context, form, names);
  }

 private:
  struct Matrix {
    std::string label;   // of the first node that tells why, or the weight's own
    std::string reason;  // empty as long as nothing speaks against it
  };

  void look_at(const Rewriter& graph, const onnx::NodeProto& node, int input);
  void tell(const SchemeContext& context,
            std::string_view form,
            const std::set<std::string>& quantized) const;

  const SchemeOptions& options_;
  std::map<std::string, Matrix> matrices_;
  std::map<std::string, std::string> beside_;  // operators that read a weight as single values
};

// "/a, /b (the constant is on the left); /c (read by Conv)"; empty where none is kept.
std::string describe_kept(const SchemeOutcome& outcome);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_MATRIX_CENSUS_H_
