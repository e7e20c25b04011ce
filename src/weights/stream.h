// Streams files out of literal bytes and lazy weights: chunk by chunk on a few threads, hashing on
// the way. Memory is a few chunks per thread, whatever the size of the files.
#ifndef LORAPRESS_WEIGHTS_STREAM_H_
#define LORAPRESS_WEIGHTS_STREAM_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "lorapress/progress.h"

#include "weights/weight.h"

namespace lorapress {

inline constexpr uint64_t kChunkBytes = uint64_t{8} << 20;

// The content of a file to be, in order.
class FilePlan {
 public:
  explicit FilePlan(std::filesystem::path path) : path_(std::move(path)) {}
  void literal(std::string bytes);
  void weight(WeightPtr weight);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] uint64_t size() const { return size_; }

  struct Segment {
    uint64_t offset;
    uint64_t bytes;
    std::variant<std::string, WeightPtr> content;
  };
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }

 private:
  std::filesystem::path path_;
  std::vector<Segment> segments_;
  uint64_t size_ = 0;
};

struct WrittenFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
  std::vector<std::string>
      chunk_sha256;  // per kChunkBytes, the last one shorter; empty unless asked
};

struct StreamOptions {
  bool hash = false;
  unsigned threads = 0;
  ProgressFn progress;
};

// Writes all plans as new files. Without `hash`, unchanged weights are copied inside the kernel.
std::vector<WrittenFile> write_files(const std::vector<FilePlan>& plans,
                                     const StreamOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_STREAM_H_
