// Decoders with LayerNorm and position embeddings: attention, cross attention where there is an
// encoder, then an MLP of two linear layers, each with a residual and a norm before it or behind the
// sum. Their families take the tensors by their own names.
#ifndef LORAPRESS_FAMILIES_LAYER_NORM_DECODER_H_
#define LORAPRESS_FAMILIES_LAYER_NORM_DECODER_H_

#include <optional>
#include <string>
#include <vector>

#include "blocks/attention.h"
#include "blocks/cross_attention.h"
#include "blocks/norm.h"
#include "families/family.h"

namespace lorapress {

struct CrossSublayer {
  NormWeights norm;
  CrossAttentionWeights attention;
};

struct LayerNormLayer {
  NormWeights attention_norm;
  AttentionWeights attention;
  std::optional<CrossSublayer> cross;
  NormWeights mlp_norm;
  LinearWeights up;
  LinearWeights down;
};

// BERT's layer before the head: Linear, activation, LayerNorm.
struct HeadLayer {
  LinearWeights dense;
  NormWeights norm;
};

// The tensors of such a decoder but its tables.
struct LayerNormParts {
  std::string position_name;  // of the table's weight
  WeightPtr positions;  // [max_position_embeddings + position_offset, hidden_size]; null: sinusoids
  std::optional<LinearWeights> project_in;  // embeddings -> hidden states, without a bias
  std::optional<NormWeights> embedding_norm;
  std::vector<LayerNormLayer> layers;
  std::optional<NormWeights> last_norm;
  std::optional<LinearWeights> project_out;  // hidden states -> what the head multiplies
  std::optional<HeadLayer> head_layer;
  std::string head_bias_name;
  WeightPtr head_bias;  // [vocab_size]; null: none
};

const LayerNormLayers& layer_norm_layers(const TextConfig& config);

// A field of config.json, and what an absent one means.
struct SizeField {
  const char* key;
  int64_t usual;
};
// The fields that all these decoders have, by their own keys.
struct DecoderSizes {
  SizeField vocab_size;
  SizeField hidden_size;
  SizeField num_hidden_layers;
  SizeField num_attention_heads;
  SizeField max_position_embeddings;
};
// A config with these sizes, as many key heads as query heads, and tables that are tied unless
// tie_word_embeddings says otherwise. Throws kInvalidFile and kUnsupported.
TextConfig read_decoder_sizes(const Json& json, std::string_view where, const DecoderSizes& sizes);

// What a layer's modules are called behind the layer's own name, where q, k and v are modules of
// their own; no cross attention where `cross_q` is empty.
struct LayerNormNames {
  std::string_view attention;  // the module of the attention itself
  std::string_view q, k, v, out, attention_norm;
  std::string_view up, down, mlp_norm;
  std::string_view cross = {}, cross_q = {}, cross_k = {}, cross_v = {}, cross_out = {},
                   cross_norm = {};
};
LayerNormLayer take_layer_norm_layer(WeightTaker& weights,
                                     const std::string& name,
                                     const TextConfig& config,
                                     const LayerNormNames& names);

// "language_model.MODULE.weight" of text_names().input_table, [vocab_size, embedding_width()].
Value build_input_table(const Builder& b, WeightTaker& weights, const TextConfig& config);

// A norm of hidden_size features: ones where the config's norms have no weights.
NormWeights take_decoder_norm(WeightTaker& weights,
                              const std::string& name,
                              const TextConfig& config);

// Takes the head's own table where the tables are not tied.
DecoderOutput decode_layer_norm(const Builder& b,
                                WeightTaker& weights,
                                const TextConfig& config,
                                const LayerNormParts& parts,
                                const DecoderInputs& inputs);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_LAYER_NORM_DECODER_H_
