// SHA-256 as lower-case hex (FIPS 180-4, by the crate sha2 in tokenizer/).
#ifndef LORAPRESS_BASE_SHA256_H_
#define LORAPRESS_BASE_SHA256_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct lp_hash;  // lorapress_tokenizer.h

namespace lorapress {

std::string sha256_hex(std::span<const std::byte> bytes);

// The same over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  // The digest. No call may follow.
  std::string finish();

 private:
  struct Free {
    void operator()(lp_hash* hash) const;
  };
  std::unique_ptr<lp_hash, Free> hash_;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_SHA256_H_
