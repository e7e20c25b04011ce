// 4-bit NormalFloat weights for MatMulBnb4: dtype bnb4.
#ifndef LORAPRESS_SCHEMES_BNB4_H_
#define LORAPRESS_SCHEMES_BNB4_H_

#include "schemes/scheme.h"

namespace lorapress {

// Products with constant matrices; tables that are looked up stay as they are, with the product
// that shares them.
void apply_bnb4(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_BNB4_H_
