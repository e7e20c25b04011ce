// Inputs that a client feeds and a graph does not use are compared with what the graph assumes: with others
// the run fails, and the name of the node that fails says why.
#ifndef LORAPRESS_BUNDLES_REFUSE_INPUTS_H_
#define LORAPRESS_BUNDLES_REFUSE_INPUTS_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

// x as it is; the run fails in the node `name` unless attention_mask [batch, total] is 1 everywhere.
Value refuse_padding(const Builder& b, const Value& x, const Value& attention_mask);

// The same unless position_ids [batch, sequence] count up from the length of `past`
// [batch, heads, length, head_dim].
Value refuse_other_positions(const Builder& b,
                             const Value& x,
                             const Value& position_ids,
                             const Value& past);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_REFUSE_INPUTS_H_
