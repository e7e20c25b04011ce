// Dynamic 8 bit: weights quantized in the file, activations while the graph runs.
#ifndef LORAPRESS_SCHEMES_INT8_H_
#define LORAPRESS_SCHEMES_INT8_H_

#include "schemes/scheme.h"

namespace lorapress {

// Products with a constant right side become MatMulInteger, Gather from a constant table looks up
// bytes; see int8.cc for the subgraphs. `dtype` is that of the weights, int8 or uint8.
// A weight that something else reads too, or that is smaller than kSmallTensor, stays as it is.
void to_int8(Model& model, const SchemeContext& context, DType dtype);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_INT8_H_
