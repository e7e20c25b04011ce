// What checkpoint/ needs to know about a model family. The three tables are declared here, where
// configs and folders are read, and defined in families/registry.cc: each family's row is in its
// own file, and checkpoint/ does not know the families by name.
#ifndef LORAPRESS_CHECKPOINT_MODEL_TYPES_H_
#define LORAPRESS_CHECKPOINT_MODEL_TYPES_H_

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "checkpoint/config.h"
#include "checkpoint/names.h"

namespace lorapress {

struct Checkpoint;

// How a decoder calls its tensors, as its class of transformers saves them.
struct TextNames {
  std::string_view input_table = "model.embed_tokens";  // modules
  std::string_view output_table = "lm_head";
  // Prefixes of names in files that were saved without the head, or with another one: { "h.",
  // "transformer.h." }. A name that has none of these, and is not below "model" or "lm_head", is one
  // inside "model".
  std::span<const NamePrefix> prefixes = {};
  // Ends of the names of modules whose weight is stored [in, out] (transformers' Conv1D).
  std::span<const std::string_view> conv1d = {};
  // Ends of the names of buffers that older versions of transformers saved.
  std::span<const std::string_view> buffers = {};
};

struct TextModelType {
  std::string_view model_type;    // in the decoder's config.json
  std::string_view architecture;  // the class of transformers that loads the decoder
  // Everything but model_type; see parse_text_config().
  TextConfig (*read_config)(const Json& json, std::string_view where);
  TextNames names = {};
};

// The image processor that a family is published with, for trainers that save no
// preprocessor_config.json.
struct ImageProcessorType {
  std::string_view name;      // image_processor_type
  std::string_view resample;  // bicubic | bilinear
  std::array<double, 3> mean;
  std::array<double, 3> std;
  // The shorter side of the resized image over the side of the square that is cut out of its
  // middle; 0: images are resized to the square itself.
  double edge = 0.0;
  // The square, where the tower takes images of other sizes than its position embeddings were
  // trained for; 0: the tower's image_size.
  int64_t size = 0;
};
inline constexpr std::array<double, 3> kHalf{0.5, 0.5, 0.5};  // IMAGENET_STANDARD_MEAN and _STD
inline constexpr std::array<double, 3> kImagenetMean{0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> kImagenetStd{0.229, 0.224, 0.225};
inline constexpr std::array<double, 3> kClipMean{0.48145466, 0.4578275, 0.40821073};
inline constexpr std::array<double, 3> kClipStd{0.26862954, 0.26130258, 0.27577711};

struct VisionModelType {
  std::string_view model_type;  // in the tower's config.json
  // In a config.json with the tower's as "vision_config"; model_type where there is no other.
  std::string_view whole_model_type;
  VisionConfig (*read_config)(const Json& json, std::string_view where);
  // Prefixes of tensors that checkpoints hold and no graph uses.
  std::span<const std::string_view> unused_prefixes;
  ImageProcessorType processor;
  std::span<const VisionSpelling> spellings;  // other names of its tensors than the canonical ones
  bool splits_images = false;                 // into tiles of image_size; see ImageSplitting
};

// How an image reaches the decoder of a vision-language checkpoint.
enum class Conditioning {
  kPrefix,       // as positions before the text
  kCross,        // through cross attention in the decoder's layers
  kPlaceholder,  // in place of the prompt's image tokens
};
std::string_view conditioning_name(Conditioning conditioning);  // "prefix", "cross", "placeholder"

// A checkpoint that holds all parts; the parts have rows of their own.
struct CompositeModelType {
  std::string_view model_type;    // in config.json
  std::string_view architecture;  // the class of transformers
  Conditioning conditioning;
  std::string_view vision_key;  // of the vision tower's config in config.json: "vision_config"
  std::string_view text_key;    // of the decoder's
  std::span<const NamePrefix> names;  // see parse_tensor_name()
  // What stands between tower and decoder; empty for nothing.
  std::optional<ProjectionConfig> (*read_projection)(const Json& config, std::string_view where);
  // What config.json says beyond its parts, which are read by then; null for nothing.
  void (*read_whole)(const Json& config, std::string_view where, Checkpoint& checkpoint) = nullptr;
};

// The prefixes of its tensors; none for null, a part alone.
inline std::span<const NamePrefix> names_of(const CompositeModelType* composite) {
  return composite == nullptr ? std::span<const NamePrefix>{} : composite->names;
}

// The names of a decoder; those of Llama for an unknown model_type.
const TextNames& text_names(std::string_view model_type);

// The first row applies to a config without a model_type.
std::span<const TextModelType* const> text_model_types();
std::span<const VisionModelType* const> vision_model_types();
std::span<const CompositeModelType* const> composite_model_types();

// The row with this model_type, or null.
template <typename Row>
const Row* find_model_type(std::span<const Row* const> rows, std::string_view model_type) {
  const auto found = std::ranges::find(rows, model_type, &Row::model_type);
  return found == rows.end() ? nullptr : *found;
}

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_MODEL_TYPES_H_
