// The registry of architectures. A family says what its checkpoints look like (model_types.h),
// declares the tensors it needs and composes blocks; it knows neither bundles nor output dtypes. A
// new one is one file and one row.
#ifndef LORAPRESS_FAMILIES_FAMILY_H_
#define LORAPRESS_FAMILIES_FAMILY_H_

#include <span>
#include <string_view>
#include <vector>

#include "blocks/decoder.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_types.h"

namespace lorapress {

// pixel_values [batch, 3, image_size, image_size] -> [batch, patches, hidden_size]
using VisionBuilder = Value (*)(const Builder& b,
                                WeightTaker& weights,
                                const VisionConfig& config,
                                const Value& pixel_values);

// The same where `patch_mask`, bool [batch, rows, columns], says which patches are image; the others
// are padding, which nothing sees.
using MaskedVisionBuilder = Value (*)(const Builder& b,
                                      WeightTaker& weights,
                                      const VisionConfig& config,
                                      const Value& pixel_values,
                                      const Value& patch_mask);

struct VisionFamily : VisionModelType {
  VisionBuilder build;
  MaskedVisionBuilder build_masked = nullptr;  // null where the family knows no padding
};

// The embedding table as one initializer [vocab_size, hidden_size], shared by lookup and tied head.
using TableBuilder = Value (*)(const Builder& b, WeightTaker& weights, const TextConfig& config);
// What cross attention sees. Without states a decoder leaves it out, as transformers does.
struct CrossInputs {
  Value states;                // [batch, encoder tokens, width]
  std::vector<KeyValue> past;  // per layer: [batch, heads, 0 or encoder tokens, head_dim]
};
// The inputs of one call of a decoder.
struct DecoderInputs {
  Value table;                 // from TableBuilder; may be absent where the head has its own table
  Value embeddings;            // [batch, sequence, embedding_width()]
  std::vector<KeyValue> past;  // per layer
  // For families whose positions depend on the tokens: int64 [batch, sequence].
  Value ids = {};
  CrossInputs cross = {};
  // int64 [batch, past and sequence]: 0 for padding; absent for none. A family that looks at it says so in
  // DecoderOutput::sees_padding.
  Value attention_mask = {};
  bool all_logits = false;  // of every position of the call, where no rows are padded
};
using DecoderBuilder = DecoderOutput (*)(const Builder& b,
                                         WeightTaker& weights,
                                         const TextConfig& config,
                                         const DecoderInputs& inputs);

struct TextFamily : TextModelType {
  TableBuilder table;
  DecoderBuilder decode;
};

// Throw kUnsupported, listing the known model types.
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

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_FAMILY_H_
