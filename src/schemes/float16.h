// Half precision: float32 weights and values become float16 where that is safe.
#ifndef LORAPRESS_SCHEMES_FLOAT16_H_
#define LORAPRESS_SCHEMES_FLOAT16_H_

#include "schemes/scheme.h"

namespace lorapress {

// Inputs and outputs of the graph keep their types, except for the key/value cache
// (past_key_values.*, present.*): files of different dtypes work together, and clients that read
// logits or feed pixels need no float16. float16_plan.h says which nodes compute in which type.
// Quantized weights are not changed, so apply_fp16() can follow a pass that made MatMulNBits.
//
// A weight beyond +-65504 leaves the nodes that read it in float32, with a note; where the weight
// only fills a mask it is clamped. Throws kInvalidFile for NaN and infinite weights.
void apply_fp16(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_FLOAT16_H_
