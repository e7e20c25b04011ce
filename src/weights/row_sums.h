// A weight whose rows are weighted sums of the rows of another weight, such as interpolated position
// embeddings.
#ifndef LORAPRESS_WEIGHTS_ROW_SUMS_H_
#define LORAPRESS_WEIGHTS_ROW_SUMS_H_

#include <vector>

#include "weights/weight.h"

namespace lorapress {

struct RowTerm {
  int64_t row = 0;
  double factor = 0.0;
};
using RowSum = std::vector<RowTerm>;

// float32 [rows.size(), cols of source]. REQUIRES: every term is a row of `source`, a float weight.
WeightPtr row_sums(WeightPtr source, std::vector<RowSum> rows);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_ROW_SUMS_H_
