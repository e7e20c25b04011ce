// The registry of architectures. A family declares the tensors it needs and composes blocks; it
// knows neither bundles nor output dtypes. A new one is one file and one row.
#ifndef LORAPRESS_FAMILIES_FAMILY_H_
#define LORAPRESS_FAMILIES_FAMILY_H_

#include <span>
#include <string_view>
#include <vector>

#include "blocks/decoder.h"
#include "checkpoint/checkpoint.h"

namespace lorapress {

// pixel_values [batch, 3, image_size, image_size] -> [batch, patches, hidden_size]
using VisionBuilder = Value (*)(const Builder& b,
                                WeightTaker& weights,
                                const VisionConfig& config,
                                const Value& pixel_values);

struct VisionFamily {
  std::string_view model_type;
  VisionBuilder build;
  std::span<const std::string_view>
      dead_weight;  // prefixes that checkpoints carry and nothing uses
  // The family's own preprocessor_config.json, for trainers that save none.
  std::string_view image_processor_type;
  std::string_view resample;  // bicubic | bilinear
  float image_mean;
  float image_std;
};

// The embedding table as one initializer [vocab_size, hidden_size], shared by lookup and tied head.
using TableBuilder = Value (*)(const Builder& b, WeightTaker& weights, const TextConfig& config);
// What one call of a decoder reads. A family with cross attention adds the encoder's states here,
// and no other family is touched.
struct DecoderInputs {
  Value table;       // of TableBuilder; may be absent where the head has a table of its own
  Value embeddings;  // [batch, sequence, hidden_size]
  std::vector<KeyValue> past;  // per layer
};
using DecoderBuilder = DecoderOutput (*)(const Builder& b,
                                         WeightTaker& weights,
                                         const TextConfig& config,
                                         const DecoderInputs& inputs);

struct TextFamily {
  std::string_view model_type;
  TableBuilder table;
  DecoderBuilder decode;
};

// Throw kUnsupported, listing what is known.
const VisionFamily& vision_family(std::string_view model_type);
const TextFamily& text_family(std::string_view model_type);
std::span<const VisionFamily* const> vision_families();
std::span<const TextFamily* const> text_families();

// features [batch, patches, vision hidden_size] -> [batch, patches, text hidden_size]
Value project(const Builder& b,
              WeightTaker& weights,
              const ProjectionConfig& config,
              int64_t in_features,
              int64_t out_features,
              const Value& features);

extern const VisionFamily kSiglip;
extern const TextFamily kLlama;

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_FAMILY_H_
