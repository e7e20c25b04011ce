// 4-bit NormalFloat weights for MatMulBnb4: dtype bnb4.
#ifndef LORAPRESS_SCHEMES_BNB4_H_
#define LORAPRESS_SCHEMES_BNB4_H_

#include "schemes/scheme.h"

namespace lorapress {

// Quantizes products with constant matrices; tables that a lookup reads are not changed, nor are
// products that share such a table.
void apply_bnb4(Model& model, const SchemeContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_BNB4_H_
