// GPTQ-style rounding: the error made on one input's weight is compensated in the weights that are
// not yet rounded, in proportion to how correlated their inputs are. This is GPTQ (Frantar et al.,
// arXiv:2210.17323) in the form of LDLQ (Chee et al., arXiv:2307.13304, section 3), which is
// equivalent: with the second moments
//   H = sum x x^T = (I + U) D (I + U)^T,  U strictly upper triangular, D diagonal,
// and the errors e = w - restored of a row of weights, the layer's squared error is
//   e H e^T = sum over i of D_i (e_i + sum over j < i of e_j U_ji)^2,
// so weight i is rounded as if it were w_i + sum over j < i of e_j U_ji.
#ifndef LORAPRESS_QUANT_ERROR_FEEDBACK_H_
#define LORAPRESS_QUANT_ERROR_FEEDBACK_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/scratch_file.h"
#include "quant/input_moments.h"
#include "quant/rounding.h"

namespace lorapress {

// D and U of a layer. U is kept in a scratch file: for wide layers it is larger than their weights.
class ErrorFeedback {
 public:
  struct Factor {
    size_t size = 0;
    std::vector<float> importance;  // D, mean 1
    std::vector<float> feedback;    // U, row-major [size][size]
  };

  // Factors the moments and appends U to `file`. Null where the moments cannot be used: all inputs
  // were zero, or some were not finite.
  static std::shared_ptr<const ErrorFeedback> of(InputMoments& moments,
                                                 std::shared_ptr<ScratchFile> file);

  [[nodiscard]] size_t size() const { return importance_.size(); }
  // Reads U from the scratch file. Callers that hold the result at the same time share one copy.
  [[nodiscard]] std::shared_ptr<const Factor> load() const;

 private:
  ErrorFeedback() = default;

  std::shared_ptr<ScratchFile> file_;
  uint64_t offset_ = 0;  // of U's rows in the file, each without its zeros up to the diagonal
  std::vector<float> importance_;
  mutable std::mutex mutex_;
  mutable std::weak_ptr<const Factor> loaded_;
};

// Rounds whole rows with feedback, block by block: the scales of a block are searched for its
// values plus the feedback of the previous blocks, with errors weighted by D, and rounded to
// `scale_dtype` before integers are chosen. The outputs are laid out as those of searched_scales()
// and pack_blocks(). REQUIRES: factor.size is the number of columns without padding.
void round_with_feedback(const BlockRows& rows,
                         const ErrorFeedback::Factor& factor,
                         DType scale_dtype,
                         std::span<float> scales,
                         std::span<uint8_t> zero_points,
                         std::span<uint8_t> packed);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_ERROR_FEEDBACK_H_
