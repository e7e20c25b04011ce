// The three tensors of MatMulNBits over one lazy matrix (onnxruntime/docs/ContribOperators.md).
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
  bool symmetric = true;  // zero point 8 and none stored
  Rounding rounding = Rounding::kNearest;
  DType scale_dtype = DType::kF32;  // what scales are rounded to before integers are chosen
  bool operator==(const NBitsFormat&) const = default;
};

struct NBitsWeights {
  WeightPtr packed;       // uint8 [N, blocks, block_size / 2], first integer in the low half
  WeightPtr scales;       // [N * blocks], float32, float16 if the matrix is float16
  WeightPtr zero_points;  // uint8 [N * ceil(blocks / 2)], first in the low half; null if symmetric
};

// `matrix` is [N, K]: rows of outputs, columns of inputs; blocks run along a row. `name` is for
// messages. `feedback`, where given, is used when scales are searched. Reading throws kInvalidFile
// for values that are not finite or too large for float16 scales. The tensors are one WeightGroup,
// so that a writer finds them together.
NBitsWeights quantize_nbits(const std::string& name,
                            WeightPtr matrix,
                            const NBitsFormat& format,
                            std::shared_ptr<const ErrorFeedback> feedback);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_NBITS_H_
