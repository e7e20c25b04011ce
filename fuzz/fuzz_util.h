// What the targets share: the input as text, and as a file that never touches a disk.
#ifndef LORAPRESS_FUZZ_FUZZ_UTIL_H_
#define LORAPRESS_FUZZ_FUZZ_UTIL_H_

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include "lorapress/error.h"

namespace lorapress::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A promise of the code under test that does not hold is a crash, as for the sanitizers.
inline void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Runs `work`; an Error is the expected answer to most inputs, any other exception is a crash.
template <typename Work>
void expect_no_more_than_error(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    require(!std::string_view(error.what()).empty());
  }
}

// A file in memory, as long as this lives.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : descriptor_(::memfd_create("fuzz", 0)) {
    require(descriptor_ >= 0);
    const ssize_t written = ::write(descriptor_, content.data(), content.size());
    require(written == static_cast<ssize_t>(content.size()));
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] std::filesystem::path path() const {
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

 private:
  int descriptor_;
};

}  // namespace lorapress::fuzz

#endif  // LORAPRESS_FUZZ_FUZZ_UTIL_H_
