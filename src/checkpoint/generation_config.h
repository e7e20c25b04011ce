// A checkpoint's generation settings: from its generation_config.json, then from its config.json.
#ifndef LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_
#define LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_

#include <string>
#include <vector>

#include "lorapress/generation_settings.h"

#include "checkpoint/checkpoint.h"

namespace lorapress {

struct GenerationConfig {
  // The settings that LoraPress follows, without values that change nothing. Of max_new_tokens and
  // max_length, and of min_new_tokens and min_length, only the one that generate() uses. As in
  // generate(), sampling without a top_k uses 50.
  GenerationSettings settings;
  int64_t max_new_tokens = 30;         // after the image tokens, without a prompt
  std::vector<int64_t> eos_token_ids;  // unchecked; empty where no file gives any
  int64_t bos_token_id = -1;           // -1: none
  int64_t pad_token_id = -1;
  int64_t decoder_start_token_id = -1;
  Json kept = Json::object();       // all keys for other runtimes' generation_config.json
  Json overrides = Json::object();  // what was read in place of the files' own keys
  std::vector<std::string> notes;
};

// Reads the first folder that has a generation_config.json (for an adapter folder: its base's). A
// key that is absent there is read from the checkpoint's config.json and then from the decoder's,
// where older versions of transformers stored generation settings together with all defaults.
// `max_length` in the checkpoint's config.json has the trainer's meaning: new tokens. Throws
// kInvalidFile for values that no generate() accepts. Keys of the object `overrides` (generation_keys.h) take the place
// of the files' own, null that of a key which they have not; such a value is refused as kInvalidArgument.
// REQUIRES: checkpoint.text.
GenerationConfig read_generation_config(const Checkpoint& checkpoint,
                                        const Json& overrides = Json::object());

// `words` without those that consist of one end token, as NoBadWordsLogitsProcessor ignores them.
std::vector<std::vector<int64_t>> without_end_words(const std::vector<std::vector<int64_t>>& words,
                                                    const std::vector<int64_t>& eos_token_ids);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_
