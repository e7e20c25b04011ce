// The settings of transformers' generate() that LoraPress follows, under their names there.
#ifndef LORAPRESS_GENERATION_SETTINGS_H_
#define LORAPRESS_GENERATION_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace lorapress {

// The condition that ends beam search: transformers' early_stopping = False, True, "never".
enum class EarlyStopping {
  kHeuristic,  // no running beam beats the worst finished one at its present length
  kFirst,      // num_beams captions are finished
  kNever,      // no running beam can beat the worst finished one any more
};

// An absent setting is taken from the next source: a call's options come first, then the folder's
// settings, then the defaults in parentheses. docs/generation.md explains each setting.
struct GenerationSettings {
  std::optional<int64_t> max_new_tokens;
  std::optional<int64_t> max_length;      // with image and prompt; max_new_tokens overrides it
  std::optional<int64_t> min_new_tokens;  // no end token before this many (0)
  std::optional<int64_t> min_length;      // with image and prompt; min_new_tokens overrides it

  std::optional<double> repetition_penalty;     // of tokens that were generated (1: off)
  std::optional<int64_t> no_repeat_ngram_size;  // no n-gram twice (0: off)
  std::optional<std::vector<std::vector<int64_t>>> bad_words_ids;
  std::optional<std::vector<int64_t>> suppress_tokens;        // never
  std::optional<std::vector<int64_t>> begin_suppress_tokens;  // not as the first token
  std::optional<int64_t> forced_bos_token_id;                 // the second token, see generation.md
  std::optional<std::vector<int64_t>> forced_eos_token_id;    // any of them, at the maximum length

  std::optional<int64_t> num_beams;      // (1)
  std::optional<double> length_penalty;  // of beams: sum of log-probabilities / length ^ this (1)
  std::optional<EarlyStopping> early_stopping;  // of beams (kHeuristic)

  std::optional<bool> do_sample;      // else the likeliest token; not with beams (false)
  std::optional<double> temperature;  // (1)
  std::optional<int64_t> top_k;       // (0: off)
  std::optional<double> top_p;        // (1: off)
};

}  // namespace lorapress

#endif  // LORAPRESS_GENERATION_SETTINGS_H_
