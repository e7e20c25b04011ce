// Rows of one call that differ in length: clients pad the shorter ones on a side and say so with a mask
// (transformers masking_utils.py; position_ids of prepare_inputs_for_generation).
#ifndef LORAPRESS_BLOCKS_PADDED_ROWS_H_
#define LORAPRESS_BLOCKS_PADDED_ROWS_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

// Standard nodes of attention are given the mask and see the padding where it stands. GroupQueryAttention
// takes no mask but a length for each row, of tokens that come first in it: for it the rows of a call are
// packed, their padding behind their tokens, and so they lie in the cache. Without padding both are the
// plain order.
struct PaddedRows {
  // Where rows are not packed: which keys are no padding, and where keys stand in their rows.
  Value seen;           // bool [batch, 1, 1, total]
  Value key_positions;  // int64 [batch, 1, 1, total]
  // Where they are: positions of the call in packed order.
  Value order;      // int64 [batch, sequence, 1]
  Value positions;  // int64 [batch, sequence]: of the call's tokens in their rows
  Value lengths;    // int64 [batch]: tokens of each row so far, this call's too; at least 1
  Value last;  // int64 [batch, 1, 1]: where in the call each row's last token stands, after packing
};

// `mask` int64 [batch, total]: 1 for tokens and 0 for padding, of which the last `sequence` (int64 [1])
// are this call's; padding is left of the tokens of the first call or right of them.
PaddedRows padded_rows(const Builder& b,
                       const std::string& scope,
                       const Value& mask,
                       const Value& sequence,
                       bool packed);

// x [batch, sequence, n] by rows of positions: [batch, k, 1] -> [batch, k, n]
Value take_positions(const Builder& b,
                     const std::string& name,
                     const Value& x,
                     const Value& positions);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_PADDED_ROWS_H_
