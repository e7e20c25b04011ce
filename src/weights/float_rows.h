// A block of a weight as float32, without a copy where the weight can show its rows.
#ifndef LORAPRESS_WEIGHTS_FLOAT_ROWS_H_
#define LORAPRESS_WEIGHTS_FLOAT_ROWS_H_

#include "base/buffer.h"
#include "weights/weight.h"

namespace lorapress {

// Calls use(first, rows) for runs of rows of the block, in order; `first` counts from the block's
// first row. What is not in memory is read into `scratch`.
template <typename Use>
void for_float_rows(const Weight& weight,
                    const Block& block,
                    Buffer<float>& scratch,
                    const Use& use) {
  for (int64_t done = 0; done < block.rows;) {
    const Block rest{block.row + done, block.rows - done, block.col, block.cols};
    if (const auto seen = weight.view(rest)) {
      use(done, *seen);
      done += seen->rows;
      continue;
    }
    scratch.resize(rest.elements());
    weight.read_floats(rest, scratch.span());
    use(done, FloatRows{scratch.data(), rest.rows, rest.cols, nullptr});
    return;
  }
}

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_FLOAT_ROWS_H_
