// An image as a folder's encoder takes it: resized and normalised by the numbers of its
// preprocessing.
#ifndef LORAPRESS_RUNTIME_PREPROCESS_H_
#define LORAPRESS_RUNTIME_PREPROCESS_H_

#include <vector>

#include "checkpoint/preprocessing.h"
#include "runtime/image/image.h"

namespace lorapress {

// pixel_values [3, height, width].
std::vector<float> preprocess(const Image& image, const Preprocessing& settings);

// Without the resize: the image has its size already.
std::vector<float> normalised(const Image& image, const Preprocessing& settings);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_PREPROCESS_H_
