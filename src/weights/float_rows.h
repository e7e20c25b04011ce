// Reads a block of a weight as float32, without a copy where Weight::view() gives its rows.
#ifndef LORAPRESS_WEIGHTS_FLOAT_ROWS_H_
#define LORAPRESS_WEIGHTS_FLOAT_ROWS_H_

#include "base/buffer.h"
#include "weights/weight.h"

namespace lorapress {

// Calls use(first, rows) for consecutive runs of rows of the block, in order: `rows` are FloatRows,
// valid during the call, and `first` is the index of their first row in the block. Rows that are
// not in memory are read into `scratch`.
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
