#include "base/sha256.h"

#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <lorapress_tokenizer.h>

namespace lorapress {

void Sha256::Free::operator()(lp_hash* hash) const {
  lp_hash_free(hash);
}

Sha256::Sha256() : hash_(lp_sha256_new()) {}

void Sha256::update(std::span<const std::byte> bytes) {
  lp_hash_update(hash_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string Sha256::finish() {
  std::array<uint8_t, 32> digest{};
  lp_hash_finish(hash_.get(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace lorapress
