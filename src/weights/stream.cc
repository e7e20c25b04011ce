#include "weights/stream.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/buffer.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "weights/group.h"
#include "weights/pieces.h"

namespace lorapress {
namespace {

constexpr size_t kWindow = size_t{128} << 10;
constexpr uint64_t kStripe = uint64_t{1} << 20;  // bytes of a transposed weight in memory
constexpr uint64_t kLeastRows = 16;              // a cache line of float32 in every source row

// Buffers that a worker reuses from chunk to chunk.
struct ChunkBuffers {
  Buffer<std::byte> window{kWindow};
  Buffer<std::byte> block;  // of weights that are not row-wise
};

// Writes pieces of a chunk. Bytes pass through a window small enough for the second-level cache,
// where they are hashed and written while they are hot: handing the kernel whole chunks is two to
// three times slower than the copy itself.
class ChunkWriter {
 public:
  ChunkWriter(const FilePlan& plan,
              OutputFile& file,
              Sha256* hash,
              GroupCache& memory,
              ChunkBuffers& buffers)
      : plan_(plan),
        file_(file),
        hash_(hash),
        memory_(memory),
        window_(buffers.window.span()),
        block_(buffers.block) {}

  void write(const Piece& piece) {
    position_ = piece.begin;
    for (auto segment = first_segment(piece.begin);
         segment != plan_.segments().end() && segment->offset < piece.end;
         ++segment) {
      const uint64_t from = std::max(piece.begin, segment->offset);
      const uint64_t to = std::min(piece.end, segment->offset + segment->bytes);
      write_part(*segment, from - segment->offset, to - from);
    }
    flush();
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
    const auto extent = hash_ != nullptr ? std::nullopt : (*weight)->extent();
    if (extent) {
      flush();
      file_.copy_from(*extent->file, extent->offset + offset, position_, count);
      position_ += count;
    } else if ((*weight)->row_wise()) {
      stream(**weight, offset, count);
    } else if ((*weight)->stays_in_memory((*weight)->values())) {
      put_stripes(**weight, offset, count);
    } else {
      put_block(**weight, offset, count);
    }
  }

  // Produces the weight straight into the window, in whole rows where they fit.
  void stream(const Weight& weight, uint64_t offset, uint64_t count) {
    const uint64_t pitch = weight.bytes() / static_cast<uint64_t>(weight.rows());
    while (count > 0) {
      const bool whole = offset % pitch == 0 && pitch <= std::min<uint64_t>(count, kWindow);
      if (whole && kWindow - filled_ < pitch) {
        flush();
      }
      const uint64_t room = kWindow - filled_;
      const uint64_t step = std::min(count, whole ? room / pitch * pitch : room);
      memory_.read(weight, offset, window_.subspan(filled_, step));
      advance(step);
      offset += step;
      count -= step;
    }
  }

  // Writes a weight whose source stays in memory, in stripes of rows: small enough to stay in a
  // cache until they are written, wide enough for runs of columns in every source row.
  void put_stripes(const Weight& weight, uint64_t offset, uint64_t count) {
    const uint64_t pitch = weight.bytes() / static_cast<uint64_t>(weight.rows());
    const uint64_t stripe = std::max(kLeastRows, kStripe / pitch / kLeastRows * kLeastRows) * pitch;
    while (count > 0) {
      const uint64_t step = std::min(count, stripe - offset % stripe);
      put_block(weight, offset, step);
      offset += step;
      count -= step;
    }
  }

  void put_block(const Weight& weight, uint64_t offset, uint64_t count) {
    block_.resize(count);
    memory_.read(weight, offset, block_.span());
    put(block_.span());
  }

  void put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (bytes.size() >= kWindow) {
        flush();
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
    if (hash_ != nullptr) {
      hash_->update(bytes);
    }
    file_.write_at(position_, bytes);
    position_ += bytes.size();
  }

  const FilePlan& plan_;
  OutputFile& file_;
  Sha256* hash_;  // null: bytes may be copied in the kernel
  GroupCache& memory_;
  uint64_t position_ = 0;  // offset of the window in the file
  size_t filled_ = 0;
  std::span<std::byte> window_;
  Buffer<std::byte>& block_;
};

class Writing {
 public:
  Writing(const std::vector<FilePlan>& plans, const StreamOptions& options)
      : plans_(plans), options_(options) {
    for (const FilePlan& plan : plans) {
      const auto chunks = static_cast<size_t>((plan.size() + kChunkBytes - 1) / kChunkBytes);
      files_.push_back(std::make_unique<OutputFile>(plan.path(), plan.size()));
      written_.push_back({plan.path(), plan.size(), {}});
      written_.back().chunk_sha256.resize(options.hash ? chunks : 0);
      hashes_.emplace_back(options.hash ? chunks : 0);
      total_ += plan.size();
      for (const FilePlan::Segment& segment : plan.segments()) {
        if (const auto* weight = std::get_if<WeightPtr>(&segment.content)) {
          memory_.add(**weight);
        }
      }
    }
  }

  void run() {
    std::vector<Piece> pieces = plan_pieces(plans_);
    const auto workers =
        static_cast<unsigned>(std::min<size_t>(resolve_threads(options_.threads), pieces.size()));
    PieceQueue queue(std::move(pieces));
    parallel_for(workers, workers, [&](size_t /*index*/, unsigned /*worker*/) {
      try {
        ChunkBuffers buffers;
        while (const auto taken = queue.take()) {
          write(taken->piece, buffers);
          queue.finish(*taken);
        }
      } catch (...) {
        queue.stop();
        throw;
      }
    });
  }

  std::vector<WrittenFile> finish() {
    for (const auto& file : files_) {
      file->close();
    }
    return std::move(written_);
  }

 private:
  void write(const Piece& piece, ChunkBuffers& buffers) {
    const FilePlan& plan = plans_[piece.file];
    const auto chunk = static_cast<size_t>(piece.chunk());
    Sha256* hash = nullptr;
    if (options_.hash) {
      std::unique_ptr<Sha256>& begun = hashes_[piece.file][chunk];
      if (piece.begin % kChunkBytes == 0) {
        begun = std::make_unique<Sha256>();
      }
      hash = begun.get();
    }
    ChunkWriter(plan, *files_[piece.file], hash, memory_, buffers).write(piece);
    if (hash != nullptr && (piece.end % kChunkBytes == 0 || piece.end == plan.size())) {
      written_[piece.file].chunk_sha256[chunk] = hash->finish();
      hashes_[piece.file][chunk].reset();
    }
    if (options_.progress) {
      const std::lock_guard lock(progress_mutex_);
      done_ += piece.end - piece.begin;
      options_.progress({"write", done_, total_});
    }
  }

  const std::vector<FilePlan>& plans_;
  const StreamOptions& options_;
  std::vector<std::unique_ptr<OutputFile>> files_;
  std::vector<WrittenFile> written_;
  std::vector<std::vector<std::unique_ptr<Sha256>>> hashes_;  // of unfinished chunks
  GroupCache memory_;
  uint64_t total_ = 0;
  std::mutex progress_mutex_;
  uint64_t done_ = 0;
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
  Writing writing(plans, options);
  writing.run();
  return writing.finish();
}

}  // namespace lorapress
