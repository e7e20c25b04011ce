#include "quant/input_moments.h"

#include <algorithm>

#include "base/simd.h"

namespace lorapress {
namespace {

constexpr size_t kDown = 4;     // rows of one tile of the product
constexpr size_t kAcross = 32;  // columns of it

// sums[i][j] += sum over rows of x[i] x[j], for i from `down` and j from `across` on.
LORAPRESS_SIMD void add_corner(const float* __restrict rows,
                               size_t count,
                               size_t size,
                               size_t down,
                               size_t across,
                               float* __restrict sums) {
  float corner[kDown][kAcross] = {};
  for (size_t row = 0; row < count; ++row) {
    const float* x = rows + row * size;
    for (size_t i = 0; i < kDown; ++i) {
      const float factor = x[down + i];
      for (size_t j = 0; j < kAcross; ++j) {
        corner[i][j] += factor * x[across + j];
      }
    }
  }
  for (size_t i = 0; i < kDown; ++i) {
    for (size_t j = 0; j < kAcross; ++j) {
      sums[(down + i) * size + across + j] += corner[i][j];
    }
  }
}

void add_edge(const float* rows,
              size_t count,
              size_t size,
              size_t down,
              size_t across,
              size_t end,
              float* sums) {
  for (size_t j = across; j < end; ++j) {
    float sum = 0.0F;
    for (size_t row = 0; row < count; ++row) {
      sum += rows[row * size + down] * rows[row * size + j];
    }
    sums[down * size + j] += sum;
  }
}

}  // namespace

void InputMoments::add(std::span<const float> rows) {
  while (!rows.empty()) {
    const size_t room = kRows * size_ - waiting_.size();
    const size_t now = std::min(room, rows.size());
    waiting_.insert(waiting_.end(), rows.begin(), rows.begin() + static_cast<ptrdiff_t>(now));
    rows = rows.subspan(now);
    if (waiting_.size() == kRows * size_) {
      flush();
    }
  }
}

void InputMoments::flush() {
  const size_t count = waiting_.size() / size_;
  const float* rows = waiting_.data();
  const size_t whole = size_ / kDown * kDown;
  for (size_t down = 0; down < whole; down += kDown) {
    size_t across = down;  // tiles on the diagonal exceed the upper triangle a little
    for (; across + kAcross <= size_; across += kAcross) {
      add_corner(rows, count, size_, down, across, sums_.data());
    }
    for (size_t i = 0; i < kDown; ++i) {
      add_edge(rows, count, size_, down + i, across, size_, sums_.data());
    }
  }
  for (size_t down = whole; down < size_; ++down) {
    add_edge(rows, count, size_, down, down, size_, sums_.data());
  }
  waiting_.clear();
}

}  // namespace lorapress
