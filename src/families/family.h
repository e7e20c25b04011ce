// The registry of architectures. A family declares the tensors it needs and composes blocks; it
// knows neither bundles nor output dtypes. A new one is one file and one row.
#ifndef LORAPRESS_FAMILIES_FAMILY_H_
#define LORAPRESS_FAMILIES_FAMILY_H_

#include <span>
#include <string_view>
#include <vector>

#include "blocks/builder.h"
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

struct KeyValue {
  Value key;  // [batch, num_key_value_heads, length, head_dim]
  Value value;
};

struct DecoderOutput {
  Value logits;                   // [batch, 1, vocab_size]: the last position only
  std::vector<KeyValue> present;  // per layer
};

// The embedding table as one initializer [vocab_size, hidden_size], shared by lookup and tied head.
using TableBuilder = Value (*)(const Builder& b, WeightTaker& weights, const TextConfig& config);
// embeddings [batch, sequence, hidden_size], past per layer.
using DecoderBuilder = DecoderOutput (*)(const Builder& b,
                                         WeightTaker& weights,
                                         const TextConfig& config,
                                         const Value& table,
                                         const Value& embeddings,
                                         const std::vector<KeyValue>& past);

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

// Takes a torch Linear's tensors; the bias is null when `biased` is false.
struct LinearWeights;
LinearWeights take_linear(WeightTaker& weights,
                          const std::string& name,
                          int64_t out_features,
                          int64_t in_features,
                          bool biased);

extern const VisionFamily kSiglip;
extern const TextFamily kLlama;

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_FAMILY_H_
