#include "weights/shared.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "base/buffer.h"

namespace lorapress {
namespace {

constexpr size_t kSlabValues = size_t{256} << 10;  // 1 MiB: whole rows of one weight
constexpr size_t kStepValues = size_t{64} << 10;
constexpr size_t kLeastValues = size_t{4} << 10;  // smaller weights are not shared

// Whole rows of one weight, filled by the first reader while others wait for its mutex; a view
// (Weight::view) holds the slab as its owner, so an evicted slab lives as long as its views. Not
// std::call_once: after an exception it never returns where pthread_once does not unwind (musl,
// ThreadSanitizer).
struct Slab {
  std::mutex mutex;
  bool filled = false;
  Buffer<float> values;
};

}  // namespace

class SharedReads::Store {
 public:
  explicit Store(size_t most_bytes)
      : most_slabs_(std::max<size_t>(1, most_bytes / (kSlabValues * sizeof(float)))) {}

  // A freed weight's address may be reused by another one, so slabs are keyed by this serial number
  // instead.
  uint64_t new_id() { return ids_++; }

  // Rows [row, row + count) of `source`, which the first caller reads.
  std::shared_ptr<const Slab> rows(uint64_t id, const Weight& source, int64_t row, int64_t count) {
    const std::shared_ptr<Slab> slab = find({id, row});
    const std::lock_guard lock(slab->mutex);
    if (!slab->filled) {
      fill(source, row, count, slab->values);
      slab->filled = true;
    }
    return slab;
  }

  // True if a weight of `values` elements stays in the store while several files are made from it:
  // it may fill half of the store; the other half is for weights that are read at the same time.
  [[nodiscard]] bool holds(uint64_t values) const {
    return values <= most_slabs_ * kSlabValues / 2;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    slabs_.clear();
    recent_.clear();
    spare_.clear();
  }

  [[nodiscard]] uint64_t values_read() const { return values_read_; }

 private:
  using Key = std::pair<uint64_t, int64_t>;  // a weight's id, the first row
  struct Entry {
    std::shared_ptr<Slab> slab;
    std::list<Key>::iterator place;
  };

  // Reads in steps that stay in the second-level cache while they are merged.
  void fill(const Weight& source, int64_t row, int64_t count, Buffer<float>& values) {
    const int64_t cols = source.cols();
    const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(kStepValues) / cols);
    values.resize(static_cast<size_t>(count * cols));
    for (int64_t done = 0; done < count; done += step) {
      const Block block{row + done, std::min(step, count - done), 0, cols};
      const auto place = values.span().subspan(static_cast<size_t>(done * cols), block.elements());
      source.read_floats(block, place);
    }
    values_read_ += values.size();
  }

  std::shared_ptr<Slab> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = slabs_.find(key);
    if (found != slabs_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second.place);
      return found->second.slab;
    }
    while (slabs_.size() >= most_slabs_) {
      drop_oldest();
    }
    auto slab = std::make_shared<Slab>();
    if (!spare_.empty()) {
      slab->values = std::move(spare_.back());
      spare_.pop_back();
    } else {
      slab->values.resize(kSlabValues);
    }
    recent_.push_front(key);
    slabs_.emplace(key, Entry{slab, recent_.begin()});
    return slab;
  }

  // Fresh memory costs a page fault for every 4 KiB, so buffers that nobody reads are reused.
  void drop_oldest() {
    const auto oldest = slabs_.find(recent_.back());
    if (oldest->second.slab.use_count() == 1) {
      spare_.push_back(std::move(oldest->second.slab->values));
    }
    slabs_.erase(oldest);
    recent_.pop_back();
  }

  size_t most_slabs_;
  std::atomic<uint64_t> ids_ = 0;
  std::atomic<uint64_t> values_read_ = 0;
  std::mutex mutex_;
  std::map<Key, Entry> slabs_;
  std::list<Key> recent_;  // the latest first
  std::vector<Buffer<float>> spare_;
};

class SharedReads::SharedWeight final : public Weight {
 public:
  SharedWeight(WeightPtr source, std::shared_ptr<Store> store)
      : Weight(source->dtype(), source->shape(), {source}),
        source_(*source),
        store_(std::move(store)),
        id_(store_->new_id()),
        slab_rows_(static_cast<int64_t>(kSlabValues) / cols()) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    dtype() == DType::kF32 ? copy(block, out) : source_.read(block, out);
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    copy(block, std::as_writable_bytes(out));
  }

  [[nodiscard]] std::optional<FloatRows> view(const Block& block) const override {
    return block.rows > 0 ? std::make_optional(held(block)) : std::nullopt;
  }
  [[nodiscard]] bool stays_in_memory(uint64_t values) const override {
    return store_->holds(values);
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }

 private:
  void copy(const Block& block, std::span<std::byte> out) const {
    const size_t stripe = static_cast<size_t>(block.cols) * sizeof(float);
    for (int64_t done = 0; done < block.rows;) {
      const FloatRows rows = held({block.row + done, block.rows - done, block.col, block.cols});
      for (int64_t i = 0; i < rows.rows; ++i) {
        std::memcpy(out.data() + static_cast<size_t>(done + i) * stripe,
                    rows.data + i * rows.pitch,
                    stripe);
      }
      done += rows.rows;
    }
  }

  FloatRows held(const Block& block) const {
    const int64_t first = block.row / slab_rows_ * slab_rows_;
    const int64_t last = std::min(rows(), first + slab_rows_);
    auto slab = store_->rows(id_, source_, first, last - first);
    const float* data = slab->values.data() + (block.row - first) * cols() + block.col;
    return {data, std::min(last - block.row, block.rows), cols(), std::move(slab)};
  }

  const Weight& source_;
  std::shared_ptr<Store> store_;
  uint64_t id_;
  int64_t slab_rows_;
};

SharedReads::SharedReads(size_t most_bytes) : store_(std::make_shared<Store>(most_bytes)) {}
SharedReads::~SharedReads() = default;

WeightPtr SharedReads::share(WeightPtr weight) {
  const auto row = static_cast<uint64_t>(weight->cols());
  if (!dtype_row(weight->dtype()).is_float || weight->values() < kLeastValues ||
      row > kSlabValues || !weight->row_wise()) {
    return weight;
  }
  return std::make_shared<SharedWeight>(std::move(weight), store_);
}

void SharedReads::clear() {
  store_->clear();
}

uint64_t SharedReads::values_read() const {
  return store_->values_read();
}

}  // namespace lorapress
