// Calibration: second moments of what goes into a linear layer.
#ifndef LORAPRESS_QUANT_INPUT_MOMENTS_H_
#define LORAPRESS_QUANT_INPUT_MOMENTS_H_

#include <cstddef>
#include <span>
#include <vector>

namespace lorapress {

// The sum of x x^T over rows x of `size` inputs, in float32: a portion of rows is summed by itself
// before it is added to the rest.
class InputMoments {
 public:
  explicit InputMoments(size_t size) : size_(size), sums_(size * size) {}

  // Whole rows, one behind the other.
  void add(std::span<const float> rows);
  void flush();

  [[nodiscard]] size_t size() const { return size_; }
  // Row-major; only elements on and above the diagonal are valid, and only after flush().
  [[nodiscard]] std::span<const float> sums() const { return sums_; }

 private:
  static constexpr size_t kRows = 128;  // that are gathered before they are multiplied

  size_t size_;
  std::vector<float> sums_;
  std::vector<float> waiting_;
};

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_INPUT_MOMENTS_H_
