// Embedding tables by their rows: single rows replaced, and whether two tables are one.
#ifndef LORAPRESS_WEIGHTS_TABLE_ROWS_H_
#define LORAPRESS_WEIGHTS_TABLE_ROWS_H_

#include <vector>

#include "weights/weight.h"

namespace lorapress {

// `base` [n, k] with row indices[i] taken from row i of `rows` [m, k] (PEFT's
// trainable_tokens_delta, tuners/trainable_tokens/layer.py: index_copy). The dtype is the base's.
// Indices may lie behind the base's last row: the result has as many rows as the largest index
// asks for. Throws kMismatch where the shapes do not fit, an index is negative or stands twice, or
// a row behind the base's last one is not given.
WeightPtr replace_rows(WeightPtr base, WeightPtr rows, const std::vector<int64_t>& indices);

// Whether both have one shape, one dtype and the same values, also before these are rounded to the
// dtype. Weights that are one object, or one place in one file, are not read; others are, piece by
// piece until the first difference.
bool same_values(const Weight& left, const Weight& right);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_TABLE_ROWS_H_
