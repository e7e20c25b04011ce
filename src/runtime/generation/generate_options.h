// Combines a call's options and a folder's settings into the settings of a search.
#ifndef LORAPRESS_RUNTIME_GENERATION_GENERATE_OPTIONS_H_
#define LORAPRESS_RUNTIME_GENERATION_GENERATE_OPTIONS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lorapress/caption.h"

#include "runtime/generation/beam.h"
#include "runtime/generation/sampling.h"

namespace lorapress {

// The options' settings, else the folder's. Sampling options override the folder's beams,
// and num_beams overrides its sampling.
GenerationSettings chosen_settings(const GenerateOptions& options,
                                   const GenerationSettings& folder);

// Takes out of `settings`, which chosen_settings() made, the keys of `rules`: those that the folder's decoder applies to its own
// logits (rules_in_graph of lorapress.json). Throws kInvalidArgument where an option wants another value than
// the folder has, and for beams, whose scores the rules would have to change behind the logarithm.
void leave_rules_to_graph(const GenerateOptions& options,
                          const GenerationSettings& folder,
                          std::span<const std::string> rules,
                          GenerationSettings& settings);

// Limits of a decoder, and the positions before the new tokens.
struct GenerationContext {
  std::vector<int64_t> eos_token_ids;
  int64_t vocab_size = 0;
  int64_t max_new_tokens = 1;  // default without a setting
  int64_t positions = 0;       // of image and prompt
};

// max_new_tokens, else max_length without the positions, else the context's. Throws
// kInvalidArgument where max_length leaves no token.
int64_t new_tokens(const GenerationSettings& settings, const GenerationContext& context);
// Throws kInvalidArgument for a token outside the vocabulary and for a bad word without tokens.
TokenRules token_rules(const GenerationSettings& settings, const GenerationContext& context);
SamplingFilters sampling_filters(const GenerationSettings& settings);
// Throws kInvalidArgument where the vocabulary is too small for the number of beams.
BeamOptions beam_options(const GenerationSettings& settings, const GenerationContext& context);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_GENERATE_OPTIONS_H_
