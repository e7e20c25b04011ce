// The names of the inputs and outputs of captioning graphs: those of Optimum's exports, which
// transformers.js and onnxruntime-genai expect. tests/goldens/ports.json is the same table for the
// web package.
#ifndef LORAPRESS_GRAPH_PORTS_H_
#define LORAPRESS_GRAPH_PORTS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lorapress {

// Names of the encoder.
inline constexpr const char* kPixelValues = "pixel_values";
inline constexpr const char* kLastHiddenState = "last_hidden_state";
// Names of the decoder, besides its key/value cache.
inline constexpr const char* kInputIds = "input_ids";
inline constexpr const char* kAttentionMask = "attention_mask";
inline constexpr const char* kEncoderHiddenStates = "encoder_hidden_states";
inline constexpr const char* kLogits = "logits";
// Names for a separate graph that maps tokens to embeddings.
inline constexpr const char* kInputsEmbeds = "inputs_embeds";
inline constexpr const char* kPixelAttentionMask = "pixel_attention_mask";
inline constexpr const char* kImageFeatures = "image_features";

enum class CacheSide { kPast, kPresent };  // inputs, outputs
enum class CachePart { kKey, kValue };
inline constexpr CachePart kCacheParts[] = {CachePart::kKey, CachePart::kValue};
// Of a decoder with cross attention: of the positions so far, and of the encoder's states.
enum class CacheOf { kDecoder, kEncoder };

// "past_key_values.{layer}.key". The overload with a text `layer` is for patterns such as "%d".
std::string cache_port(CacheSide side, std::string_view layer, CachePart part);
std::string cache_port(CacheSide side, int64_t layer, CachePart part);
// "past_key_values.{layer}.decoder.key"
std::string cross_cache_port(CacheSide side, int64_t layer, CacheOf of, CachePart part);
// True if a graph's input or output of this name belongs to the key/value cache.
bool is_cache_port(std::string_view name);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_PORTS_H_
