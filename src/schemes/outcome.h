// Reports the matrices that a scheme did not quantize.
#ifndef LORAPRESS_SCHEMES_OUTCOME_H_
#define LORAPRESS_SCHEMES_OUTCOME_H_

#include <string>

#include "rewrite/constant_matrices.h"
#include "schemes/scheme.h"

namespace lorapress {

// Fills context.outcome, unless it is null. `quantized` is a map by weight, `form` the new form of
// its matrices, such as "8 bit".
template <typename Quantized>
void note_outcome(const SchemeContext& context,
                  std::string_view form,
                  const ConstantMatrices& matrices,
                  const Quantized& quantized) {
  if (context.outcome != nullptr) {
    *context.outcome = {
        !quantized.empty(), static_cast<int64_t>(quantized.size()), matrices.kept(quantized), form};
  }
}

// "/a, /b (the constant is on the left); /c (read by Conv)"; empty where no matrix is kept.
std::string describe_kept(const SchemeOutcome& outcome);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_OUTCOME_H_
