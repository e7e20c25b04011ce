// Public configurations of models that trainers name without saving their config, and the local
// Hugging Face cache, which may hold these models.
#ifndef LORAPRESS_CHECKPOINT_KNOWN_MODELS_H_
#define LORAPRESS_CHECKPOINT_KNOWN_MODELS_H_

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lorapress {

// config.json of a named model from the built-in table; empty when the table does not have the
// model.
std::optional<Json> known_config(std::string_view name);
std::vector<std::string_view> known_model_names();

// The snapshot folder of "org/name" under $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub.
std::optional<std::filesystem::path> cached_model(std::string_view name);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_KNOWN_MODELS_H_
