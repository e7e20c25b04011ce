// LLaVA, transformers configuration_llava.py and modeling_llava.py (LlavaForConditionalGeneration):
// hidden states of a vision tower through two linear layers, in place of the prompt's image tokens.
#include <array>

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_fields.h"
#include "families/encoder.h"

namespace lorapress {
namespace {

using namespace config_fields;

// transformers 5 in memory, and since 4.52 in files; then its older files.
constexpr std::array<NamePrefix, 7> kLlavaNames = {
    {{"model.vision_tower.", "vision_encoder."},
     {"model.multi_modal_projector.", "projection."},
     {"model.language_model.", "language_model.model."},
     {"lm_head.", "language_model.lm_head."},
     {"vision_tower.", "vision_encoder."},
     {"multi_modal_projector.", "projection."},
     {"language_model.", "language_model."}}};
constexpr std::array<std::string_view, 3> kLlavaActivations = {
    "gelu", "gelu_pytorch_tanh", "quick_gelu"};

std::optional<ProjectionConfig> read_llava_projection(const Json& json, std::string_view where) {
  ProjectionConfig config;
  config.type = ProjectionType::kMlp;
  config.first = "projection.linear_1";
  config.last = "projection.linear_2";
  config.hidden_act = activation(
      {{"hidden_act", json_or<std::string>(json, "projector_hidden_act", "gelu", where)}},
      kLlavaActivations,
      where);
  config.biased = json_or<bool>(json, "multimodal_projector_bias", true, where);
  return config;
}

// vision_feature_layer: an index of hidden_states, which begin with the embeddings; from the end
// where negative. Hidden state n is behind n layers.
std::vector<int64_t> feature_layers(const Json& json, int64_t layers, std::string_view where) {
  const auto found = json.find("vision_feature_layer");
  const Json value = found == json.end() || found->is_null() ? Json(-2) : *found;
  std::vector<int64_t> chosen;
  for (const Json& index : value.is_array() ? value : Json::array({value})) {
    const int64_t given = index.is_number_integer() ? index.get<int64_t>() : 0;
    const int64_t layer = given < 0 ? layers + 1 + given : given;
    if (layer < 1 || layer > layers) {
      fail(ErrorCode::kUnsupported,
           "{}: \"vision_feature_layer\" is {}, expected hidden states behind 1 to {} layers",
           where,
           value.dump().substr(0, 80),
           layers);
    }
    chosen.push_back(layer);
  }
  if (chosen.empty() || std::ssize(chosen) > layers) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"vision_feature_layer\" names {} layers, expected 1 to {}",
         where,
         chosen.size(),
         layers);
  }
  return chosen;
}

void read_whole(const Json& json, std::string_view where, Checkpoint& checkpoint) {
  VisionConfig& vision = checkpoint.vision.value();
  TextConfig& text = checkpoint.text.value();
  checkpoint.projection->mlp_hidden_dim = text.hidden_size;
  vision.feature_layers = feature_layers(json, vision.num_hidden_layers, where);
  const auto strategy =
      json_or<std::string>(json, "vision_feature_select_strategy", "default", where);
  if (strategy != "default" && strategy != "full") {
    fail(ErrorCode::kUnsupported,
         "{}: vision_feature_select_strategy \"{}\" is not supported, expected \"default\" or "
         "\"full\"",
         where,
         strategy);
  }
  vision.dropped_tokens = strategy == "default" ? 1 : 0;  // whether or not it is a class token
  if (vision.tokens() < 1) {
    fail(ErrorCode::kInvalidFile, "{}: the vision tower has no tokens behind the first", where);
  }
  // Either flag ties the tables (LlavaConfig.__post_init__); the reader of the parts took one of them.
  const auto inner = json.find("text_config");
  text.tie_word_embeddings =
      text.tie_word_embeddings || (inner != json.end() && inner->is_object() &&
                                   json_or<bool>(*inner, "tie_word_embeddings", false, where));
  checkpoint.text_json["tie_word_embeddings"] = text.tie_word_embeddings;
  const int64_t index = token_id(json, "image_token_index", where);
  const int64_t id = index >= 0 ? index : token_id(json, "image_token_id", where);
  constexpr int64_t kDefault = 32000;
  checkpoint.image_token_id = id >= 0 ? id : kDefault;
}

}  // namespace

extern const CompositeModelType kLlavaModel;
const CompositeModelType kLlavaModel{"llava",
                                     "LlavaForConditionalGeneration",
                                     Conditioning::kPlaceholder,
                                     "vision_config",
                                     "text_config",
                                     kLlavaNames,
                                     read_llava_projection,
                                     read_whole};

}  // namespace lorapress
