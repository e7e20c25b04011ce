// 4-bit weights for MatMulNBits: dtypes q4 and q4f16.
#ifndef LORAPRESS_SCHEMES_Q4_H_
#define LORAPRESS_SCHEMES_Q4_H_

#include "schemes/scheme.h"

namespace lorapress {

// Products with constant matrices read packed blocks; lookups of the same tables unpack the rows
// they need with standard operators, so that a tied table is in the file once. Convolutions that
// cut patches become products first. `scale_dtype` is what scales are rounded to (they stay float32
// tensors where the matrix is float32).
void quantize_q4(Model& model, const SchemeContext& context, DType scale_dtype);

void apply_q4(Model& model, const SchemeContext& context);
void apply_q4f16(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_Q4_H_
