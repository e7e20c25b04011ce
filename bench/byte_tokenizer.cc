#include "byte_tokenizer.h"

#include <algorithm>
#include <string>
#include <vector>

namespace lorapress {
namespace {

std::string utf8(uint32_t point) {
  if (point < 0x80) {
    return {static_cast<char>(point)};
  }
  return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
}

// The printable stand-ins of the 256 bytes in byte-level BPE (GPT-2's bytes_to_unicode), letters
// and the space first, so that the pairs made of them read as text.
std::vector<std::string> byte_symbols() {
  std::vector<std::string> letters;
  std::vector<std::string> rest;
  uint32_t stand_in = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool shown =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const std::string symbol = utf8(shown ? byte : stand_in++);
    (byte == ' ' || (byte >= 'a' && byte <= 'z') ? letters : rest).push_back(symbol);
  }
  letters.insert(letters.end(), rest.begin(), rest.end());
  return letters;
}

}  // namespace

Json tokenizer_json(int64_t vocab_size, const std::vector<std::string>& special_tokens) {
  const int64_t ordinary = vocab_size - std::ssize(special_tokens);
  const std::string special = "<|endoftext|>";
  const std::vector<std::string> symbols = byte_symbols();
  Json vocab = {{special, 0}};
  for (const std::string& symbol : symbols) {
    vocab[symbol] = vocab.size();
  }
  Json merges = Json::array();
  for (size_t last = 0; last < symbols.size(); ++last) {
    for (size_t other = 0; other <= last; ++other) {
      for (const auto& [left, right] : {std::pair{other, last}, std::pair{last, other}}) {
        const bool fits = static_cast<int64_t>(vocab.size()) < ordinary;
        if (fits && vocab.emplace(symbols[left] + symbols[right], vocab.size()).second) {
          merges.push_back(symbols[left] + " " + symbols[right]);
        }
      }
    }
  }
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", true}};
  Json added = Json::array();
  const auto add = [&](const std::string& content) {
    const auto known = vocab.emplace(content, vocab.size()).first;
    added.push_back({{"id", *known},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  };
  add(special);
  std::ranges::for_each(special_tokens, add);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", bytes},
          {"post_processor", nullptr},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

Json tokenizer_config_json() {
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"bos_token", "<|endoftext|>"},
          {"eos_token", "<|endoftext|>"},
          {"unk_token", "<|endoftext|>"},
          {"clean_up_tokenization_spaces", false},
          {"model_max_length", 2048}};
}

}  // namespace lorapress
