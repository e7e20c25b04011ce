#include "quant/nbits_kept.h"

#include <algorithm>
#include <atomic>

namespace lorapress {
namespace {

constexpr int64_t kMostBytes = int64_t{32} << 20;
std::atomic<int64_t> all_bytes = 0;  // of every KeptScales that holds something

}  // namespace

void KeptScales::keep(size_t row,
                      std::span<const float> scales,
                      std::span<const uint8_t> zero_points) {
  const std::lock_guard lock(mutex_);
  if (done_ || !reserve()) {
    return;
  }
  std::ranges::copy(scales, scales_.begin() + static_cast<ptrdiff_t>(row * blocks_));
  std::ranges::copy(zero_points, zeros_.begin() + static_cast<ptrdiff_t>(row * blocks_));
  std::fill_n(known_.begin() + static_cast<ptrdiff_t>(row), scales.size() / blocks_, true);
}

size_t KeptScales::find(size_t row,
                        size_t rows,
                        std::span<float> scales,
                        std::span<uint8_t> zero_points) {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  while (count < rows && !known_.empty() && known_[row + count]) {
    ++count;
  }
  if (count == 0) {
    return 0;
  }
  const auto first = static_cast<ptrdiff_t>(row * blocks_);
  std::copy_n(scales_.begin() + first, count * blocks_, scales.begin());
  if (with_zeros_) {
    std::copy_n(zeros_.begin() + first, count * blocks_, zero_points.begin());
  }
  return count;
}

void KeptScales::written(uint64_t bytes, uint64_t total) {
  const std::lock_guard lock(mutex_);
  written_ += bytes;
  if (written_ >= total) {
    done_ = true;
    drop();
  }
}

int64_t KeptScales::bytes() const {
  return static_cast<int64_t>(rows_ * blocks_ * (sizeof(float) + (with_zeros_ ? 1 : 0)));
}

bool KeptScales::reserve() {
  if (!known_.empty()) {
    return true;
  }
  if (all_bytes.fetch_add(bytes()) + bytes() > kMostBytes) {
    all_bytes -= bytes();
    return false;
  }
  scales_.resize(rows_ * blocks_);
  zeros_.resize(with_zeros_ ? rows_ * blocks_ : 0);
  known_.resize(rows_);
  return true;
}

void KeptScales::drop() {
  if (!known_.empty()) {
    all_bytes -= bytes();
  }
  scales_ = {};
  zeros_ = {};
  known_ = {};
}

}  // namespace lorapress
