// How pixels become pixel_values: from the checkpoint's preprocessor_config.json, or the encoder
// family's own defaults where the trainer saved none.
#ifndef LORAPRESS_CHECKPOINT_PREPROCESSING_H_
#define LORAPRESS_CHECKPOINT_PREPROCESSING_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace lorapress {

// What stands for tiles in a prompt: Idefics3Processor's tokens.
struct TileTokens {
  std::string image = "<image>";  // of each position
  std::string around = "<fake_token_around_image>";
  std::string global = "<global-img>";         // before the whole image
  std::string tile = "<row_{row}_col_{col}>";  // before the others, counted from 1
};

// How Idefics3ImageProcessor and SmolVLMImageProcessor make tiles of one image.
struct ImageSplitting {
  bool enabled = true;       // false: the whole image becomes one tile
  int64_t longest_edge = 0;  // to which the image is resized first
  TileTokens tokens = {};
};

struct Preprocessing {
  std::string image_processor_type;
  int64_t height = 0;  // of pixel_values
  int64_t width = 0;
  std::string resample;  // bicubic | bilinear | lanczos
  double rescale_factor = 1.0 / 255.0;
  std::array<double, 3> image_mean{};
  std::array<double, 3> image_std{};
  // 0: images are resized to height x width. Else the shorter side is resized to this length, the
  // longer one in proportion, and height x width are cut out of the middle. At least as long as
  // both.
  int64_t shortest_edge = 0;
  std::optional<ImageSplitting> splitting = {};  // height and width are those of a tile
};

// width and height that an image of this size is resized to: transformers'
// get_resize_output_image_size. Throws kUnsupported for a side beyond 1 << 24.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};
ImageSize resized_size(const ImageSize& image, const Preprocessing& settings);

// Where the family's position embeddings are interpolated, the image size is the preprocessing's:
// sets image_size and position_size of checkpoint.vision, once all folders are known.
void fit_image_size(Checkpoint& checkpoint);

// Throws kMismatch when the size is not the encoder's, kUnsupported for steps that LoraPress does
// not implement.
Preprocessing find_preprocessing(const Checkpoint& checkpoint, std::vector<std::string>& notes);

// Reads a preprocessor_config.json; absent keys take `defaults`. Throws kInvalidFile, and
// kUnsupported for steps that LoraPress does not implement.
Preprocessing read_preprocessing(const std::filesystem::path& path, const Preprocessing& defaults);

// For an unknown model: SigLIP's preprocessing, without a size.
extern const Preprocessing kDefaultPreprocessing;

// Whether `name` is a filter that images are resized with.
bool known_resample(std::string_view name);

Json preprocessor_config(const Preprocessing& preprocessing);  // transformers' file

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_PREPROCESSING_H_
