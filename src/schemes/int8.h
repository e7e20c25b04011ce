// Dynamic 8-bit quantization: weights are quantized in the file, activations while the graph runs.
#ifndef LORAPRESS_SCHEMES_INT8_H_
#define LORAPRESS_SCHEMES_INT8_H_

#include "schemes/scheme.h"

namespace lorapress {

// Products with a constant right side become MatMulInteger, Gather from a constant table looks up
// bytes; see int8.cc for the subgraphs. A weight that other nodes read, too, or that is smaller
// than kSmallTensor, is not changed.
void apply_int8(Model& model, const SchemeContext& context);   // signed weights of 7 bits
void apply_uint8(Model& model, const SchemeContext& context);  // unsigned weights

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_INT8_H_
