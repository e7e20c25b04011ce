#include "bundles/image_token.h"

#include <algorithm>

#include "base/fail.h"

namespace lorapress {
namespace {

std::string text_of(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : std::string();
}

bool adds_tokens(const Json& processor) {
  const std::string type = text_of(processor, "type");
  return type == "TemplateProcessing" || type == "BertProcessing" || type == "RobertaProcessing";
}

// Removes steps that add special tokens from "post_processor"; returns whether there were any.
bool drop_added_tokens(Json& tokenizer) {
  const auto found = tokenizer.find("post_processor");
  if (found == tokenizer.end()) {
    return false;
  }
  if (adds_tokens(*found)) {
    *found = nullptr;
    return true;
  }
  const auto parts = found->is_object() ? found->find("processors") : found->end();
  if (!found->is_object() || parts == found->end() || !parts->is_array()) {
    return false;
  }
  Json kept = Json::array();
  std::ranges::copy_if(
      *parts, std::back_inserter(kept), [](const Json& part) { return !adds_tokens(part); });
  const bool dropped = kept.size() != parts->size();
  *parts = kept;
  return dropped;
}

int64_t id_of(const Json& id, const std::string& where) {
  constexpr int64_t kMost = 1 << 24;
  if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= kMost) {
    fail(ErrorCode::kInvalidFile, "{}: {} is no token id", where, id.dump().substr(0, 80));
  }
  return id.get<int64_t>();
}

// The largest id of "model.vocab": an object of ids (BPE) or a list of rows (Unigram).
int64_t last_vocabulary_id(const Json& tokenizer, const std::string& where) {
  const auto model = tokenizer.find("model");
  const auto vocabulary =
      model == tokenizer.end() || !model->is_object() ? tokenizer.end() : model->find("vocab");
  if (model == tokenizer.end() || !model->is_object() || vocabulary == model->end()) {
    fail(ErrorCode::kInvalidFile, "{}: no \"model.vocab\"", where);
  }
  if (vocabulary->is_array()) {
    return static_cast<int64_t>(vocabulary->size()) - 1;
  }
  int64_t last = -1;
  for (const auto& [token, id] : vocabulary->items()) {
    last = std::max(last, id_of(id, where));
  }
  return last;
}

}  // namespace

ImageToken image_token(const TokenizerFiles& tokenizer) {
  const std::string where = (tokenizer.folder / "tokenizer.json").string();
  ImageToken made;
  made.tokenizer = parse_json(tokenizer.files.at("tokenizer.json"), where);
  int64_t last = last_vocabulary_id(made.tokenizer, where);
  made.dropped_post_processor = drop_added_tokens(made.tokenizer);
  Json& added = made.tokenizer["added_tokens"];
  if (!added.is_array()) {
    added = Json::array();
  }
  for (const Json& token : added) {
    const int64_t id = id_of(token.is_object() ? token.value("id", Json()) : Json(), where);
    if (text_of(token, "content") == kImageToken) {
      made.id = id;
      return made;
    }
    last = std::max(last, id);
  }
  made.id = last + 1;
  added.push_back({{"id", made.id},
                   {"content", kImageToken},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", true}});
  return made;
}

ImageToken image_token(const Checkpoint& checkpoint, const TokenizerFiles& tokenizer) {
  ImageToken token = image_token(tokenizer);
  if (checkpoint.image_token_id < 0) {
    return token;
  }
  const std::string where = (tokenizer.folder / "tokenizer.json").string();
  if (token.id != checkpoint.image_token_id) {
    fail(ErrorCode::kMismatch,
         "{}: the image token is {}, {} has {} for {}; the tokenizer is of another model",
         checkpoint.config_where.at("projection"),
         checkpoint.image_token_id,
         where,
         token.id,
         kImageToken);
  }
  token.tokenizer = parse_json(tokenizer.files.at("tokenizer.json"), where);
  token.dropped_post_processor = false;
  return token;
}

}  // namespace lorapress
