#include "runtime/image/test_card.h"

#include <cmath>

namespace lorapress {

std::vector<float> test_card(int64_t height, int64_t width) {
  std::vector<float> pixels;
  for (int channel = 0; channel < 3; ++channel) {
    for (int64_t row = 0; row < height; ++row) {
      for (int64_t col = 0; col < width; ++col) {
        const auto y = static_cast<float>(row) / static_cast<float>(height);
        const auto x = static_cast<float>(col) / static_cast<float>(width);
        const float values[] = {std::sin(9.0F * x), std::sin(7.0F * y), 2.0F * x * y - 1.0F};
        pixels.push_back(values[channel]);
      }
    }
  }
  return pixels;
}

}  // namespace lorapress
