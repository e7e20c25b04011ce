// Text to token ids and back, by Hugging Face's own library (the Rust crate in tokenizer/).
#ifndef LORAPRESS_RUNTIME_GENERATION_TOKENIZER_H_
#define LORAPRESS_RUNTIME_GENERATION_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct lp_tokenizer;

namespace lorapress {

// A loaded tokenizer.json. Truncation and padding settings in the file are ignored. Const functions
// may be called from several threads at once.
class Tokenizer {
 public:
  // Throws kNotFound, kIo, or kInvalidFile with the library's own reason.
  static Tokenizer from_file(const std::filesystem::path& path);
  // `name` stands for the source in messages.
  static Tokenizer from_json(std::string_view json, std::string_view name = "tokenizer.json");

  // Throws kInvalidArgument when `text` is not UTF-8.
  [[nodiscard]] std::vector<int64_t> encode(std::string_view text,
                                            bool add_special_tokens = false) const;
  // Ids above the vocabulary are skipped, since models pad theirs; throws kInvalidArgument for ids
  // that cannot be one (negative, above 32 bits).
  [[nodiscard]] std::string decode(std::span<const int64_t> ids,
                                   bool skip_special_tokens = true) const;
  [[nodiscard]] std::optional<int64_t> token_to_id(std::string_view token) const;
  // Number of tokens, the added ones included.
  [[nodiscard]] size_t vocab_size() const;

 private:
  struct Free {
    void operator()(lp_tokenizer* handle) const;
  };
  explicit Tokenizer(lp_tokenizer* handle) : handle_(handle) {}

  std::unique_ptr<lp_tokenizer, Free> handle_;
};

// Turns a growing id sequence into pieces to print. A piece never ends inside a UTF-8 character;
// all pieces together are decode(all ids), unless decoding changes text that was printed, as byte
// fallback does for bytes that are not UTF-8.
class TextStream {
 public:
  // REQUIRES: `tokenizer` outlives the stream.
  explicit TextStream(const Tokenizer& tokenizer, bool skip_special_tokens = true)
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // What the id adds; empty while it is only part of a character.
  [[nodiscard]] std::string push(int64_t id);
  // The text that was held back, replacement characters included. Ends the stream.
  [[nodiscard]] std::string finish();

 private:
  [[nodiscard]] std::string advance_to(size_t end);

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<int64_t> ids_;
  std::string text_;     // decode(ids_)
  std::string printed_;  // the part of it that push() and finish() have returned
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_TOKENIZER_H_
