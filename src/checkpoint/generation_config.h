// What a checkpoint says of generation: its generation_config.json, and behind that its
// config.json.
#ifndef LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_
#define LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_

#include <string>
#include <vector>

#include "lorapress/generation_settings.h"

#include "checkpoint/checkpoint.h"

namespace lorapress {

struct GenerationConfig {
  // What LoraPress follows, without what changes nothing. Of max_new_tokens and max_length, and of
  // min_new_tokens and min_length, only the one that generate() takes. As there, sampling without a
  // top_k has one of 50.
  GenerationSettings settings;
  int64_t max_new_tokens = 30;         // behind the image tokens alone
  std::vector<int64_t> eos_token_ids;  // as they stand, unchecked; none where no file says it
  int64_t bos_token_id = -1;           // -1: none
  int64_t pad_token_id = -1;
  Json kept = Json::object();  // all keys for other runtimes' generation_config.json
  std::vector<std::string> notes;
};

// Of the first folder that has a generation_config.json: an adapter folder takes its base's. A key
// that is absent there is taken from the checkpoint's config.json and then from the decoder's,
// where older versions of transformers kept it and saved every default too. `max_length` of the
// checkpoint's config.json is the trainer's own: new tokens. Throws kInvalidFile for values that no
// generate() takes. REQUIRES: checkpoint.text.
GenerationConfig read_generation_config(const Checkpoint& checkpoint);

// `words` without those that are nothing but an end token; NoBadWordsLogitsProcessor leaves them
// out.
std::vector<std::vector<int64_t>> without_end_words(const std::vector<std::vector<int64_t>>& words,
                                                    const std::vector<int64_t>& eos_token_ids);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_GENERATION_CONFIG_H_
