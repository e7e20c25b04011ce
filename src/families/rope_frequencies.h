// The angular frequencies of rotary position embedding, by the config's scaling.
#ifndef LORAPRESS_FAMILIES_ROPE_FREQUENCIES_H_
#define LORAPRESS_FAMILIES_ROPE_FREQUENCIES_H_

#include <vector>

#include "checkpoint/config.h"

namespace lorapress {

// Inverse frequencies [rotary_dim / 2]: transformers modeling_rope_utils.py
// (_compute_default_rope_parameters, _compute_linear_scaling_…, _compute_llama3_parameters,
// _compute_longrope_parameters with the short factors).
std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t rotary_dim);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_ROPE_FREQUENCIES_H_
