#include "checkpoint/generation_keys.h"

#include <algorithm>
#include <array>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr std::array kFollowed = {
    GenerationKey{"max_new_tokens"},
    GenerationKey{"max_length", "20"},
    GenerationKey{"min_new_tokens"},
    GenerationKey{"min_length", "0"},
    GenerationKey{"repetition_penalty", "1.0"},
    GenerationKey{"no_repeat_ngram_size", "0"},
    GenerationKey{"bad_words_ids", "[]"},
    GenerationKey{"suppress_tokens", "[]"},
    GenerationKey{"begin_suppress_tokens", "[]"},
    GenerationKey{"forced_bos_token_id"},
    GenerationKey{"forced_eos_token_id"},
    GenerationKey{"num_beams", "1"},
    GenerationKey{"length_penalty", "1.0"},
    GenerationKey{"early_stopping", "false"},
    GenerationKey{"do_sample", "false"},
    GenerationKey{"temperature", "1.0", true},
    GenerationKey{"top_k", "50", true},
    GenerationKey{"top_p", "1.0", true},
};
constexpr std::array kNotFollowed = {
    GenerationKey{"max_time"},
    GenerationKey{"stop_strings"},
    GenerationKey{"num_return_sequences", "1"},
    GenerationKey{"encoder_repetition_penalty", "1.0"},
    GenerationKey{"encoder_no_repeat_ngram_size", "0"},
    GenerationKey{"renormalize_logits", "false"},
    GenerationKey{"remove_invalid_values", "false"},
    GenerationKey{"exponential_decay_length_penalty"},
    GenerationKey{"sequence_bias"},
    GenerationKey{"token_healing", "false"},
    GenerationKey{"guidance_scale", "1.0"},
    GenerationKey{"watermarking_config"},
    GenerationKey{"forced_decoder_ids"},
    GenerationKey{"penalty_alpha", "0.0"},
    GenerationKey{"dola_layers"},
    GenerationKey{"num_beam_groups", "1"},
    GenerationKey{"diversity_penalty", "0.0"},
    GenerationKey{"constraints"},
    GenerationKey{"force_words_ids"},
    GenerationKey{"min_p", "null", true},
    GenerationKey{"top_h", "null", true},
    GenerationKey{"typical_p", "1.0", true},
    GenerationKey{"epsilon_cutoff", "0.0", true},
    GenerationKey{"eta_cutoff", "0.0", true},
};
constexpr std::array kOfTheCall = {"output_attentions",
                                   "output_hidden_states",
                                   "output_scores",
                                   "output_logits",
                                   "return_dict_in_generate",
                                   "num_return_sequences",
                                   "guidance_scale"};
constexpr std::array kTokenKeys = {
    "eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id"};

}  // namespace

std::span<const GenerationKey> followed_keys() {
  return kFollowed;
}
std::span<const GenerationKey> not_followed_keys() {
  return kNotFollowed;
}
std::span<const char* const> keys_of_the_call() {
  return kOfTheCall;
}

bool is_set(const Json& json, const GenerationKey& row) {
  const auto found = json.find(row.key);
  return found != json.end() && !found->is_null() && *found != Json::parse(row.off);
}

Json parse_generation_entries(const std::vector<std::string>& entries, std::string_view where) {
  std::vector<std::string_view> known(kTokenKeys.begin(), kTokenKeys.end());
  for (const GenerationKey& row : kFollowed) {
    known.emplace_back(row.key);
  }
  for (const GenerationKey& row : kNotFollowed) {
    if (std::ranges::find(kOfTheCall, std::string_view(row.key)) == kOfTheCall.end()) {
      known.emplace_back(row.key);
    }
  }
  std::ranges::sort(known);
  Json json = Json::object();
  for (const std::string& entry : entries) {
    const size_t equals = entry.find('=');
    const std::string key = entry.substr(0, equals);
    if (equals == std::string::npos || equals == 0 || equals + 1 == entry.size()) {
      fail(ErrorCode::kInvalidArgument,
           "{} \"{}\", expected key=value, as repetition_penalty=1.2",
           where,
           entry.substr(0, 80));
    }
    if (std::ranges::find(known, key) == known.end()) {
      fail(ErrorCode::kInvalidArgument,
           "{} {}: is no generation setting; known are {}",
           where,
           key.substr(0, 80),
           fmt::join(known, ", "));
    }
    if (json.contains(key)) {
      fail(ErrorCode::kInvalidArgument, "{} {}: is given twice", where, key);
    }
    const std::string text = entry.substr(equals + 1);
    Json value = Json::parse(text, nullptr, false);
    json[key] = value.is_discarded() ? Json(text) : std::move(value);
  }
  return json;
}

}  // namespace lorapress
