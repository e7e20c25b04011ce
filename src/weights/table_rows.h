// Embedding tables: single rows replaced, and two tables compared.
#ifndef LORAPRESS_WEIGHTS_TABLE_ROWS_H_
#define LORAPRESS_WEIGHTS_TABLE_ROWS_H_

#include <vector>

#include "weights/weight.h"

namespace lorapress {

// `base` [n, k] with row indices[i] taken from row i of `rows` [m, k] (PEFT's
// trainable_tokens_delta, tuners/trainable_tokens/layer.py: index_copy). The result has the base's
// dtype. Indices may exceed the base's last row; the result then has largest index + 1 rows. Throws
// kMismatch where the shapes do not fit, a table does not hold floats, an index is negative or
// given twice, or a row between the base's last one and the largest index is not given.
WeightPtr replace_rows(WeightPtr base, WeightPtr rows, const std::vector<int64_t>& indices);

// True if both weights have the same shape, dtype and values, and also had the same values before
// rounding to the dtype (read_floats()). Weights that are same_as() each other are not read; others
// are read piece by piece until the first difference.
bool same_values(const Weight& left, const Weight& right);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_TABLE_ROWS_H_
