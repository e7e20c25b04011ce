// config.json as typed specs. Absent keys take the defaults of the transformers config classes,
// because saved configs leave defaults out; each family reads its own (checkpoint/model_types.h).
#ifndef LORAPRESS_CHECKPOINT_CONFIG_H_
#define LORAPRESS_CHECKPOINT_CONFIG_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"

namespace lorapress {

// Encoder: pixels [batch, num_channels, image_size, image_size] -> [batch, tokens(), hidden_size].
struct VisionConfig {
  std::string model_type;  // row of the family registry
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t num_channels = 3;
  int64_t image_size = 224;
  int64_t patch_size = 16;
  double layer_norm_eps = 1e-6;
  std::string hidden_act = "gelu_pytorch_tanh";
  bool qkv_bias = true;
  int64_t class_tokens = 0;     // before the patches; the second is DeiT's distillation token
  int64_t register_tokens = 0;  // behind the class token (DINOv2)
  // Image size of the stored position embeddings, where the family interpolates them; 0: image_size.
  int64_t position_size = 0;
  // Hidden states behind these numbers of layers, side by side, in place of those behind all layers
  // and the last norm (LLaVA); ascending or not, each at least 1. Empty: the tower's own output.
  std::vector<int64_t> feature_layers = {};
  int64_t dropped_tokens = 0;  // from the first on (LLaVA: the class token)
  // Pixels that make no whole patch are not seen: a convolution without padding.
  [[nodiscard]] int64_t patches() const {
    return (image_size / patch_size) * (image_size / patch_size);
  }
  // The tower's outputs for one image.
  [[nodiscard]] int64_t tokens() const {
    return class_tokens + register_tokens + patches() - dropped_tokens;
  }
  [[nodiscard]] int64_t layers_run() const {
    return feature_layers.empty() ? num_hidden_layers : std::ranges::max(feature_layers);
  }
  // The width of one token.
  [[nodiscard]] int64_t feature_size() const {
    return hidden_size * (feature_layers.empty() ? 1 : std::ssize(feature_layers));
  }
};

// transformers modeling_rope_utils.py; rope_type "default" ignores the fields of the other types.
struct RopeConfig {
  std::string rope_type = "default";  // default | linear | llama3 | longrope
  double rope_theta = 10000.0;
  bool partial = false;    // the model type knows partial_rotary_factor
  int64_t rotary_dim = 0;  // of each head, the first so many numbers are rotated; even
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_position_embeddings = 0;
  std::vector<double> short_factor = {};  // longrope: [rotary_dim / 2]
  double attention_factor = 1.0;          // longrope: cosines and sines are multiplied by it
};

// Which projections of an attention have a bias.
struct AttentionBiases {
  bool q = false;
  bool k = false;
  bool v = false;
  bool o = false;
};

// How one layer sees positions: whether queries and keys are rotated, and how many positions up to
// its own a query sees (0: all).
struct LayerKind {
  bool rotated = true;
  int64_t window = 0;
};

// The layers of a decoder of Llama's kind: RMSNorm, rotary positions, a gated MLP.
struct LlamaLayers {
  int64_t intermediate_size = 0;
  double rms_norm_eps = 1e-6;
  RopeConfig rope = {};
  AttentionBiases attention_bias = {};
  bool mlp_bias = false;
  bool head_norms = false;            // an RMSNorm of each query and key head: q_norm, k_norm
  bool fused_projections = false;     // qkv_proj and gate_up_proj, whose rows are the parts'
  std::vector<LayerKind> kinds = {};  // of each layer; empty: all layers are LayerKind{}
};

// The layers of a decoder with LayerNorm and position embeddings: GPT-2, OPT, TrOCR, BLIP's BERT.
struct LayerNormLayers {
  int64_t intermediate_size = 0;
  double layer_norm_eps = 1e-5;
  std::string activation = "gelu";
  bool norm_first = true;       // before each sublayer; else behind the sum with the residual
  bool last_norm = true;        // behind all layers
  bool affine_norms = true;     // norms have weights and biases
  bool linear_bias = true;      // linear layers have biases
  int64_t position_offset = 0;  // rows of the position table before that of position 0
  // Scores are divided by sqrt(head_dim), and by the number of the layer, from 1.
  bool scaled_scores = true;
  bool scaled_by_layer = false;
  double embedding_scale = 1.0;  // of the tokens' embeddings
  bool embedding_norm = false;   // behind the sum of embeddings and positions
  // Positions are sinusoids instead of a table: those of this padding token are zero, the others
  // count from the padding's id + 1 (fairseq).
  std::optional<int64_t> sinusoid_padding;
  // The width of the encoder states that cross attention sees; 0: the layers have none.
  int64_t cross_width = 0;
};

// Decoder: the fields that all decoders have, and `layers`, which only the family's graph and the
// reference forward read.
struct TextConfig {
  std::string model_type;  // row of the family registry
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 2048;
  bool tie_word_embeddings = false;
  std::vector<int64_t> eos_token_ids;
  int64_t bos_token_id = -1;  // -1: none
  int64_t pad_token_id = -1;
  int64_t decoder_start_token_id = -1;  // with cross attention
  int64_t embedding_size = 0;           // the width of an embedding where it is not hidden_size
  std::variant<LlamaLayers, LayerNormLayers> layers;
  std::vector<std::string> notes;  // what a user should know of how the config was read

  // Of the embeddings that the decoder takes, and of both tables.
  [[nodiscard]] int64_t embedding_width() const {
    return embedding_size != 0 ? embedding_size : hidden_size;
  }
};

enum class ProjectionType { kLinear, kMlp, kPixelShuffle };

struct ProjectionConfig {
  ProjectionType type = ProjectionType::kLinear;
  int64_t mlp_hidden_dim = 2048;  // mlp only: Linear, GELU, Linear
  int64_t scale_factor = 1;       // pixel shuffle only: squares of patches become one position
  // Positions that so many patches become.
  [[nodiscard]] int64_t positions(int64_t patches) const {
    return patches / (scale_factor * scale_factor);
  }
  // Names of the module, or of both linear layers of an mlp.
  std::string first = "projection.projection";
  std::string last;
  std::string hidden_act = "gelu";
  bool biased = true;
};

// `where` names the file in messages. Throws kUnsupported for an architecture or an option that
// this version does not know (and lists what it knows), kInvalidFile for impossible numbers.
VisionConfig parse_vision_config(const Json& json, std::string_view where);
TextConfig parse_text_config(const Json& json, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_CONFIG_H_
