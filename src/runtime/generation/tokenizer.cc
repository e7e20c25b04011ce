#include "runtime/generation/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "lorapress_tokenizer.h"

namespace lorapress {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::string take_error(char* error) {
  std::string message = error != nullptr ? error : "no reason given";
  lp_tokenizer_free_error(error);
  return message;
}

// Where the replacement characters at the end begin. They may become a real character yet.
size_t settled_size(std::string_view text) {
  while (text.ends_with(kReplacement)) {
    text.remove_suffix(kReplacement.size());
  }
  return text.size();
}

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

void Tokenizer::Free::operator()(lp_tokenizer* handle) const {
  lp_tokenizer_free(handle);
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) {
  return from_json(read_text(path), path.string());
}

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view name) {
  char* error = nullptr;
  lp_tokenizer* handle =
      lp_tokenizer_from_bytes(reinterpret_cast<const uint8_t*>(json.data()), json.size(), &error);
  if (handle == nullptr) {
    fail(ErrorCode::kInvalidFile, "{}: not a usable tokenizer: {}", name, take_error(error));
  }
  return Tokenizer(handle);
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  uint32_t* ids = nullptr;
  size_t count = 0;
  char* error = nullptr;
  if (lp_tokenizer_encode(handle_.get(),
                          text.data(),
                          text.size(),
                          add_special_tokens ? 1 : 0,
                          &ids,
                          &count,
                          &error) == 0) {
    fail(ErrorCode::kInvalidArgument, "cannot tokenize: {}", take_error(error));
  }
  const auto release = [count](uint32_t* data) { lp_tokenizer_free_ids(data, count); };
  const std::unique_ptr<uint32_t, decltype(release)> owner(ids, release);
  return {ids, ids + count};
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool skip_special_tokens) const {
  std::vector<uint32_t> narrow;
  narrow.reserve(ids.size());
  for (const int64_t id : ids) {
    if (!std::in_range<uint32_t>(id)) {
      fail(ErrorCode::kInvalidArgument, "cannot decode: {} is not a token id", id);
    }
    narrow.push_back(static_cast<uint32_t>(id));
  }
  char* text = nullptr;
  size_t size = 0;
  char* error = nullptr;
  if (lp_tokenizer_decode(handle_.get(),
                          narrow.data(),
                          narrow.size(),
                          skip_special_tokens ? 1 : 0,
                          &text,
                          &size,
                          &error) == 0) {
    fail(ErrorCode::kRuntime, "cannot decode {} token ids: {}", ids.size(), take_error(error));
  }
  const auto release = [size](char* data) { lp_tokenizer_free_text(data, size); };
  const std::unique_ptr<char, decltype(release)> owner(text, release);
  return {text, size};
}

std::optional<int64_t> Tokenizer::token_to_id(std::string_view token) const {
  const int64_t id = lp_tokenizer_token_to_id(handle_.get(), token.data(), token.size());
  return id < 0 ? std::nullopt : std::optional(id);
}

size_t Tokenizer::vocab_size() const {
  return lp_tokenizer_vocab_size(handle_.get());
}

std::string TextStream::push(int64_t id) {
  ids_.push_back(id);
  text_ = tokenizer_->decode(ids_, skip_special_tokens_);
  const size_t end = settled_size(text_);
  // Byte fallback spells a whole run of bytes as U+FFFD while the run is broken, and what was
  // printed may come back with the next byte. Once other text follows, it will not.
  if (!text_.starts_with(printed_) && end < text_.size()) {
    return {};
  }
  return advance_to(end);
}

std::string TextStream::finish() {
  return advance_to(text_.size());
}

std::string TextStream::advance_to(size_t end) {
  const size_t begin = std::min(common_prefix(text_, printed_), end);
  std::string piece = text_.substr(begin, end - begin);
  printed_.assign(text_, 0, end);
  return piece;
}

}  // namespace lorapress
