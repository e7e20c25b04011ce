// The table of generation settings: their JSON keys and ranges, used for generation_config.json,
// lorapress.json and the command line.
#ifndef LORAPRESS_CHECKPOINT_GENERATION_SETTINGS_H_
#define LORAPRESS_CHECKPOINT_GENERATION_SETTINGS_H_

#include <span>
#include <string_view>

#include "lorapress/generation_settings.h"

#include "base/json.h"

namespace lorapress {

// A whole number from `least` to `most`.
struct IntegerSetting {
  const char* key;
  std::optional<int64_t> GenerationSettings::* member;
  int64_t least;
  int64_t most;
};
struct NumberSetting {
  const char* key;
  std::optional<double> GenerationSettings::* member;
  double least;
  double most;
};
// A list of token ids.
struct IdsSetting {
  const char* key;
  std::optional<std::vector<int64_t>> GenerationSettings::* member;
  bool or_one;  // a single id is read as a list of one
};
std::span<const IntegerSetting> integer_settings();
std::span<const NumberSetting> number_settings();
std::span<const IdsSetting> ids_settings();
// The JSON keys of all settings.
std::vector<std::string_view> generation_setting_keys();

// The limit for one list of token ids, and for all words of bad_words_ids together.
inline constexpr size_t kMostListedIds = size_t{1} << 18;

// Reads the keys of the table; null counts as absent, other keys are ignored. Throws kInvalidFile
// for another type, a number out of range, a token outside a vocabulary of `vocab_size`, and a list
// that is too long.
GenerationSettings parse_generation_settings(const Json& json,
                                             int64_t vocab_size,
                                             std::string_view where);
// The settings that are set, as JSON that parse_generation_settings() reads.
Json generation_settings_json(const GenerationSettings& settings);

// The settings of `first`, completed by those of `second`.
GenerationSettings merged_settings(const GenerationSettings& first,
                                   const GenerationSettings& second);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_GENERATION_SETTINGS_H_
