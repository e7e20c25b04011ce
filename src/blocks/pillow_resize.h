// Resizes images of any size to the model's size inside the graph, exactly as Pillow's
// Image.resize.
#ifndef LORAPRESS_BLOCKS_PILLOW_RESIZE_H_
#define LORAPRESS_BLOCKS_PILLOW_RESIZE_H_

#include <array>
#include <cstdint>
#include <string>

#include "blocks/builder.h"

namespace lorapress {

enum class ResizeFilter { kBicubic, kBilinear };

// image uint8 [height, width, 3] of any size -> float32 [3, to_height, to_width], integers 0 to
// 255, as Pillow 13 gives them.
Value pillow_resize(const Builder& b,
                    const std::string& scope,
                    const Value& image,
                    int64_t to_height,
                    int64_t to_width,
                    ResizeFilter filter);

// levels [3, height, width] -> pixel_values [1, 3, height, width]: (levels * rescale - mean) / std
Value normalise_levels(const Builder& b,
                       const std::string& scope,
                       const Value& levels,
                       double rescale_factor,
                       const std::array<double, 3>& mean,
                       const std::array<double, 3>& std);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_PILLOW_RESIZE_H_
