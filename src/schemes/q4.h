// 4-bit weights for MatMulNBits: dtypes q4 and q4f16.
#ifndef LORAPRESS_SCHEMES_Q4_H_
#define LORAPRESS_SCHEMES_Q4_H_

#include "schemes/scheme.h"

namespace lorapress {

// Products with constant matrices read packed blocks; lookups of the same tables unpack the rows
// they need with standard operators, so that a tied table is stored once. Convolutions that cut
// patches become products first. q4f16 rounds scales to float16 and converts the rest of the graph
// to float16.
void apply_q4(Model& model, const SchemeContext& context);
void apply_q4f16(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_Q4_H_
