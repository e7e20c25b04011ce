#include "runtime/generation/chat_template.h"

#include <array>
#include <memory>

#include "base/fail.h"
#include "base/file.h"
#include "lorapress_tokenizer.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr std::array kSpecialTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// tokenizer_config.json spells a token as a text or as an AddedToken object.
Json special_tokens(const Json& config) {
  Json tokens = Json::object();
  for (const char* name : kSpecialTokens) {
    const auto found = config.find(name);
    if (found == config.end()) {
      continue;
    }
    const Json& text = found->is_object() ? found->value("content", Json()) : *found;
    if (text.is_string()) {
      tokens[name] = text;
    }
  }
  return tokens;
}

}  // namespace

ChatTemplate make_chat_template(std::string text, std::string name, const Json& tokenizer_config) {
  return {std::move(text), std::move(name), special_tokens(tokenizer_config)};
}

ChatTemplate read_chat_template(const fs::path& folder, const std::string& file) {
  const fs::path config = folder / kTokenizerConfig;
  return make_chat_template(read_text(folder / file),
                            (folder / file).string(),
                            fs::exists(config) ? read_json(config) : Json::object());
}

std::string apply_chat_template(const ChatTemplate& chat,
                                const Json& messages,
                                bool add_generation_prompt,
                                const Json& extra) {
  Json request = chat.special_tokens;
  request.update(extra);
  request["template"] = chat.text;
  request["messages"] = messages;
  request["add_generation_prompt"] = add_generation_prompt;
  const std::string json = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  char* text = nullptr;
  size_t size = 0;
  char* error = nullptr;
  if (lp_chat_render(json.data(), json.size(), &text, &size, &error) == 0) {
    const std::unique_ptr<char, decltype(&lp_tokenizer_free_error)> owner(error,
                                                                          lp_tokenizer_free_error);
    fail(ErrorCode::kInvalidFile,
         "{}: the chat template cannot be rendered: {}",
         chat.name,
         error != nullptr ? error : "no reason given");
  }
  const auto release = [size](char* data) { lp_tokenizer_free_text(data, size); };
  const std::unique_ptr<char, decltype(release)> owner(text, release);
  return {text, size};
}

std::string chat_prompt(const ChatTemplate& chat,
                        std::string_view system,
                        std::string_view prompt,
                        bool image) {
  return apply_chat_template(chat, chat_messages(system, prompt, image), true);
}

Json chat_messages(std::string_view system, std::string_view prompt, bool image) {
  const auto content = [image](std::string_view text) {
    return image ? Json::array({{{"type", "text"}, {"text", text}}}) : Json(text);
  };
  Json messages = Json::array();
  if (!system.empty()) {
    messages.push_back({{"role", "system"}, {"content", content(system)}});
  }
  Json asked = prompt.empty() && image ? Json::array() : content(prompt);
  if (image) {
    asked.insert(asked.begin(), Json{{"type", "image"}});
  }
  messages.push_back({{"role", "user"}, {"content", std::move(asked)}});
  return messages;
}

}  // namespace lorapress
