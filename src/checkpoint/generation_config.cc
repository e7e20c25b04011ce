#include "checkpoint/generation_config.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "checkpoint/generation_keys.h"
#include "checkpoint/generation_settings.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "generation_config.json";
constexpr const char* kOverrides = "options.set";
constexpr uint64_t kMostBytes = uint64_t{8} << 20;
constexpr size_t kMostEnds = 1024;
constexpr int64_t kTopKOfSampling = 50;    // generate()'s default
constexpr int64_t kNewTokensOfText = 256;  // that of text-generation pipelines

Json read_object(const fs::path& path) {
  Json json = read_json(path, kMostBytes);
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: is not a JSON object", path.string());
  }
  return json;
}

// The generation settings of a config.json, as GenerationConfig.from_model_config() finds them.
Json settings_of_model_config(const Json& config, bool is_trainers) {
  Json found = Json::object();
  if (!config.is_object()) {
    return found;
  }
  const auto take = [&](const GenerationKey& row) {
    if (is_set(config, row) && !(is_trainers && std::string_view(row.key) == "max_length")) {
      found[row.key] = config.at(row.key);
    }
  };
  std::ranges::for_each(followed_keys(), take);
  std::ranges::for_each(not_followed_keys(), take);
  return found;
}

std::vector<int64_t> ids_of(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return {};
  }
  std::vector<int64_t> ids;
  for (const Json& id : found->is_array() ? *found : Json::array({*found})) {
    if (!id.is_number_integer() || ids.size() == kMostEnds) {
      fail(ErrorCode::kInvalidFile,
           "{}: {} holds {}, expected at most {} token ids",
           where,
           key,
           id.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80),
           kMostEnds);
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

class ConfigReader {
 public:
  ConfigReader(const Checkpoint& checkpoint, const Json& overrides)
      : checkpoint_(checkpoint),
        overrides_(overrides),
        vocab_size_(checkpoint.text.value().vocab_size) {}

  GenerationConfig read() {
    config_.max_new_tokens =
        checkpoint_.vision
            ? checkpoint_.max_new_tokens
            : std::clamp<int64_t>(
                  checkpoint_.text->max_position_embeddings - 1, 1, kNewTokensOfText);
    add_overrides();
    for (const fs::path& folder : checkpoint_.folders) {
      if (fs::exists(folder / kFile)) {
        read_file(folder);
        break;
      }
    }
    const bool is_trainers = checkpoint_.composite != nullptr &&
                             checkpoint_.composite->conditioning == Conditioning::kPrefix;
    const std::string where = (checkpoint_.folder / "config.json").string();
    add(displaced(settings_of_model_config(checkpoint_.config, is_trainers)), where);
    const std::string_view key =
        checkpoint_.composite != nullptr ? checkpoint_.composite->text_key : "text_config";
    add(displaced(settings_of_model_config(checkpoint_.text_json, false)),
        fmt::format("{}: {}", where, key));
    require_some_token_allowed(checkpoint_.folder.string());
    finish_length();
    finish_choice();
    note_what_is_not_followed();
    drop_what_is_off();
    for (const char* other : keys_of_the_call()) {
      config_.kept.erase(other);
    }
    return std::move(config_);
  }

 private:
  void add_overrides() {
    config_.overrides = overrides_;
    try {
      take_token_ids(overrides_, kOverrides);
      add(overrides_, kOverrides);
    } catch (const Error& error) {
      throw Error(ErrorCode::kInvalidArgument, error.what());
    }
  }

  // Without what the overrides replace; a length under one name replaces that under the other.
  [[nodiscard]] Json displaced(Json json) const {
    for (const auto& [key, value] : overrides_.items()) {
      json.erase(key);
    }
    const auto replaces = [&](const char* key, const char* other) {
      if (overrides_.contains(key) && !overrides_.at(key).is_null()) {
        json.erase(other);
      }
    };
    replaces("max_length", "max_new_tokens");
    replaces("min_length", "min_new_tokens");
    return json;
  }

  void take_token_ids(const Json& json, const std::string& where) {
    const std::vector<int64_t> ends = ids_of(json, "eos_token_id", where);
    config_.eos_token_ids = ends.empty() ? config_.eos_token_ids : ends;
    const auto take = [&](const char* key, int64_t& id) {
      const std::vector<int64_t> ids = ids_of(json, key, where);
      id = ids.empty() ? id : ids[0];
    };
    take("bos_token_id", config_.bos_token_id);
    take("pad_token_id", config_.pad_token_id);
    take("decoder_start_token_id", config_.decoder_start_token_id);
  }

  void read_file(const fs::path& folder) {
    const std::string where = (folder / kFile).string();
    Json json = displaced(read_object(folder / kFile));
    take_token_ids(json, where);
    const bool own = folder == checkpoint_.folders[0];
    const bool trained = checkpoint_.composite != nullptr && checkpoint_.config.is_object() &&
                         checkpoint_.config.contains("max_length");
    if (!own && trained) {  // the checkpoint's own length overrides a base's
      json.erase("max_new_tokens");
      json.erase("max_length");
    }
    add(std::move(json), where);
  }

  // Settings that were added earlier override these.
  void add(Json json, const std::string& where) {
    const auto is_private = [](const std::string& key) { return key.starts_with('_'); };
    for (auto entry = json.begin(); entry != json.end();) {
      const bool dropped = entry->is_null() || is_private(entry.key());
      entry = dropped ? json.erase(entry) : std::next(entry);
    }
    drop_strange_tokens(json, where);
    Json followed = json;
    const auto sampled = json.find("do_sample");
    if (sampled == json.end() || *sampled != true) {
      drop_unused_filters(followed);
    }
    const auto words = followed.find("bad_words_ids");
    if (words != followed.end() && *words == Json::array()) {
      followed.erase(words);
      json.erase("bad_words_ids");  // generate() refuses an empty list
    }
    config_.settings =
        merged_settings(config_.settings, parse_generation_settings(followed, vocab_size_, where));
    for (auto& [key, value] : json.items()) {
      if (!config_.kept.contains(key)) {
        config_.kept[key] = std::move(value);
      }
    }
  }

  // generate() ignores token ids outside the vocabulary, such as -1 in older Whisper configs.
  void drop_strange_tokens(Json& json, const std::string& where) {
    for (const char* key : {"suppress_tokens", "begin_suppress_tokens"}) {
      const auto list = json.find(key);
      if (list == json.end() || !list->is_array()) {
        continue;
      }
      const auto is_strange = [&](const Json& id) {
        return id.is_number_integer() && (id < 0 || id >= vocab_size_);
      };
      Json kept = Json::array();
      std::ranges::remove_copy_if(*list, std::back_inserter(kept), is_strange);
      if (kept.size() != list->size()) {
        config_.notes.push_back(
            fmt::format("{}: {} of {} \"{}\" are no tokens of the model and left out",
                        where,
                        list->size() - kept.size(),
                        list->size(),
                        key));
        *list = std::move(kept);
      }
    }
  }

  // Without sampling a temperature of 0 is common, and nothing reads it.
  static void drop_unused_filters(Json& json) {
    for (const NumberSetting& row : number_settings()) {
      const auto found = json.find(row.key);
      const bool filters = row.member == &GenerationSettings::temperature ||
                           row.member == &GenerationSettings::top_p;
      if (filters && found != json.end() && found->is_number() &&
          !(*found >= row.least && *found <= row.most)) {
        json.erase(found);
      }
    }
    const auto top_k = json.find("top_k");
    if (top_k != json.end() && top_k->is_number() && *top_k < 0) {
      json.erase(top_k);
    }
  }

  // generate(inputs_embeds=...) counts the positions of its embeddings in max_length and
  // min_length, with cross attention the start token; both are ignored where the number of new tokens
  // is given.
  void finish_length() {
    GenerationSettings& settings = config_.settings;
    const bool cross = has_cross_attention(checkpoint_);
    const int64_t image = cross                ? checkpoint_.positions_before()
                          : checkpoint_.vision ? checkpoint_.vision->tokens()
                                               : 0;
    const int64_t positions = checkpoint_.text->max_position_embeddings;
    if (settings.max_new_tokens) {
      config_.max_new_tokens = *settings.max_new_tokens;
      settings.max_length.reset();
    } else if (settings.max_length && *settings.max_length <= image) {
      config_.notes.push_back(fmt::format(
          "max_length {} counts the {} {} and leaves no room behind them; {} new tokens "
          "are taken instead",
          *settings.max_length,
          image,
          cross ? "start token" : "image tokens",
          config_.max_new_tokens));
      settings.max_length.reset();
    } else if (settings.max_length) {
      settings.max_length = std::min(*settings.max_length, positions);
      config_.max_new_tokens = std::max<int64_t>(1, *settings.max_length - image);
    }
    settings.max_new_tokens.reset();
    if (settings.min_new_tokens) {
      settings.min_length.reset();
    }
  }

  void finish_choice() {
    GenerationSettings& settings = config_.settings;
    if (!settings.do_sample.value_or(false)) {
      return;
    }
    if (settings.num_beams.value_or(1) > 1) {
      config_.notes.push_back(fmt::format(
          "do_sample with num_beams {}: beams are not sampled here, the likeliest are taken",
          *settings.num_beams));
      settings.do_sample.reset();
    } else if (!settings.top_k) {
      settings.top_k = kTopKOfSampling;
    }
  }

  // As GenerationConfig.validate().
  void require_some_token_allowed(const std::string& where) const {
    const GenerationSettings& settings = config_.settings;
    const std::vector<int64_t> none;
    const std::vector<int64_t>& suppressed =
        settings.suppress_tokens ? *settings.suppress_tokens : none;
    const auto check = [&](const char* key, const std::vector<int64_t>& forced) {
      const auto is_suppressed = [&](int64_t id) {
        return std::ranges::find(suppressed, id) != suppressed.end();
      };
      if (!forced.empty() && std::ranges::all_of(forced, is_suppressed)) {
        fail(ErrorCode::kInvalidFile,
             "{}: {} forces what suppress_tokens forbids, [{}]; remove one of them",
             where,
             key,
             fmt::join(forced, ", "));
      }
    };
    check("forced_eos_token_id", settings.forced_eos_token_id.value_or(none));
    if (settings.forced_bos_token_id) {
      check("forced_bos_token_id", {*settings.forced_bos_token_id});
    }
  }

  void note_what_is_not_followed() {
    std::vector<std::string_view> names;
    const bool samples = config_.settings.do_sample.value_or(false);
    for (const GenerationKey& row : not_followed_keys()) {
      if (is_set(config_.kept, row) && (samples || !row.only_sampling)) {
        names.emplace_back(row.key);
      }
    }
    if (!names.empty()) {
      config_.notes.push_back(
          fmt::format("generation settings that are not followed by `lorapress caption`, the "
                      "browser runtime and verify: {}",
                      fmt::join(names, ", ")));
    }
  }

  void drop_what_is_off() {
    GenerationSettings& settings = config_.settings;
    const auto drop = [](auto& setting, const auto& off) {
      if (setting == off) {
        setting.reset();
      }
    };
    drop(settings.min_length, 0);
    drop(settings.min_new_tokens, 0);
    drop(settings.repetition_penalty, 1.0);
    drop(settings.no_repeat_ngram_size, 0);
    drop(settings.suppress_tokens, std::vector<int64_t>());
    drop(settings.begin_suppress_tokens, std::vector<int64_t>());
    drop(settings.forced_eos_token_id, std::vector<int64_t>());
    drop(settings.num_beams, 1);
    drop(settings.length_penalty, 1.0);
    drop(settings.early_stopping, EarlyStopping::kHeuristic);
    drop(settings.do_sample, false);
    drop(settings.temperature, 1.0);
    drop(settings.top_p, 1.0);
  }

  const Checkpoint& checkpoint_;
  const Json& overrides_;
  int64_t vocab_size_;
  GenerationConfig config_;
};

}  // namespace

GenerationConfig read_generation_config(const Checkpoint& checkpoint, const Json& overrides) {
  return ConfigReader(checkpoint, overrides).read();
}

std::vector<std::vector<int64_t>> without_end_words(const std::vector<std::vector<int64_t>>& words,
                                                    const std::vector<int64_t>& eos_token_ids) {
  std::vector<std::vector<int64_t>> kept;
  std::ranges::copy_if(words, std::back_inserter(kept), [&](const std::vector<int64_t>& word) {
    return word.size() != 1 || std::ranges::find(eos_token_ids, word[0]) == eos_token_ids.end();
  });
  return kept;
}

}  // namespace lorapress
