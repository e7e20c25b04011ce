// Writes files made of literal bytes and lazy weights, chunk by chunk on a few threads, and hashes
// while it writes. Memory is a few chunks per thread, whatever the size of the files.
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

// The content of a file to write: literal bytes and weights, in order.
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
      chunk_sha256;  // hex, one per kChunkBytes, the last chunk may be shorter; only with `hash`
};

struct StreamOptions {
  bool hash = false;
  unsigned threads = 0;
  ProgressFn progress;
};

// Writes every plan as a new file, in the order of `plans`. Without `hash`, weights that lie
// unchanged in a source file (Weight::extent()) are copied inside the kernel. Throws kExists, kIo,
// and what reading a weight throws.
std::vector<WrittenFile> write_files(const std::vector<FilePlan>& plans,
                                     const StreamOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_STREAM_H_
