#include "verify/reference_idefics3.h"

#include <algorithm>
#include <cmath>

namespace lorapress::reference {
namespace {

// torch.arange(1 / grid, 1.0, 1 / grid) in float32, as its loop for CPUs rounds it: sixteen numbers at a time, each
// half of them counted from its first number after that was rounded, and the last ones alone.
std::vector<float> arange(int64_t grid) {
  const double step = 1.0 / static_cast<double>(grid);
  const auto count = static_cast<int64_t>(std::ceil((1.0 - step) / step));
  std::vector<float> numbers;
  const auto exact = [&](int64_t i) {
    return static_cast<float>(step + static_cast<double>(i) * step);
  };
  while (std::ssize(numbers) + 16 <= count) {
    for (int half = 0; half < 2; ++half) {
      const double first = exact(std::ssize(numbers));
      for (int i = 0; i < 8; ++i) {
        numbers.push_back(static_cast<float>(first + static_cast<double>(i) * step));
      }
    }
  }
  while (std::ssize(numbers) < count) {
    numbers.push_back(exact(std::ssize(numbers)));
  }
  return numbers;
}

// torch.bucketize(coordinate, boundaries, right=True) of patch i where `seen` of a side's are.
int64_t bucket(int64_t i, int64_t seen, const std::vector<float>& boundaries) {
  const float step = 1.0F / static_cast<float>(seen);
  const float coordinate = std::min(static_cast<float>(i) * step, static_cast<float>(1.0 - 1e-6));
  return std::ranges::count_if(boundaries, [&](float boundary) { return boundary <= coordinate; });
}

}  // namespace

bool is_idefics3_tower(std::string_view model_type) {
  return model_type == "idefics3_vision" || model_type == "smolvlm_vision";
}

std::vector<uint8_t> seen_patches(std::span<const uint8_t> seen_pixels,
                                  int64_t size,
                                  int64_t patch) {
  const int64_t grid = size / patch;
  std::vector<uint8_t> seen(static_cast<size_t>(grid * grid));
  for (int64_t y = 0; y < grid * patch; ++y) {
    for (int64_t x = 0; x < grid * patch; ++x) {
      if (seen_pixels[static_cast<size_t>(y * size + x)] != 0) {
        seen[static_cast<size_t>(y / patch * grid + x / patch)] = 1;
      }
    }
  }
  return seen;
}

std::vector<int64_t> idefics3_position_ids(std::span<const uint8_t> seen, int64_t grid) {
  const std::vector<float> boundaries = arange(grid);
  int64_t rows = 0;
  int64_t columns = 0;
  for (int64_t i = 0; i < grid; ++i) {
    rows += seen[static_cast<size_t>(i * grid)];
    columns += seen[static_cast<size_t>(i)];
  }
  std::vector<int64_t> ids;
  for (int64_t y = 0; y < grid; ++y) {
    for (int64_t x = 0; x < grid; ++x) {
      const bool is_seen = seen[static_cast<size_t>(y * grid + x)] != 0;
      ids.push_back(is_seen ? bucket(y, rows, boundaries) * grid + bucket(x, columns, boundaries)
                            : 0);
    }
  }
  return ids;
}

template <typename T>
BasicRows<T> pixel_shuffle(const BasicRows<T>& x, int64_t grid, int64_t scale) {
  const int64_t squares = grid / scale;
  const int64_t tiles = x.rows / (grid * grid);
  BasicRows<T> shuffled(tiles * squares * squares, scale * scale * x.cols);
  auto out = shuffled.values.begin();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    for (int64_t square = 0; square < squares * squares; ++square) {
      const int64_t top = square / squares * scale;
      const int64_t left = square % squares * scale;
      for (int64_t y = top; y < top + scale; ++y) {
        const auto row = tile * grid * grid + y * grid + left;
        out = std::copy_n(x.values.begin() + row * x.cols, scale * x.cols, out);
      }
    }
  }
  return shuffled;
}

template BasicRows<float> pixel_shuffle(const BasicRows<float>&, int64_t, int64_t);
template BasicRows<double> pixel_shuffle(const BasicRows<double>&, int64_t, int64_t);

}  // namespace lorapress::reference
