// What a hub calls a file's content: the SHA-256 of large files (Git LFS), the Git blob id of others.
#ifndef LORAPRESS_HUB_BLOB_HASH_H_
#define LORAPRESS_HUB_BLOB_HASH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL

namespace lorapress {

class BlobHash {
 public:
  // `etag`: 64 hexadecimal digits for SHA-256; 40 for SHA-1 over "blob SIZE\0" and the bytes (git hash-object).
  BlobHash(std::string_view etag, uint64_t size);
  void update(std::span<const std::byte> bytes);
  // Whether all bytes gave the tag. No call may follow.
  bool matches();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::string etag_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace lorapress

#endif  // LORAPRESS_HUB_BLOB_HASH_H_
