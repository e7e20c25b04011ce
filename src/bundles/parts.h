// Parts that several bundles share: the path of the image to the decoder, cache names, token ids in
// the client's files.
#ifndef LORAPRESS_BUNDLES_PARTS_H_
#define LORAPRESS_BUNDLES_PARTS_H_

#include <string>
#include <vector>

#include "blocks/builder.h"
#include "bundles/bundle.h"
#include "families/family.h"
#include "graph/ports.h"

namespace lorapress {

// The input `pixel_values` float32 [batch_size, channels, size, size]. transformers.js sizes empty
// caches by the symbol "batch_size".
Value pixel_input(const BundleRequest& request, Graph& graph);
// pixel_values -> [batch_size, patches, vision hidden_size]
Value vision_features(const BundleRequest& request,
                      const Builder& b,
                      WeightTaker& weights,
                      const Value& pixels);
// vision features -> what the decoder sees: [batch_size, patches, width], projected where the
// checkpoint has a projection
Value image_tokens(const BundleRequest& request,
                   const Builder& b,
                   WeightTaker& weights,
                   const Value& features);

// Its width: of the decoder's embeddings, or of the states that cross attention sees.
int64_t image_token_width(const Checkpoint& checkpoint);

// The whole graph pixel_values -> `output` [batch_size, patches, width]; with an image token, for clients that write it
// over embeddings, as wide as these are (graph_rules.h).
Graph author_image_encoder(const BundleRequest& request,
                           WeightTaker& weights,
                           const std::string& name,
                           const std::string& output,
                           std::optional<int64_t> image_token_id = {});

// past_key_values.{i}.key and .value, float32 [batch_size, kv_heads, past_sequence_length,
// head_dim]; of the encoder's tokens with another symbol for their length.
std::vector<KeyValue> past_inputs(const BundleRequest& request,
                                  Graph& graph,
                                  CacheKind kind = CacheKind::kOnly);
// Empty caches, [batch, kv_heads, 0, head_dim]; `rows` gives the batch by its first axis.
std::vector<KeyValue> empty_past(const BundleRequest& request, const Builder& b, const Value& rows);
// Declares logits [batch_size, 1, vocab] (with the trainer's names of all positions) and present.{i}.key and .value, or with cross attention
// present.{i}.decoder.key and .value and the same of the encoder.
void declare_outputs(const BundleRequest& request, Graph& graph, const DecoderOutput& output);

// The decoder that takes embeddings: inputs_embeds [batch_size, sequence_length, hidden] and past
// -> logits, present.
Graph author_embeds_decoder(const BundleRequest& request,
                            WeightTaker& weights,
                            const std::string& name);

// The graphs embed_tokens and decoder_model_merged of folders whose client joins embeddings of text and
// image.
void add_embeds_graphs(const BundleRequest& request,
                       WeightTaker& weights,
                       std::vector<BundleGraph>& made);

// Every tensor must have been used: drops the family's dead weight, with a note, and throws
// kMismatch for what is left.
void finish_weights(const BundleRequest& request,
                    WeightTaker& weights,
                    std::vector<std::string>& notes);

// The minimum of new tokens, image tokens not counted; 0: no minimum.
int64_t min_new_tokens(const BundleRequest& request);
// The checkpoint's generation_config.json with the bundle's token ids and lengths.
Json generation_config(const BundleRequest& request);
// Bundle::files where the client is the user's own code: generation_config.json and
// preprocessor_config.json.
std::map<std::string, Json> plain_files(const BundleRequest& request,
                                        const std::map<std::string, int>& data_files);
// Adds a note that names the settings of the checkpoint that `client` ignores.
void note_not_followed(const BundleRequest& request,
                       const std::string& client,
                       const std::vector<std::string>& keys,
                       std::vector<std::string>& notes);
// The same for stock transformers.js, 3.8 and 4.3 (src/generation, _get_logits_processor).
void note_transformers_js(const BundleRequest& request, std::vector<std::string>& notes);
// A number, or a list where there are several ids.
Json eos_json(const SpecialTokens& tokens);
// transformers.js_config: dtype and which graphs have external data.
Json runtime_config(const BundleRequest& request, const std::map<std::string, int>& data_files);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_PARTS_H_
