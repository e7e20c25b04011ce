// A picture that needs no file, for runs whose caption nobody reads.
#ifndef LORAPRESS_RUNTIME_IMAGE_TEST_CARD_H_
#define LORAPRESS_RUNTIME_IMAGE_TEST_CARD_H_

#include <cstdint>
#include <vector>

namespace lorapress {

// pixel_values [3, height, width] in [-1, 1]: two waves and a gradient over the channels.
std::vector<float> test_card(int64_t height, int64_t width);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_IMAGE_TEST_CARD_H_
