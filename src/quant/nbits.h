// The three weight tensors of MatMulNBits for one lazy matrix
// (onnxruntime/docs/ContribOperators.md).
#ifndef LORAPRESS_QUANT_NBITS_H_
#define LORAPRESS_QUANT_NBITS_H_

#include <memory>
#include <string>

#include "lorapress/quantize.h"

#include "quant/error_feedback.h"
#include "weights/weight.h"

namespace lorapress {

struct NBitsFormat {
  int64_t block_size = 32;
  bool symmetric = true;  // the zero point is 8 and not stored
  Rounding rounding = Rounding::kNearest;
  DType scale_dtype = DType::kF32;  // scales are rounded to it before integers are chosen
  bool operator==(const NBitsFormat&) const = default;
};

struct NBitsWeights {
  WeightPtr packed;       // uint8 [N, blocks, block_size / 2], first integer in the low half
  WeightPtr scales;       // [N * blocks], float32, or float16 if the matrix is float16
  WeightPtr zero_points;  // uint8 [N * ceil(blocks / 2)], first in the low half; null if symmetric
};

// `matrix` is [N, K]: a row for each output, a column for each input; blocks run along a row.
// `name` is the matrix's name in the graph. `feedback` may be null and applies to Rounding::kSearch
// only. Throws kMismatch where feedback->size() is not K. Reading throws kInvalidFile for values
// that are not finite or too large for float16 scales. The tensors form one WeightGroup, so that a
// writer computes them together.
NBitsWeights quantize_nbits(const std::string& name,
                            WeightPtr matrix,
                            const NBitsFormat& format,
                            std::shared_ptr<const ErrorFeedback> feedback);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_NBITS_H_
