// Half precision: float32 weights and values become float16 where that is safe.
#ifndef LORAPRESS_SCHEMES_FLOAT16_H_
#define LORAPRESS_SCHEMES_FLOAT16_H_

#include "schemes/scheme.h"

namespace lorapress {

// Inputs and outputs of the graph keep their types, but for the key/value cache
// (past_key_values.*, present.*): so files of different dtypes work together, and clients that
// read logits or feed pixels need no float16. float16_plan.h says what is computed in which type.
// Quantized weights stay as they are, so this can follow a pass that made MatMulNBits.
//
// A weight beyond +-65504 leaves the nodes that read it in float32, with a note; where it only
// fills a mask it is clamped. NaN and infinite weights: kInvalidFile.
void apply_fp16(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_FLOAT16_H_
