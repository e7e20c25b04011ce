#include "api/caption_prompt.h"

#include "base/fail.h"
#include "runtime/generation/prompt.h"
#include "runtime/graph_choice.h"
#include "runtime/tiles.h"

namespace lorapress {

std::vector<int64_t> caption_first_ids(const Manifest& manifest,
                                       const Tokenizer& tokenizer,
                                       const ChatTemplate* chat,
                                       const GenerateOptions& options,
                                       int64_t rows,
                                       int64_t columns) {
  const std::string& prompt = options.prompt.empty() ? manifest.prompt : options.prompt;
  std::vector<int64_t> ids;
  if (embeds_apart(manifest)) {
    ImagePlaces image{manifest.image_token_id, manifest.image_tokens};
    if (const auto& splitting = manifest.preprocessing.splitting) {
      image.text = tiles_prompt(rows, columns, manifest.image_tokens, splitting->tokens);
    }
    ids = placeholder_ids(tokenizer, chat, image, options, prompt);
  } else {
    if (!options.system.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "options.system is a message for chat models; the bundle \"{}\" has none, its prompt is "
           "the text that the caption continues",
           manifest.bundle);
    }
    ids = tokenizer.encode(prompt);
    ids.insert(ids.begin(), manifest.decoder_start_token_id);
  }
  for (const int64_t id : ids) {
    if (id >= manifest.vocab_size && id != manifest.image_token_id) {
      fail(ErrorCode::kMismatch,
           "the prompt has the token {}, the model knows {}; tokenizer.json is of another model",
           id,
           manifest.vocab_size);
    }
  }
  return ids;
}

}  // namespace lorapress
