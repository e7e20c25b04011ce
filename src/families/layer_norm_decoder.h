// Decoders with LayerNorm and a table of position embeddings: attention, then an MLP of two linear
// layers, each with a residual and a norm before it or behind the sum. Their families take the
// tensors by their own names.
#ifndef LORAPRESS_FAMILIES_LAYER_NORM_DECODER_H_
#define LORAPRESS_FAMILIES_LAYER_NORM_DECODER_H_

#include <optional>
#include <string>
#include <vector>

#include "blocks/attention.h"
#include "blocks/norm.h"
#include "families/family.h"

namespace lorapress {

struct LayerNormLayer {
  NormWeights attention_norm;
  AttentionWeights attention;
  NormWeights mlp_norm;
  LinearWeights up;
  LinearWeights down;
};

// The tensors of such a decoder but its tables.
struct LayerNormParts {
  std::string position_name;  // of the table's weight
  WeightPtr positions;        // [max_position_embeddings + position_offset, hidden_size]
  std::optional<LinearWeights> project_in;  // embeddings -> hidden states, without a bias
  std::vector<LayerNormLayer> layers;
  std::optional<NormWeights> last_norm;
  std::optional<LinearWeights> project_out;  // hidden states -> what the head multiplies
};

const LayerNormLayers& layer_norm_layers(const TextConfig& config);

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
