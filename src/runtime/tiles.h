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

inline constexpr const char* kAroundToken = "<fake_token_around_image>";
inline constexpr const char* kGlobalToken = "<global-img>";

// What "<image>" of a prompt becomes, `positions` image tokens for each tile.
std::string tiles_prompt(int64_t rows, int64_t columns, int64_t positions);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_TILES_H_
