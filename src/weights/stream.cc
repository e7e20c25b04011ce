#include "weights/stream.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>

#include "base/buffer.h"
#include "base/sha256.h"
#include "base/threads.h"

namespace lorapress {
namespace {

struct Task {
  size_t file;
  uint64_t chunk;
};

// Files take turns, so that threads seldom wait for one another at the same file's write lock.
std::vector<Task> interleave(const std::vector<FilePlan>& plans) {
  std::vector<Task> tasks;
  for (size_t file = 0; file < plans.size(); ++file) {
    const uint64_t chunks = (plans[file].size() + kChunkBytes - 1) / kChunkBytes;
    for (uint64_t chunk = 0; chunk < chunks; ++chunk) {
      tasks.push_back({file, chunk});
    }
  }
  const auto share = [&](const Task& task) {
    return static_cast<double>(task.chunk) * static_cast<double>(kChunkBytes) /
           static_cast<double>(plans[task.file].size());
  };
  std::ranges::stable_sort(tasks, {}, share);
  return tasks;
}

constexpr size_t kWindow = size_t{128} << 10;

// What a worker keeps from chunk to chunk.
struct ChunkBuffers {
  Buffer<std::byte> window{kWindow};
  Buffer<std::byte> block;  // of weights that are not row-wise
};

// Writes one chunk. Bytes pass through a window small enough for the second-level cache, where they
// are hashed and written while they are hot: handing the kernel whole chunks is two to three times
// slower than the copy itself.
class ChunkWriter {
 public:
  ChunkWriter(const FilePlan& plan, OutputFile& file, bool hash, ChunkBuffers& buffers)
      : plan_(plan),
        file_(file),
        hashed_(hash),
        window_(buffers.window.span()),
        block_(buffers.block) {}

  // Returns the digest, or an empty string.
  std::string write(uint64_t chunk) {
    const uint64_t begin = chunk * kChunkBytes;
    const uint64_t end = std::min(plan_.size(), begin + kChunkBytes);
    hash_ = hashed_ ? std::make_optional<Sha256>() : std::nullopt;
    position_ = begin;
    for (auto segment = first_segment(begin);
         segment != plan_.segments().end() && segment->offset < end;
         ++segment) {
      const uint64_t from = std::max(begin, segment->offset);
      const uint64_t to = std::min(end, segment->offset + segment->bytes);
      write_part(*segment, from - segment->offset, to - from);
    }
    flush();
    return hash_ ? hash_->finish() : std::string();
  }

 private:
  using Iterator = std::vector<FilePlan::Segment>::const_iterator;

  [[nodiscard]] Iterator first_segment(uint64_t offset) const {
    return std::ranges::partition_point(plan_.segments(), [&](const FilePlan::Segment& segment) {
      return segment.offset + segment.bytes <= offset;
    });
  }

  void write_part(const FilePlan::Segment& segment, uint64_t offset, uint64_t count) {
    const auto* weight = std::get_if<WeightPtr>(&segment.content);
    if (weight == nullptr) {
      const auto& text = std::get<std::string>(segment.content);
      put(std::as_bytes(std::span(text)).subspan(offset, count));
      return;
    }
    const auto extent = hashed_ ? std::nullopt : (*weight)->extent();
    if (extent) {
      flush();
      file_.copy_from(*extent->file, extent->offset + offset, position_, count);
      position_ += count;
    } else if ((*weight)->row_wise()) {
      stream(**weight, offset, count);
    } else {
      block_.resize(count);
      read_bytes(**weight, offset, block_.span());
      put(block_.span());
    }
  }

  // Produces the weight straight into the window, window by window.
  void stream(const Weight& weight, uint64_t offset, uint64_t count) {
    while (count > 0) {
      const uint64_t step = std::min<uint64_t>(count, kWindow - filled_);
      read_bytes(weight, offset, window_.subspan(filled_, step));
      advance(step);
      offset += step;
      count -= step;
    }
  }

  void put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (filled_ == 0 && bytes.size() >= kWindow) {
        emit(bytes.first(kWindow));
        bytes = bytes.subspan(kWindow);
        continue;
      }
      const size_t step = std::min(bytes.size(), kWindow - filled_);
      std::memcpy(window_.data() + filled_, bytes.data(), step);
      advance(step);
      bytes = bytes.subspan(step);
    }
  }

  void advance(size_t count) {
    filled_ += count;
    if (filled_ == kWindow) {
      flush();
    }
  }

  void flush() {
    emit(window_.first(filled_));
    filled_ = 0;
  }

  void emit(std::span<const std::byte> bytes) {
    if (hash_) {
      hash_->update(bytes);
    }
    file_.write_at(position_, bytes);
    position_ += bytes.size();
  }

  const FilePlan& plan_;
  OutputFile& file_;
  bool hashed_;
  std::optional<Sha256> hash_;
  uint64_t position_ = 0;  // where the window goes in the file
  size_t filled_ = 0;
  std::span<std::byte> window_;
  Buffer<std::byte>& block_;
};

}  // namespace

void FilePlan::literal(std::string bytes) {
  if (!bytes.empty()) {
    const uint64_t count = bytes.size();
    segments_.push_back({size_, count, std::move(bytes)});
    size_ += count;
  }
}

void FilePlan::weight(WeightPtr weight) {
  const uint64_t count = weight->bytes();
  if (count != 0) {
    segments_.push_back({size_, count, std::move(weight)});
    size_ += count;
  }
}

std::vector<WrittenFile> write_files(const std::vector<FilePlan>& plans,
                                     const StreamOptions& options) {
  std::vector<std::unique_ptr<OutputFile>> files;
  std::vector<WrittenFile> written;
  uint64_t total = 0;
  for (const FilePlan& plan : plans) {
    files.push_back(std::make_unique<OutputFile>(plan.path(), plan.size()));
    written.push_back({plan.path(), plan.size(), {}});
    written.back().chunk_sha256.resize(
        options.hash ? static_cast<size_t>((plan.size() + kChunkBytes - 1) / kChunkBytes) : 0);
    total += plan.size();
  }
  const std::vector<Task> tasks = interleave(plans);
  std::mutex progress_mutex;
  uint64_t done = 0;
  std::vector<ChunkBuffers> buffers(
      std::min<size_t>(resolve_threads(options.threads), tasks.size()));
  parallel_for(tasks.size(), options.threads, [&](size_t index, unsigned worker) {
    const Task& task = tasks[index];
    std::string digest =
        ChunkWriter(plans[task.file], *files[task.file], options.hash, buffers[worker])
            .write(task.chunk);
    if (options.hash) {
      written[task.file].chunk_sha256[static_cast<size_t>(task.chunk)] = std::move(digest);
    }
    if (options.progress) {
      const std::lock_guard lock(progress_mutex);
      done += std::min(kChunkBytes, plans[task.file].size() - task.chunk * kChunkBytes);
      options.progress({"write", done, total});
    }
  });
  for (const auto& file : files) {
    file->close();
  }
  return written;
}

}  // namespace lorapress
