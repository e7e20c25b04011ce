// From transformers: models/gpt2/modeling_gpt2.py (GPT2Attention, GPT2Block, GPT2Model,
// pytorch_utils.py Conv1D), models/opt/modeling_opt.py (OPTLearnedPositionalEmbedding,
// OPTDecoderLayer, OPTDecoder), models/trocr/modeling_trocr.py (TrOCRDecoder and its embeddings) and
// models/blip/modeling_blip_text.py (BlipTextEmbeddings, BlipTextLayer, BlipTextLMPredictionHead).
// Names and shapes are read from the decoder's config.json here, independently of the families.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "verify/reference_layer_norm.h"

namespace lorapress::reference {
namespace {

constexpr std::array<std::string_view, 4> kComputed = {"gpt2", "opt", "trocr", "blip_text_model"};

// A decoder's config.json with the defaults of its class.
class Facts {
 public:
  explicit Facts(const Checkpoint& checkpoint) : json_(checkpoint.text_json) {}

  [[nodiscard]] int64_t number(const char* key, int64_t fallback) const {
    return json_or<int64_t>(json_, key, fallback, "config.json");
  }
  [[nodiscard]] bool flag(const char* key, bool fallback) const {
    return json_or<bool>(json_, key, fallback, "config.json");
  }
  [[nodiscard]] double real(const char* key, double fallback) const {
    return json_or<double>(json_, key, fallback, "config.json");
  }
  [[nodiscard]] std::string text(const char* key, const char* fallback) const {
    return json_or<std::string>(json_, key, fallback, "config.json");
  }

 private:
  const Json& json_;
};

bool sees_states(const Checkpoint& checkpoint) {
  return checkpoint.composite != nullptr &&
         checkpoint.composite->conditioning == Conditioning::kCross;
}

// Conv1D: x W + b, with W [in_features, out_features].
Linear take_conv1d(WeightTaker& weights, const std::string& name, int64_t out, int64_t in) {
  return {name,
          transpose(weights.take(name + ".weight", {in, out})),
          weights.take(name + ".bias", {out})};
}

}  // namespace

bool LayerNormDecoder::computes(std::string_view model_type) {
  return std::ranges::find(kComputed, model_type) != kComputed.end();
}

LayerNormDecoder::LayerNormDecoder(const Checkpoint& checkpoint, WeightTaker& weights)
    : vocab_size_(checkpoint.text.value().vocab_size) {
  const std::string& type = checkpoint.text->model_type;
  if (type == "gpt2") {
    take_gpt2(checkpoint, weights);
  } else if (type == "opt") {
    take_opt(checkpoint, weights);
  } else if (type == "trocr") {
    take_trocr(checkpoint, weights);
  } else {
    take_blip(checkpoint, weights);
  }
}

Norm LayerNormDecoder::take_norm(WeightTaker& weights, const std::string& name) const {
  if (!affine_) {
    return {nullptr, nullptr, eps_};
  }
  return {weights.take(name + ".weight", {hidden_}), weights.take(name + ".bias", {hidden_}), eps_};
}

void LayerNormDecoder::take_gpt2(const Checkpoint& checkpoint, WeightTaker& weights) {
  const Facts facts(checkpoint);
  const std::string root = "language_model.transformer.";
  hidden_ = embedding_size_ = facts.number("n_embd", 768);
  heads_ = facts.number("n_head", 12);
  eps_ = facts.real("layer_norm_epsilon", 1e-5);
  activation_ = facts.text("activation_function", "gelu_new");
  const int64_t wide = facts.number("n_inner", 4 * hidden_);
  table_ = weights.take(root + "wte.weight", {vocab_size_, hidden_});
  positions_ = weights.take(root + "wpe.weight", {facts.number("n_positions", 1024), hidden_});
  const auto conv1d = [&](const std::string& name, int64_t out, int64_t in) {
    return take_conv1d(weights, name, out, in);
  };
  const double head_dim = static_cast<double>(hidden_) / static_cast<double>(heads_);
  for (int64_t i = 0; i < facts.number("n_layer", 12); ++i) {
    const std::string name = root + "h." + std::to_string(i) + ".";
    Layer layer;
    layer.own.inputs = {conv1d(name + "attn.c_attn", 3 * hidden_, hidden_)};
    layer.own.out = conv1d(name + "attn.c_proj", hidden_, hidden_);
    layer.own.norm = take_norm(weights, name + "ln_1");
    layer.own.factor = facts.flag("scale_attn_weights", true) ? 1.0 : std::sqrt(head_dim);
    if (facts.flag("scale_attn_by_inverse_layer_idx", false)) {
      layer.own.factor /= static_cast<double>(i + 1);
    }
    if (sees_states(checkpoint)) {
      const std::string cross = name + "crossattention.";
      layer.cross = Attention{{conv1d(cross + "c_attn", 2 * hidden_, hidden_)},
                              conv1d(cross + "q_attn", hidden_, hidden_),
                              conv1d(cross + "c_proj", hidden_, hidden_),
                              take_norm(weights, name + "ln_cross_attn"),
                              layer.own.factor};
    }
    layer.fc1 = conv1d(name + "mlp.c_fc", wide, hidden_);
    layer.fc2 = conv1d(name + "mlp.c_proj", hidden_, wide);
    layer.norm = take_norm(weights, name + "ln_2");
    layers_.push_back(std::move(layer));
  }
  last_norm_ = take_norm(weights, root + "ln_f");
  head_ = take_head(checkpoint, weights, "language_model.lm_head", hidden_);
}

void LayerNormDecoder::take_opt(const Checkpoint& checkpoint, WeightTaker& weights) {
  const Facts facts(checkpoint);
  const std::string root = "language_model.model.decoder.";
  hidden_ = facts.number("hidden_size", 768);
  embedding_size_ = facts.number("word_embed_proj_dim", hidden_);
  heads_ = facts.number("num_attention_heads", 12);
  activation_ = facts.text("activation_function", "relu");
  norm_first_ = facts.flag("do_layer_norm_before", true);
  affine_ = facts.flag("layer_norm_elementwise_affine", true);
  const bool biased = facts.flag("enable_bias", true);
  const int64_t wide = facts.number("ffn_dim", 3072);
  table_ = weights.take(root + "embed_tokens.weight", {vocab_size_, embedding_size_});
  position_offset_ = 2;
  positions_ = weights.take(root + "embed_positions.weight",
                            {facts.number("max_position_embeddings", 2048) + 2, hidden_});
  if (embedding_size_ != hidden_) {
    project_in_ = take_linear(weights, root + "project_in", hidden_, embedding_size_, false);
    project_out_ = take_linear(weights, root + "project_out", embedding_size_, hidden_, false);
  }
  for (int64_t i = 0; i < facts.number("num_hidden_layers", 12); ++i) {
    const std::string name = root + "layers." + std::to_string(i) + ".";
    const auto part = [&](const char* module, int64_t out, int64_t in) {
      return take_linear(weights, name + module, out, in, biased);
    };
    Layer layer;
    layer.own.inputs = {part("self_attn.q_proj", hidden_, hidden_),
                        part("self_attn.k_proj", hidden_, hidden_),
                        part("self_attn.v_proj", hidden_, hidden_)};
    layer.own.out = part("self_attn.out_proj", hidden_, hidden_);
    layer.own.norm = take_norm(weights, name + "self_attn_layer_norm");
    layer.fc1 = part("fc1", wide, hidden_);
    layer.fc2 = part("fc2", hidden_, wide);
    layer.norm = take_norm(weights, name + "final_layer_norm");
    layers_.push_back(std::move(layer));
  }
  if (norm_first_ && !facts.flag("_remove_final_layer_norm", false)) {
    last_norm_ = take_norm(weights, root + "final_layer_norm");
  }
  head_ = take_head(checkpoint, weights, "language_model.lm_head", embedding_size_);
}

void LayerNormDecoder::take_trocr(const Checkpoint& checkpoint, WeightTaker& weights) {
  const Facts facts(checkpoint);
  const std::string root = "language_model.model.decoder.";
  hidden_ = embedding_size_ = facts.number("d_model", 1024);
  heads_ = facts.number("decoder_attention_heads", 16);
  activation_ = facts.text("activation_function", "gelu");
  norm_first_ = false;
  const int64_t wide = facts.number("decoder_ffn_dim", 4096);
  const int64_t states = facts.number("cross_attention_hidden_size", hidden_);
  const int64_t positions = facts.number("max_position_embeddings", 512);
  embed_scale_ =
      facts.flag("scale_embedding", false) ? std::sqrt(static_cast<double>(hidden_)) : 1.0;
  table_ = weights.take(root + "embed_tokens.weight", {vocab_size_, hidden_});
  if (facts.flag("use_learned_position_embeddings", true)) {
    position_offset_ = 2;
    positions_ = weights.take(root + "embed_positions.weight", {positions + 2, hidden_});
  } else {
    make_sinusoids(positions, facts.number("pad_token_id", 1));
  }
  if (facts.flag("layernorm_embedding", true)) {
    first_norm_ = take_norm(weights, root + "layernorm_embedding");
  }
  for (int64_t i = 0; i < facts.number("decoder_layers", 12); ++i) {
    const std::string name = root + "layers." + std::to_string(i) + ".";
    const auto part = [&](const std::string& module, int64_t in) {
      return take_linear(weights, name + module, hidden_, in, true);
    };
    Layer layer;
    layer.own.inputs = {part("self_attn.q_proj", hidden_),
                        part("self_attn.k_proj", hidden_),
                        part("self_attn.v_proj", hidden_)};
    layer.own.out = part("self_attn.out_proj", hidden_);
    layer.own.norm = take_norm(weights, name + "self_attn_layer_norm");
    if (sees_states(checkpoint)) {
      layer.cross =
          Attention{{part("encoder_attn.k_proj", states), part("encoder_attn.v_proj", states)},
                    part("encoder_attn.q_proj", hidden_),
                    part("encoder_attn.out_proj", hidden_),
                    take_norm(weights, name + "encoder_attn_layer_norm"),
                    1.0};
    }
    layer.fc1 = take_linear(weights, name + "fc1", wide, hidden_, true);
    layer.fc2 = part("fc2", wide);
    layer.norm = take_norm(weights, name + "final_layer_norm");
    layers_.push_back(std::move(layer));
  }
  head_ = take_head(checkpoint, weights, "language_model.output_projection", hidden_);
}

void LayerNormDecoder::take_blip(const Checkpoint& checkpoint, WeightTaker& weights) {
  const Facts facts(checkpoint);
  const std::string root = "language_model.bert.";
  hidden_ = embedding_size_ = facts.number("hidden_size", 768);
  heads_ = facts.number("num_attention_heads", 8);
  eps_ = facts.real("layer_norm_eps", 1e-12);
  activation_ = facts.text("hidden_act", "gelu");
  norm_first_ = false;
  const int64_t wide = facts.number("intermediate_size", 3072);
  const int64_t states = checkpoint.vision.value().hidden_size;  // BlipConfig: encoder_hidden_size
  const std::string embeddings = root + "embeddings.";
  table_ = weights.take(embeddings + "word_embeddings.weight", {vocab_size_, hidden_});
  positions_ = weights.take(embeddings + "position_embeddings.weight",
                            {facts.number("max_position_embeddings", 512), hidden_});
  first_norm_ = take_norm(weights, embeddings + "LayerNorm");
  for (int64_t i = 0; i < facts.number("num_hidden_layers", 12); ++i) {
    const std::string name = root + "encoder.layer." + std::to_string(i) + ".";
    const auto part = [&](const std::string& module, int64_t in) {
      return take_linear(weights, name + module, hidden_, in, true);
    };
    Layer layer;
    layer.own.inputs = {part("attention.self.query", hidden_),
                        part("attention.self.key", hidden_),
                        part("attention.self.value", hidden_)};
    layer.own.out = part("attention.output.dense", hidden_);
    layer.own.norm = take_norm(weights, name + "attention.output.LayerNorm");
    layer.cross = Attention{
        {part("crossattention.self.key", states), part("crossattention.self.value", states)},
        part("crossattention.self.query", hidden_),
        part("crossattention.output.dense", hidden_),
        take_norm(weights, name + "crossattention.output.LayerNorm"),
        1.0};
    layer.fc1 = take_linear(weights, name + "intermediate.dense", wide, hidden_, true);
    layer.fc2 = part("output.dense", wide);
    layer.norm = take_norm(weights, name + "output.LayerNorm");
    layers_.push_back(std::move(layer));
  }
  const std::string head = "language_model.cls.predictions.";
  transform_ = take_linear(weights, head + "transform.dense", hidden_, hidden_, true);
  last_norm_ = take_norm(weights, head + "transform.LayerNorm");
  head_ = take_head(checkpoint, weights, head + "decoder", hidden_);
  // One tensor under two names.
  const bool own = !weights.has(head + "bias");
  head_.bias = weights.take(head + (own ? "decoder.bias" : "bias"), {vocab_size_});
  weights.drop(head + "decoder.bias");
}

// TrOCRSinusoidalPositionalEmbedding.get_embedding, in float32 as torch computes it.
void LayerNormDecoder::make_sinusoids(int64_t positions, int64_t padding) {
  const int64_t half = hidden_ / 2;
  const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  const int64_t rows = positions + padding + 1;
  std::vector<float> table(static_cast<size_t>(rows * hidden_));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < half && row != padding; ++i) {
      const float angle = static_cast<float>(row) * std::exp(static_cast<float>(i) * step);
      const auto at = static_cast<size_t>(row * hidden_ + i);
      table[at] = std::sin(angle);
      table[at + static_cast<size_t>(half)] = std::cos(angle);
    }
  }
  const auto bytes = std::as_bytes(std::span(table));
  positions_ =
      constant_weight(DType::kF32, {rows, hidden_}, std::vector(bytes.begin(), bytes.end()));
  position_offset_ = padding + 1;
  unplaced_ = padding;
}

}  // namespace lorapress::reference
