#include "runtime/generation/prompt.h"

#include "base/fail.h"

namespace lorapress {
namespace {

std::string repeated(const std::string& text, int64_t times) {
  std::string result;
  for (int64_t i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

// The tokenizer adds its first token unless the template wrote it (as processors do).
bool begins_with_bos(const ChatTemplate* chat, const std::string& text) {
  if (chat == nullptr) {
    return false;
  }
  const std::string bos = chat->special_tokens.value("bos_token", "");
  return !bos.empty() && text.starts_with(bos);
}

// Null where the prompt does not go through a template.
const ChatTemplate* chosen_template(const ChatTemplate* chat, const GenerateOptions& options) {
  const ChatTemplate* chosen = options.raw_prompt ? nullptr : chat;
  if (!options.system.empty() && chosen == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "options.system needs a chat template, and the folder has none or it is left out");
  }
  return chosen;
}

}  // namespace

std::vector<int64_t> text_ids(const Tokenizer& tokenizer,
                              const ChatTemplate* chat,
                              const GenerateOptions& options,
                              const std::string& prompt) {
  const ChatTemplate* chosen = chosen_template(chat, options);
  return chosen == nullptr
             ? tokenizer.encode(prompt, true)
             : tokenizer.encode(chat_prompt(*chosen, options.system, prompt, false), false);
}

std::vector<int64_t> placeholder_ids(const Tokenizer& tokenizer,
                                     const ChatTemplate* chat,
                                     const ImagePlaces& image,
                                     const GenerateOptions& options,
                                     const std::string& prompt) {
  const ChatTemplate* chosen = chosen_template(chat, options);
  const std::string token = tokenizer.decode(std::vector{image.token_id}, false);
  if (token.empty()) {
    fail(ErrorCode::kMismatch,
         "the tokenizer has no token {}, the place of the image",
         image.token_id);
  }
  std::string text;
  if (chosen != nullptr) {
    text = chat_prompt(*chosen, options.system, prompt, true);
  } else {
    text = prompt.find(token) == std::string::npos ? token + prompt : prompt;
  }
  size_t found = 0;
  size_t place = 0;
  for (size_t at = text.find(token); at != std::string::npos;
       at = text.find(token, at + token.size())) {
    place = at;
    ++found;
  }
  if (found != 1) {
    fail(ErrorCode::kInvalidArgument, "the prompt has {} times {}, expected 1", found, token);
  }
  const bool begins = begins_with_bos(chat, text);
  text.replace(
      place, token.size(), image.text.empty() ? repeated(token, image.positions) : image.text);
  return tokenizer.encode(text, !begins);
}

}  // namespace lorapress
