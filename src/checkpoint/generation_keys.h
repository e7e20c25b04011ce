// The names of generation_config.json's keys: which LoraPress follows, and which it only knows.
#ifndef LORAPRESS_CHECKPOINT_GENERATION_KEYS_H_
#define LORAPRESS_CHECKPOINT_GENERATION_KEYS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lorapress {

// transformers' GenerationConfig._get_default_generation_params(). "off" is a value that changes
// nothing; older versions saved all of them.
struct GenerationKey {
  const char* key;
  const char* off = "null";    // JSON
  bool only_sampling = false;  // without effect unless do_sample
};
std::span<const GenerationKey> followed_keys();
// They change the generated tokens, and LoraPress does not implement them.
std::span<const GenerationKey> not_followed_keys();
// They change what generate() returns besides tokens; clients of a bundle expect plain ids.
std::span<const char* const> keys_of_the_call();

// Whether `json` has the key with a value that changes something.
bool is_set(const Json& json, const GenerationKey& row);

// "key=value" of an option `where` into an object: values as JSON, and as text where they are none; null
// stands for the absence of a key. Throws kInvalidArgument for an entry without a value, a key
// that is given twice, and one that is no setting of what is generated.
Json parse_generation_entries(const std::vector<std::string>& entries, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_GENERATION_KEYS_H_
