#include "hub/blob_hash.h"

#include <array>
#include <openssl/evp.h>

#include "base/fail.h"

namespace lorapress {
namespace {

void require_digest(int result) {
  if (result != 1) {
    fail(ErrorCode::kRuntime, "SHA-1 or SHA-256 is not available in this OpenSSL");
  }
}

}  // namespace

void BlobHash::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

BlobHash::BlobHash(std::string_view etag, uint64_t size)
    : etag_(etag), context_(EVP_MD_CTX_new()) {
  const bool large = etag.size() == 64;
  require_digest(
      context_ ? EVP_DigestInit_ex(context_.get(), large ? EVP_sha256() : EVP_sha1(), nullptr) : 0);
  if (!large) {
    const std::string header = fmt::format("blob {}", size);
    update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  }
}

void BlobHash::update(std::span<const std::byte> bytes) {
  require_digest(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

bool BlobHash::matches() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  require_digest(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
  return fmt::format("{:02x}", fmt::join(std::span(digest).first(size), "")) == etag_;
}

}  // namespace lorapress
