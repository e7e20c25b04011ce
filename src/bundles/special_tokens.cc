#include "bundles/special_tokens.h"

#include <algorithm>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr int kMostNested = 8;  // sequences of post-processors inside each other

const Json* member(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? &*found : nullptr;
}

bool any_in(const Json* list, const auto& test) {
  return list != nullptr && list->is_array() && std::ranges::any_of(*list, test);
}

bool step_adds(const Json& step, int nested) {
  const Json* type = member(step, "type");
  if (type == nullptr || nested > kMostNested) {
    return false;
  }
  if (*type == "Sequence") {
    return any_in(member(step, "processors"),
                  [&](const Json& inner) { return step_adds(inner, nested + 1); });
  }
  if (*type == "TemplateProcessing") {
    return any_in(member(step, "single"),
                  [](const Json& piece) { return member(piece, "SpecialToken") != nullptr; });
  }
  return *type == "BertProcessing" || *type == "RobertaProcessing";
}

}  // namespace

bool adds_special_tokens(const Json& tokenizer) {
  const Json* step = member(tokenizer, "post_processor");
  return step != nullptr && step_adds(*step, 0);
}

Json pipeline_tokenizer_config(const TokenizerFiles& tokenizer) {
  const auto parsed = [&](const char* name) {
    return parse_json(tokenizer.files.at(name), (tokenizer.folder / name).string());
  };
  Json config = parsed(kTokenizerConfig);
  if (!config.is_object()) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a JSON object",
         (tokenizer.folder / kTokenizerConfig).string());
  }
  const auto chat = tokenizer.files.find(kChatTemplate);
  const Json* own = member(config, "chat_template");
  if (chat != tokenizer.files.end() && (own == nullptr || !own->is_array())) {
    config["chat_template"] = chat->second;
  }
  if (!config.contains("add_bos_token") && adds_special_tokens(parsed("tokenizer.json"))) {
    config["add_bos_token"] = true;
  }
  return config;
}

}  // namespace lorapress
