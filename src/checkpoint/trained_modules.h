// An adapter's settings for modules that are trained whole and for single tokens,
// peft/tuners/lora/config.py (LoraConfig) and peft/utils/other.py
// (set_additional_trainable_modules).
#ifndef LORAPRESS_CHECKPOINT_TRAINED_MODULES_H_
#define LORAPRESS_CHECKPOINT_TRAINED_MODULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lorapress {

struct TrainedTokens {
  std::string module;  // the end of a module's name; empty: the input embedding
  std::vector<int64_t> indices;
};

struct TrainedModules {
  std::vector<std::string> modules_to_save;  // ends of modules' names
  bool ensure_weight_tying = false;
  std::vector<TrainedTokens> trainable_token_indices;

  // `module` is a whole name, "language_model.lm_head"; `input` tells the input embedding.
  [[nodiscard]] bool saves(std::string_view module) const;
  [[nodiscard]] const TrainedTokens* tokens(std::string_view module, bool input) const;
};

// The keys modules_to_save, ensure_weight_tying and trainable_token_indices. Throws kInvalidFile.
TrainedModules parse_trained_modules(const Json& json, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_TRAINED_MODULES_H_
