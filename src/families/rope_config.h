// The rotary part of a decoder's config.json.
#ifndef LORAPRESS_FAMILIES_ROPE_CONFIG_H_
#define LORAPRESS_FAMILIES_ROPE_CONFIG_H_

#include <string_view>

#include "checkpoint/config.h"

namespace lorapress {

// "rope_parameters" (transformers 5), or "rope_theta", "rope_scaling" and "partial_rotary_factor",
// by the rules of transformers' modeling_rope_utils.py (standardize_rope_params and the functions
// of ROPE_INIT_FUNCTIONS). Absent keys take the values of `defaults`. `config` needs head_dim and
// max_position_embeddings.
//
// Longrope has one set of frequencies for sequences of up to original_max_position_embeddings
// positions and another for longer ones. The graph has the first, so where both differ this sets
// config.max_position_embeddings to that number and adds a note.
//
// Throws kUnsupported for other rope types, kInvalidFile for impossible numbers.
RopeConfig read_rope(const Json& json,
                     std::string_view where,
                     const RopeConfig& defaults,
                     TextConfig& config);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_ROPE_CONFIG_H_
