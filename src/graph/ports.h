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
// Decoders with cross attention have two caches: the tokens' own, and the encoder's.
enum class CacheKind { kOnly, kDecoder, kEncoder };

// "past_key_values.{layer}.key", "past_key_values.{layer}.decoder.key". The overload with a text
// `layer` is for patterns such as "%d".
std::string cache_port(CacheSide side,
                       std::string_view layer,
                       CachePart part,
                       CacheKind kind = CacheKind::kOnly);
std::string cache_port(CacheSide side,
                       int64_t layer,
                       CachePart part,
                       CacheKind kind = CacheKind::kOnly);
// The length of a cache that holds token ids in place of keys and values, by which it is known
// (bundles/graph_rules.h).
inline constexpr const char* kPastIdsLength = "past_ids_length";
// True if a graph's input or output of this name belongs to the key/value cache.
bool is_cache_port(std::string_view name);
// True for one of the encoder's keys and values.
bool is_encoder_cache_port(std::string_view name);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_PORTS_H_
