// The config readers of decoders with LayerNorm.
#include "families/layer_norm_decoder.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

TextConfig parsed(Json json, const char* model_type) {
  json["model_type"] = model_type;
  return parse_text_config(json, "config.json");
}

TEST(Gpt2Config, HasTheDefaultsOfItsClass) {
  const TextConfig config = parsed({}, "gpt2");
  const LayerNormLayers& layers = layer_norm_layers(config);
  EXPECT_EQ(config.vocab_size, 50257);
  EXPECT_EQ(config.hidden_size, 768);
  EXPECT_EQ(config.num_key_value_heads, 12);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_position_embeddings, 1024);
  EXPECT_EQ(config.embedding_width(), 768);
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{50256});
  EXPECT_EQ(config.pad_token_id, -1);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(layers.intermediate_size, 3072);
  EXPECT_EQ(layers.activation, "gelu_new");
  EXPECT_TRUE(layers.norm_first && layers.scaled_scores && !layers.scaled_by_layer);
}

TEST(Gpt2Config, IsRead) {
  const TextConfig config = parsed({{"n_embd", 36},
                                    {"n_head", 3},
                                    {"n_layer", 2},
                                    {"n_positions", 40},
                                    {"n_inner", 50},
                                    {"activation_function", "relu"},
                                    {"scale_attn_weights", false},
                                    {"scale_attn_by_inverse_layer_idx", true},
                                    {"eos_token_id", nullptr},
                                    {"pad_token_id", 4}},
                                   "gpt2");
  const LayerNormLayers& layers = layer_norm_layers(config);
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.max_position_embeddings, 40);
  EXPECT_TRUE(config.eos_token_ids.empty());
  EXPECT_EQ(config.pad_token_id, 4);
  EXPECT_EQ(layers.intermediate_size, 50);
  EXPECT_TRUE(!layers.scaled_scores && layers.scaled_by_layer);
}

TEST(OptConfig, IsRead) {
  const TextConfig usual = parsed({}, "opt");
  EXPECT_EQ(layer_norm_layers(usual).activation, "relu");
  EXPECT_EQ(layer_norm_layers(usual).position_offset, 2);
  EXPECT_EQ(layer_norm_layers(usual).layer_norm_eps, 1e-5);
  EXPECT_TRUE(layer_norm_layers(usual).last_norm && layer_norm_layers(usual).linear_bias);
  EXPECT_EQ(usual.pad_token_id, 1);
  const TextConfig config = parsed({{"hidden_size", 48},
                                    {"word_embed_proj_dim", 20},
                                    {"do_layer_norm_before", false},
                                    {"enable_bias", false},
                                    {"layer_norm_elementwise_affine", false}},
                                   "opt");
  const LayerNormLayers& layers = layer_norm_layers(config);
  EXPECT_EQ(config.embedding_width(), 20);
  EXPECT_FALSE(layers.norm_first || layers.last_norm || layers.linear_bias || layers.affine_norms);
  EXPECT_FALSE(layer_norm_layers(parsed({{"_remove_final_layer_norm", true}}, "opt")).last_norm);
}

TEST(LayerNormConfig, RefusesWhatIsNotComputed) {
  const auto refuse = [](const Json& json, const char* type, ErrorCode code, const char* part) {
    const std::string text = message_of(code, [&] { parsed(json, type); });
    EXPECT_TRUE(contains(text, part)) << text;
    EXPECT_TRUE(text.starts_with("config.json: ")) << text;
  };
  refuse({{"activation_function", "tanh"}},
         "gpt2",
         ErrorCode::kUnsupported,
         "activation_function \"tanh\"");
  refuse({{"n_head", 5}}, "gpt2", ErrorCode::kInvalidFile, "n_embd by n_head");
  refuse({{"n_positions", 0}}, "gpt2", ErrorCode::kInvalidFile, "n_positions");
  refuse({{"activation_function", "silu"}}, "opt", ErrorCode::kUnsupported, "silu");
  refuse({{"num_attention_heads", 7}}, "opt", ErrorCode::kInvalidFile, "num_attention_heads");
  refuse({{"ffn_dim", -1}}, "opt", ErrorCode::kInvalidFile, "ffn_dim");
}

}  // namespace
}  // namespace lorapress
