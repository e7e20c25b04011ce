// Calibration: second moments of the inputs of a linear layer.
#ifndef LORAPRESS_QUANT_INPUT_MOMENTS_H_
#define LORAPRESS_QUANT_INPUT_MOMENTS_H_

#include <cstddef>
#include <span>
#include <vector>

namespace lorapress {

// The sum of x x^T over rows x of `size` inputs, in float32: rows are summed in portions before a
// portion is added to the total.
class InputMoments {
 public:
  explicit InputMoments(size_t size) : size_(size), sums_(size * size) {}

  // Adds whole rows of `size` values, one after the other.
  void add(std::span<const float> rows);
  void flush();

  [[nodiscard]] size_t size() const { return size_; }
  // Row-major; only elements on and above the diagonal are valid, and only after flush().
  [[nodiscard]] std::span<const float> sums() const { return sums_; }

 private:
  static constexpr size_t kRows = 128;  // of a portion, gathered before they are multiplied

  size_t size_;
  std::vector<float> sums_;
  std::vector<float> waiting_;
};

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_INPUT_MOMENTS_H_
