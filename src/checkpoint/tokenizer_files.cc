#include "checkpoint/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStartKey = "decoder_start_token_id";
constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr std::array kOptional = {"special_tokens_map.json", "added_tokens.json", kChatTemplate};
// Files with a "chat_template", in the order in which transformers looks for them.
constexpr std::array kTemplateHolders = {
    "chat_template.json", "processor_config.json", kTokenizerConfig};

// True for the newer form of merges, "merges": [["a", "b"], …]. Checking the text avoids parsing
// megabytes when there is nothing to change.
bool has_pair_merges(const std::string& text) {
  constexpr std::string_view kKey = "\"merges\"";
  // A vocabulary may hold the word, too.
  for (size_t key = text.find(kKey); key != std::string::npos; key = text.find(kKey, key + 1)) {
    const size_t first = text.find_first_not_of(" \t\r\n:", key + kKey.size());
    const size_t second =
        first == std::string::npos ? first : text.find_first_not_of(" \t\r\n", first + 1);
    if (second != std::string::npos && text[first] == '[' && text[second] == '[') {
      return true;
    }
  }
  return false;
}

std::string with_string_merges(const std::string& text, const std::string& where) {
  Json json = parse_json(text, where);
  const Json::json_pointer place("/model/merges");
  if (!json.contains(place) || !json[place].is_array()) {
    return text;  // the word was elsewhere; the tokenizer reports a malformed file
  }
  Json joined = Json::array();
  for (const Json& pair : json[place]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      fail(ErrorCode::kInvalidFile, "{}: a merge is {}, expected two strings", where, pair.dump());
    }
    const auto& left = pair[0].get_ref<const std::string&>();
    const auto& right = pair[1].get_ref<const std::string&>();
    if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
      return text;  // cannot be written as one string
    }
    joined.push_back(left + " " + right);
  }
  json[place] = std::move(joined);
  return json.dump();
}

// The id of a token in added_tokens, which holds all special tokens.
std::optional<int64_t> added_token_id(const std::string& tokenizer,
                                      const std::string& token,
                                      const std::string& where) {
  const Json json = parse_json(tokenizer, where);
  const auto added = json.find("added_tokens");
  if (added == json.end() || !added->is_array()) {
    return std::nullopt;
  }
  for (const Json& entry : *added) {
    if (json_or<std::string>(entry, "content", "", where) == token) {
      return json_get<int64_t>(entry, "id", where);
    }
  }
  return std::nullopt;
}

// tokenizer_config.json spells a token as a string or as an AddedToken object.
std::string token_text(const Json& config, const char* key, const std::string& where) {
  const auto found = config.find(key);
  if (found != config.end() && found->is_string()) {
    return found->get<std::string>();
  }
  return found != config.end() && found->is_object()
             ? json_or<std::string>(*found, "content", "", where)
             : "";
}

// A text, or a list of {"name", "template"} of which "default" counts; nothing where there is neither.
std::optional<std::string> chat_template(const fs::path& folder) {
  for (const char* name : kTemplateHolders) {
    if (!fs::exists(folder / name)) {
      continue;
    }
    const Json json = read_json(folder / name);
    const auto found = json.is_object() ? json.find("chat_template") : json.end();
    if (found == json.end() || found->is_null()) {
      continue;
    }
    if (found->is_string()) {
      return found->get<std::string>();
    }
    const std::string where = (folder / name).string();
    if (!found->is_array()) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"chat_template\" is neither a text nor a list of named ones",
           where);
    }
    for (const Json& entry : *found) {
      if (json_or<std::string>(entry, "name", "", where) == "default") {
        return json_get<std::string>(entry, "template", where);
      }
    }
  }
  return std::nullopt;
}

// transformers.js applies the repetition penalty to the start token, too; with a penalty, a start
// token that is not an end token is better, if there is one.
int64_t start_token(const SpecialTokens& tokens, const GenerationSettings& settings) {
  const int64_t eos = tokens.eos_token_ids[0];
  if (!settings.repetition_penalty) {
    return eos;
  }
  for (const int64_t id : {tokens.bos_token_id, tokens.pad_token_id}) {
    if (std::ranges::find(tokens.eos_token_ids, id) == tokens.eos_token_ids.end()) {
      return id;
    }
  }
  return eos;
}

// What a decoder with cross attention begins with: generation_config.json's, else config.json's, else
// bos_token_id (GenerationMixin._get_decoder_start_token_id).
int64_t cross_start_token(const Checkpoint& checkpoint, int64_t generation_start) {
  const TextConfig& text = checkpoint.text.value();
  int64_t id = checkpoint.own_special_tokens ? -1 : generation_start;
  id = id >= 0 ? id : text.decoder_start_token_id;
  id = id >= 0 ? id : text.bos_token_id;
  if (id < 0 || id >= text.vocab_size) {
    fail(ErrorCode::kMismatch,
         "{}: decoder_start_token_id is {}, expected a token of the vocabulary of {}",
         checkpoint.folder.string(),
         id,
         text.vocab_size);
  }
  return id;
}

// End-of-text: generation_config.json, else the decoder's config, else the tokenizer's eos_token.
SpecialTokens special_tokens(const Checkpoint& checkpoint,
                             const fs::path& folder,
                             const TokenizerFiles& tokenizer) {
  const TextConfig& text = checkpoint.text.value();
  const GenerationConfig& generation = tokenizer.generation;
  const auto own = [&](const char* key) {
    return checkpoint.own_special_tokens && !generation.overrides.contains(key);
  };
  SpecialTokens tokens;
  if (!own("eos_token_id")) {
    tokens.eos_token_ids = generation.eos_token_ids;
  }
  if (tokens.eos_token_ids.empty()) {
    tokens.eos_token_ids = text.eos_token_ids;
  }
  if (tokens.eos_token_ids.empty()) {
    const Json config =
        parse_json(tokenizer.files.at(kTokenizerConfig), (folder / kTokenizerConfig).string());
    const std::string eos = token_text(config, "eos_token", (folder / kTokenizerConfig).string());
    const auto id =
        added_token_id(tokenizer.files.at(kTokenizer), eos, (folder / kTokenizer).string());
    if (eos.empty() || !id) {
      fail(ErrorCode::kNotFound,
           "{}: no eos_token_id in config.json and no eos_token here; generation would never stop",
           (folder / kTokenizerConfig).string());
    }
    tokens.eos_token_ids = {*id};
  }
  for (const int64_t id : tokens.eos_token_ids) {
    if (id < 0 || id >= text.vocab_size) {
      fail(ErrorCode::kMismatch,
           "{}: eos_token_id {} is outside the vocabulary of {}",
           checkpoint.folder.string(),
           id,
           text.vocab_size);
    }
  }
  const int64_t eos = tokens.eos_token_ids[0];
  const auto inside = [&](int64_t id) { return id >= 0 && id < text.vocab_size; };
  const auto first_inside = [&](const char* key, int64_t id, int64_t second) {
    return inside(id) && !own(key) ? id : inside(second) ? second : eos;
  };
  tokens.bos_token_id = first_inside("bos_token_id", generation.bos_token_id, text.bos_token_id);
  tokens.pad_token_id = first_inside("pad_token_id", generation.pad_token_id, text.pad_token_id);
  const bool is_chosen =
      generation.overrides.contains(kStartKey) && inside(generation.decoder_start_token_id);
  tokens.decoder_start_token_id =
      is_chosen ? generation.decoder_start_token_id
      : has_cross_attention(checkpoint)
          ? cross_start_token(checkpoint, generation.decoder_start_token_id)
          : start_token(tokens, generation.settings);
  return tokens;
}

// transformers.js looks for the template in tokenizer_config.json alone.
void add_chat_template(TokenizerFiles& found) {
  const auto text = found.files.find(kChatTemplate);
  if (text == found.files.end()) {
    return;
  }
  std::string& config = found.files[kTokenizerConfig];
  Json json = parse_json(config, (found.folder / kTokenizerConfig).string());
  if (json.is_object() && !json.contains("chat_template")) {
    json["chat_template"] = text->second;
    config = json.dump(2) + "\n";
  }
}

}  // namespace

TokenizerFiles find_tokenizer(const Checkpoint& checkpoint, const Json& overrides) {
  for (const fs::path& folder : checkpoint.tokenizer_folders()) {
    if (!fs::exists(folder / kTokenizer)) {
      continue;
    }
    TokenizerFiles found;
    found.folder = folder;
    const std::string text = read_text(folder / kTokenizer);
    found.files[kTokenizer] =
        has_pair_merges(text) ? with_string_merges(text, (folder / kTokenizer).string()) : text;
    found.files[kTokenizerConfig] = fs::exists(folder / kTokenizerConfig)
                                        ? read_text(folder / kTokenizerConfig)
                                        : R"({"tokenizer_class": "PreTrainedTokenizerFast"})";
    for (const char* name : kOptional) {
      if (fs::exists(folder / name)) {
        found.files[name] = read_text(folder / name);
      }
    }
    if (!found.files.contains(kChatTemplate)) {
      if (auto text = chat_template(folder)) {
        found.files[kChatTemplate] = std::move(*text);
      }
    }
    add_chat_template(found);
    found.generation = read_generation_config(checkpoint, overrides);
    found.tokens = special_tokens(checkpoint, folder, found);
    return found;
  }
  fail(ErrorCode::kNotFound,
       "{}: no {} here or in a base; pass options.base DIR with the decoder's tokenizer",
       checkpoint.folder.string(),
       kTokenizer);
}

}  // namespace lorapress
