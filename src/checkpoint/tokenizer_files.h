// The tokenizer's files, the special token ids and the settings of generation.
#ifndef LORAPRESS_CHECKPOINT_TOKENIZER_FILES_H_
#define LORAPRESS_CHECKPOINT_TOKENIZER_FILES_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/generation_config.h"

namespace lorapress {

struct SpecialTokens {
  int64_t decoder_start_token_id =
      0;  // special, inside the embedding table; never reaches the model
  int64_t bos_token_id = 0;
  int64_t pad_token_id = 0;
  std::vector<int64_t> eos_token_ids;
};

// The file that holds a folder's chat template, if it has one.
inline constexpr const char* kChatTemplate = "chat_template.jinja";

struct TokenizerFiles {
  std::map<std::string, std::string>
      files;  // name -> content: tokenizer.json and the files beside it
  SpecialTokens tokens;
  GenerationConfig generation;
  std::filesystem::path folder;  // where the files were found
};

// From the first folder of the checkpoint, its adapters or its bases that has a tokenizer.json.
// A chat template that a JSON file holds (tokenizer_config.json, chat_template.json,
// processor_config.json; of several the one named "default") is written as kChatTemplate, too, and one of another file into
// tokenizer_config.json. Merges are
// written as "a b" strings, which every version of transformers.js reads. Throws
// kNotFound. `overrides`: of generation settings, as read_generation_config() takes them.
TokenizerFiles find_tokenizer(const Checkpoint& checkpoint, const Json& overrides = Json::object());

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_TOKENIZER_FILES_H_
