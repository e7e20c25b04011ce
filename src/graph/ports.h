// How the inputs and outputs of captioning graphs are called: the names of Optimum's exports, for which
// transformers.js and onnxruntime-genai look. tests/goldens/ports.json is the same table for the web package.
#ifndef LORAPRESS_GRAPH_PORTS_H_
#define LORAPRESS_GRAPH_PORTS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lorapress {

// Of the encoder.
inline constexpr const char* kPixelValues = "pixel_values";
inline constexpr const char* kLastHiddenState = "last_hidden_state";
// Of the decoder, beside its cache.
inline constexpr const char* kInputIds = "input_ids";
inline constexpr const char* kEncoderHiddenStates = "encoder_hidden_states";
inline constexpr const char* kLogits = "logits";
// Where tokens become embeddings in a graph of their own.
inline constexpr const char* kInputsEmbeds = "inputs_embeds";
inline constexpr const char* kImageFeatures = "image_features";

enum class CacheSide { kPast, kPresent };  // inputs, outputs
enum class CachePart { kKey, kValue };
inline constexpr CachePart kCacheParts[] = {CachePart::kKey, CachePart::kValue};

// "past_key_values.{layer}.key". The layer as a text is for patterns such as "%d".
std::string cache_port(CacheSide side, std::string_view layer, CachePart part);
std::string cache_port(CacheSide side, int64_t layer, CachePart part);
// Whether a graph's input or output of this name belongs to the cache.
bool is_cache_port(std::string_view name);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_PORTS_H_
