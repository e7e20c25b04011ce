#include "hub/blob_hash.h"

#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <lorapress_tokenizer.h>

namespace lorapress {

void BlobHash::Free::operator()(lp_hash* hash) const {
  lp_hash_free(hash);
}

BlobHash::BlobHash(std::string_view etag, uint64_t size)
    : etag_(etag), hash_(etag.size() == 64 ? lp_sha256_new() : lp_sha1_new()) {
  if (etag.size() != 64) {
    const std::string header = fmt::format("blob {}", size);
    update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  }
}

void BlobHash::update(std::span<const std::byte> bytes) {
  lp_hash_update(hash_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

bool BlobHash::matches() {
  std::array<uint8_t, 32> digest{};
  const size_t size = lp_hash_finish(hash_.get(), digest.data());
  return fmt::format("{:02x}", fmt::join(std::span(digest).first(size), "")) == etag_;
}

}  // namespace lorapress
