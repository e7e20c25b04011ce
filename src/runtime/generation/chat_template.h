// Prompts of chat models: a folder's chat template (Jinja), rendered as transformers'
// apply_chat_template renders it (the Rust crate in tokenizer/).
#ifndef LORAPRESS_RUNTIME_GENERATION_CHAT_TEMPLATE_H_
#define LORAPRESS_RUNTIME_GENERATION_CHAT_TEMPLATE_H_

#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"

namespace lorapress {

struct ChatTemplate {
  std::string text;                      // Jinja
  std::string name = "chat_template";    // stands for the source in messages
  Json special_tokens = Json::object();  // "bos_token", "eos_token", ...: the texts it sees
};

// With the special tokens of a tokenizer_config.json; `name` stands for the source in messages.
ChatTemplate make_chat_template(std::string text, std::string name, const Json& tokenizer_config);
// The template `file` of a folder that press() wrote, with the special tokens of the folder's
// tokenizer_config.json. Throws kNotFound, kIo, kInvalidFile.
ChatTemplate read_chat_template(const std::filesystem::path& folder, const std::string& file);

// The template's text for `messages`, a list of {"role", "content"}; `extra` holds further names that
// the template sees ("tools", "enable_thinking"). Throws kInvalidFile in one line where the template
// is no Jinja, refuses the messages (raise_exception), or takes too many steps or too much text.
std::string apply_chat_template(const ChatTemplate& chat,
                                const Json& messages,
                                bool add_generation_prompt,
                                const Json& extra = Json::object());

// The text of one request to a chat model: chat_messages() through the template, with the generation
// prompt.
std::string chat_prompt(const ChatTemplate& chat,
                        std::string_view system,
                        std::string_view prompt,
                        bool image);

// [system], user: messages of one request. With `image` the user's content begins with an image, and
// contents are lists of parts, as processors of vision-language models want them; otherwise contents
// are texts. An empty `system` or `prompt` is left out.
Json chat_messages(std::string_view system, std::string_view prompt, bool image);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_CHAT_TEMPLATE_H_
