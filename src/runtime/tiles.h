// Tiles of one image and the text that stands for them in a prompt, as transformers'
// Idefics3ImageProcessor and Idefics3Processor make them (image_processing_pil_idefics3.py,
// processing_idefics3.py); SmolVLM's are the same.
#ifndef LORAPRESS_RUNTIME_TILES_H_
#define LORAPRESS_RUNTIME_TILES_H_

#include <string>
#include <vector>

#include "checkpoint/preprocessing.h"
#include "runtime/image/image.h"

namespace lorapress {

struct Tiles {
  int64_t rows = 0;  // 0 where the image is a single tile
  int64_t columns = 0;
  std::vector<Image> images;  // row by row, the whole image last
};

// REQUIRES: settings.splitting.
Tiles split_image(const Image& image, const Preprocessing& settings);

// pixel_values of an image: [tiles, 3, height, width], of one tile where images are not split.
struct TiledPixels {
  std::vector<float> values;
  int64_t rows = 0;  // as in Tiles
  int64_t columns = 0;
};
TiledPixels tiled_pixels(const Image& image, const Preprocessing& settings);

// What the image token of a prompt becomes, `positions` image tokens for each tile
// (get_image_prompt_string).
std::string tiles_prompt(int64_t rows,
                         int64_t columns,
                         int64_t positions,
                         const TileTokens& tokens);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_TILES_H_
