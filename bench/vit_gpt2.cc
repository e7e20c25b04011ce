#include "vit_gpt2.h"

#include <cmath>
#include <string>

namespace lorapress {
namespace {

constexpr int64_t kPositions = 1024;
constexpr float kSharp = 3.0F;  // of query and key, as in make_checkpoint.cc

void add_vit(TensorList& tensors, const VitGpt2Shape& shape) {
  const int64_t hidden = shape.hidden;
  const int64_t side = shape.image_size / shape.patch;
  const std::string embeddings = "encoder.embeddings.";
  const auto inputs = static_cast<float>(3 * shape.patch * shape.patch);
  tensors.add(embeddings + "cls_token", {1, 1, hidden}, 0.0F, 0.02F);
  tensors.add(embeddings + "position_embeddings", {1, side * side + 1, hidden}, 0.0F, 0.02F);
  const std::string patches = embeddings + "patch_embeddings.projection";
  tensors.add(
      patches + ".weight", {hidden, 3, shape.patch, shape.patch}, 0.0F, 1.0F / std::sqrt(inputs));
  tensors.add(patches + ".bias", {hidden}, 0.0F, 0.02F);
  for (int64_t layer = 0; layer < shape.encoder_layers; ++layer) {
    const std::string name = "encoder.encoder.layer." + std::to_string(layer) + ".";
    tensors.layer_norm(name + "layernorm_before", hidden);
    tensors.layer_norm(name + "layernorm_after", hidden);
    for (const char* part :
         {"attention.query", "attention.key", "attention.value", "output.dense"}) {
      tensors.linear(name + "attention." + part, hidden, hidden);
    }
    tensors.linear(name + "intermediate.dense", 4 * hidden, hidden);
    tensors.linear(name + "output.dense", hidden, 4 * hidden);
  }
  tensors.layer_norm("encoder.layernorm", hidden);
}

void add_conv1d(TensorList& tensors, const std::string& name, int64_t out, int64_t in, float gain) {
  const float deviation = gain / std::sqrt(static_cast<float>(in));
  tensors.add(name + ".weight", {in, out}, 0.0F, deviation);
  tensors.add(name + ".bias", {out}, 0.0F, 0.02F);
}

void add_gpt2(TensorList& tensors, const VitGpt2Shape& shape) {
  const int64_t hidden = shape.hidden;
  const std::string root = "decoder.transformer.";
  tensors.add(root + "wte.weight", {shape.vocab, hidden}, 0.0F, 0.02F);
  tensors.add(root + "wpe.weight", {kPositions, hidden}, 0.0F, 0.02F);
  for (int64_t layer = 0; layer < shape.decoder_layers; ++layer) {
    const std::string name = root + "h." + std::to_string(layer) + ".";
    for (const char* norm : {"ln_1", "ln_cross_attn", "ln_2"}) {
      tensors.layer_norm(name + norm, hidden);
    }
    add_conv1d(tensors, name + "attn.c_attn", 3 * hidden, hidden, kSharp);
    add_conv1d(tensors, name + "attn.c_proj", hidden, hidden, 1.0F);
    add_conv1d(tensors, name + "crossattention.c_attn", 2 * hidden, hidden, kSharp);
    add_conv1d(tensors, name + "crossattention.q_attn", hidden, hidden, kSharp);
    add_conv1d(tensors, name + "crossattention.c_proj", hidden, hidden, 1.0F);
    add_conv1d(tensors, name + "mlp.c_fc", 4 * hidden, hidden, 1.0F);
    add_conv1d(tensors, name + "mlp.c_proj", hidden, 4 * hidden, 1.0F);
  }
  tensors.layer_norm(root + "ln_f", hidden);
}

}  // namespace

void add_vit_gpt2(TensorList& tensors, const VitGpt2Shape& shape) {
  add_vit(tensors, shape);
  add_gpt2(tensors, shape);
}

Json vit_gpt2_config(const VitGpt2Shape& shape, std::string_view torch_dtype) {
  const Json encoder = {{"model_type", "vit"},
                        {"hidden_act", "gelu"},
                        {"hidden_size", shape.hidden},
                        {"image_size", shape.image_size},
                        {"intermediate_size", 4 * shape.hidden},
                        {"layer_norm_eps", 1e-12},
                        {"num_attention_heads", shape.heads},
                        {"num_channels", 3},
                        {"num_hidden_layers", shape.encoder_layers},
                        {"patch_size", shape.patch},
                        {"qkv_bias", true}};
  const Json decoder = {{"model_type", "gpt2"},
                        {"activation_function", "gelu_new"},
                        {"add_cross_attention", true},
                        {"bos_token_id", 0},
                        {"eos_token_id", 0},
                        {"is_decoder", true},
                        {"layer_norm_epsilon", 1e-5},
                        {"n_embd", shape.hidden},
                        {"n_head", shape.heads},
                        {"n_layer", shape.decoder_layers},
                        {"n_positions", kPositions},
                        {"tie_word_embeddings", true},
                        {"vocab_size", shape.vocab}};
  return {{"architectures", {"VisionEncoderDecoderModel"}},
          {"model_type", "vision-encoder-decoder"},
          {"decoder", decoder},
          {"decoder_start_token_id", 0},
          {"encoder", encoder},
          {"eos_token_id", 0},
          {"is_encoder_decoder", true},
          {"pad_token_id", 0},
          {"tie_word_embeddings", false},
          {"torch_dtype", torch_dtype}};
}

}  // namespace lorapress
