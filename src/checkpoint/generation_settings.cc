#include "checkpoint/generation_settings.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/fail.h"

namespace lorapress {
namespace {

using Settings = GenerationSettings;

constexpr int64_t kMostTokens = int64_t{1} << 20;
constexpr int64_t kMostPositions = int64_t{1} << 24;

constexpr std::array kIntegers = {
    IntegerSetting{"max_new_tokens", &Settings::max_new_tokens, 1, kMostTokens},
    IntegerSetting{"max_length", &Settings::max_length, 1, kMostPositions},
    IntegerSetting{"min_new_tokens", &Settings::min_new_tokens, 0, kMostTokens},
    IntegerSetting{"min_length", &Settings::min_length, 0, kMostPositions},
    IntegerSetting{"no_repeat_ngram_size", &Settings::no_repeat_ngram_size, 0, kMostTokens},
    IntegerSetting{"num_beams", &Settings::num_beams, 1, 64},
    IntegerSetting{"top_k", &Settings::top_k, 0, kMostTokens},
};
constexpr std::array kNumbers = {
    NumberSetting{"repetition_penalty", &Settings::repetition_penalty, 0.01, 100.0},
    NumberSetting{"length_penalty", &Settings::length_penalty, -10.0, 10.0},
    NumberSetting{"temperature", &Settings::temperature, 1e-6, 100.0},
    NumberSetting{"top_p", &Settings::top_p, 1e-6, 1.0},
};
constexpr std::array kIds = {
    IdsSetting{"suppress_tokens", &Settings::suppress_tokens, false},
    IdsSetting{"begin_suppress_tokens", &Settings::begin_suppress_tokens, false},
    IdsSetting{"forced_eos_token_id", &Settings::forced_eos_token_id, true},
};
constexpr const char* kBadWords = "bad_words_ids";
constexpr const char* kForcedBos = "forced_bos_token_id";
constexpr const char* kEarlyStopping = "early_stopping";
constexpr const char* kDoSample = "do_sample";

// Null where the key is absent or null.
const Json* member(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

template <typename T>
void take_number(const Json& json,
                 const auto& row,
                 std::optional<T>& taken,
                 std::string_view where) {
  if (member(json, row.key) == nullptr) {
    return;
  }
  const T value = json_get<T>(json, row.key, where);
  if (!(value >= row.least && value <= row.most)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected {} to {}",
         where,
         row.key,
         value,
         row.least,
         row.most);
  }
  taken = value;
}

// A token id, or -1 for a value outside the vocabulary. 3.0 in JSON is 3, as in the browser
// runtime.
int64_t to_token(const Json& id, int64_t vocab_size) {
  if (!id.is_number()) {
    return -1;
  }
  const double value = id.get<double>();
  const bool inside = value >= 0.0 && value < static_cast<double>(vocab_size);
  return inside && value == std::floor(value) ? static_cast<int64_t>(value) : -1;
}

// REQUIRES: `json` is a list.
void append_ids(const Json& json,
                const char* key,
                int64_t vocab_size,
                std::string_view where,
                std::vector<int64_t>& ids) {
  for (const Json& id : json) {
    const int64_t token = to_token(id, vocab_size);
    if (token < 0) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"{}\" holds {}, expected token ids below {}",
           where,
           key,
           id.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80),
           vocab_size);
    }
    if (ids.size() == kMostListedIds) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"{}\" holds more than {} token ids",
           where,
           key,
           kMostListedIds);
    }
    ids.push_back(token);
  }
}

std::vector<std::vector<int64_t>> parse_words(const Json& json,
                                              int64_t vocab_size,
                                              std::string_view where) {
  std::vector<std::vector<int64_t>> words;
  size_t count = 0;
  const Json none = Json::array();
  for (const Json& word : json.is_array() ? json : none) {
    words.emplace_back();
    append_ids(word.is_array() ? word : none, kBadWords, vocab_size, where, words.back());
    count += words.back().size();
    if (words.back().empty() || count > kMostListedIds) {
      break;
    }
  }
  if (!json.is_array() || (!words.empty() && words.back().empty()) || count > kMostListedIds) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is not a list of words, each a list of token ids, at most {} in all",
         where,
         kBadWords,
         kMostListedIds);
  }
  return words;
}

EarlyStopping parse_early_stopping(const Json& json, std::string_view where) {
  if (json.is_boolean()) {
    return json.get<bool>() ? EarlyStopping::kFirst : EarlyStopping::kHeuristic;
  }
  if (json != "never") {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected true, false or \"never\"",
         where,
         kEarlyStopping,
         json.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80));
  }
  return EarlyStopping::kNever;
}

}  // namespace

std::span<const IntegerSetting> integer_settings() {
  return kIntegers;
}
std::span<const NumberSetting> number_settings() {
  return kNumbers;
}
std::span<const IdsSetting> ids_settings() {
  return kIds;
}

std::vector<std::string_view> generation_setting_keys() {
  std::vector<std::string_view> keys = {kBadWords, kForcedBos, kEarlyStopping, kDoSample};
  std::ranges::transform(kIntegers, std::back_inserter(keys), &IntegerSetting::key);
  std::ranges::transform(kNumbers, std::back_inserter(keys), &NumberSetting::key);
  std::ranges::transform(kIds, std::back_inserter(keys), &IdsSetting::key);
  return keys;
}

GenerationSettings parse_generation_settings(const Json& json,
                                             int64_t vocab_size,
                                             std::string_view where) {
  GenerationSettings settings;
  for (const IntegerSetting& row : kIntegers) {
    take_number(json, row, settings.*row.member, where);
  }
  for (const NumberSetting& row : kNumbers) {
    take_number(json, row, settings.*row.member, where);
  }
  for (const IdsSetting& row : kIds) {
    if (const Json* ids = member(json, row.key)) {
      if (!ids->is_array() && !row.or_one) {
        fail(ErrorCode::kInvalidFile, "{}: \"{}\" is not a list of token ids", where, row.key);
      }
      std::vector<int64_t>& list = (settings.*row.member).emplace();
      append_ids(ids->is_array() ? *ids : Json::array({*ids}), row.key, vocab_size, where, list);
    }
  }
  if (const Json* words = member(json, kBadWords)) {
    settings.bad_words_ids = parse_words(*words, vocab_size, where);
  }
  if (const Json* id = member(json, kForcedBos)) {
    std::vector<int64_t> ids;
    append_ids(Json::array({*id}), kForcedBos, vocab_size, where, ids);
    settings.forced_bos_token_id = ids[0];
  }
  if (const Json* early = member(json, kEarlyStopping)) {
    settings.early_stopping = parse_early_stopping(*early, where);
  }
  if (member(json, kDoSample) != nullptr) {
    settings.do_sample = json_get<bool>(json, kDoSample, where);
  }
  return settings;
}

Json generation_settings_json(const GenerationSettings& settings) {
  Json json = Json::object();
  const auto put = [&](const char* key, const auto& value) {
    if (value) {
      json[key] = *value;
    }
  };
  for (const IntegerSetting& row : kIntegers) {
    put(row.key, settings.*row.member);
  }
  for (const NumberSetting& row : kNumbers) {
    put(row.key, settings.*row.member);
  }
  for (const IdsSetting& row : kIds) {
    put(row.key, settings.*row.member);
  }
  put(kBadWords, settings.bad_words_ids);
  put(kForcedBos, settings.forced_bos_token_id);
  put(kDoSample, settings.do_sample);
  if (settings.early_stopping == EarlyStopping::kNever) {
    json[kEarlyStopping] = "never";
  } else if (settings.early_stopping) {
    json[kEarlyStopping] = settings.early_stopping == EarlyStopping::kFirst;
  }
  return json;
}

GenerationSettings merged_settings(const GenerationSettings& first,
                                   const GenerationSettings& second) {
  GenerationSettings merged = first;
  const auto fill = [&](auto member) {
    if (!(merged.*member)) {
      merged.*member = second.*member;
    }
  };
  for (const IntegerSetting& row : kIntegers) {
    fill(row.member);
  }
  for (const NumberSetting& row : kNumbers) {
    fill(row.member);
  }
  for (const IdsSetting& row : kIds) {
    fill(row.member);
  }
  fill(&Settings::bad_words_ids);
  fill(&Settings::forced_bos_token_id);
  fill(&Settings::early_stopping);
  fill(&Settings::do_sample);
  return merged;
}

}  // namespace lorapress
