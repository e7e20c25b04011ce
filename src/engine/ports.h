// Names of the graphs' inputs and outputs, as src/graph/ports.h has them (tests/goldens/ports.json keeps them equal).
#ifndef LORAPRESS_ENGINE_PORTS_H_
#define LORAPRESS_ENGINE_PORTS_H_

#include <cstdint>
#include <string>

namespace lorapress::engine {

inline constexpr const char* kPixelValues = "pixel_values";
inline constexpr const char* kPixelAttentionMask = "pixel_attention_mask";
inline constexpr const char* kLastHiddenState = "last_hidden_state";
inline constexpr const char* kImageFeatures = "image_features";
inline constexpr const char* kInputIds = "input_ids";
inline constexpr const char* kAttentionMask = "attention_mask";
inline constexpr const char* kEncoderHiddenStates = "encoder_hidden_states";
inline constexpr const char* kInputsEmbeds = "inputs_embeds";
inline constexpr const char* kLogits = "logits";

// "past_key_values.3.decoder.key": `owner` is "", "decoder" or "encoder", `part` "key" or "value".
inline std::string cache_port(const char* side,
                              int64_t layer,
                              const std::string& owner,
                              const char* part) {
  return side + ("." + std::to_string(layer)) + (owner.empty() ? "" : "." + owner) + "." + part;
}
inline constexpr const char* kPast = "past_key_values";
inline constexpr const char* kPresent = "present";

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_PORTS_H_
