// Temporary data on disk that is too large for memory.
#ifndef LORAPRESS_BASE_SCRATCH_FILE_H_
#define LORAPRESS_BASE_SCRATCH_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>

namespace lorapress {

// A file without a name: the system takes it back when the process ends, however that happens.
// Thread safe.
class ScratchFile {
 public:
  // On the disk of `folder`, which exists. Throws kIo.
  explicit ScratchFile(const std::filesystem::path& folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  // Returns the offset of the bytes. Throws kIo, also for a full disk.
  uint64_t append(std::span<const std::byte> bytes);
  void read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path folder_;  // for messages
  int descriptor_ = -1;
  std::mutex mutex_;
  uint64_t size_ = 0;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_SCRATCH_FILE_H_
