// The configs of decoders of Llama's kind, against transformers' config classes.
#include <cmath>
#include <gtest/gtest.h>

#include "checkpoint/config.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using Windows = std::vector<int64_t>;

LlamaLayers layers_of(const TextConfig& config) {
  return std::get<LlamaLayers>(config.layers);
}

TextConfig parsed(std::string_view model_type, Json json) {
  json["model_type"] = model_type;
  return parse_text_config(json, "config.json");
}

Windows windows_of(const TextConfig& config) {
  Windows windows;
  for (const LayerKind& kind : layers_of(config).kinds) {
    windows.push_back(kind.window);
  }
  return windows;
}

std::string refused(ErrorCode code, std::string_view model_type, const Json& json) {
  std::string text = message_of(code, [&] { parsed(model_type, json); });
  EXPECT_TRUE(contains(text, "config.json: ")) << text;
  return text;
}

TEST(LlamaConfig, HasTheDefaultsOfTransformers) {
  const TextConfig qwen3 = parsed("qwen3", Json::object());
  EXPECT_EQ(qwen3.head_dim, 128);  // also where hidden_size / num_attention_heads is another number
  EXPECT_EQ(parsed("qwen3", {{"hidden_size", 1024}, {"num_attention_heads", 64}}).head_dim, 128);
  EXPECT_EQ(qwen3.max_position_embeddings, 32768);
  EXPECT_TRUE(layers_of(qwen3).head_norms && !layers_of(qwen3).attention_bias.q);
  const TextConfig mistral = parsed("mistral", Json::object());
  EXPECT_EQ(mistral.num_key_value_heads, 8);
  EXPECT_EQ(layers_of(mistral).intermediate_size, 14336);
  EXPECT_EQ(windows_of(mistral), Windows(32, 4096));
  const TextConfig phi3 = parsed("phi3", Json::object());
  EXPECT_EQ(phi3.head_dim, 96);
  EXPECT_EQ(phi3.num_key_value_heads, 32);
  EXPECT_EQ(layers_of(phi3).rms_norm_eps, 1e-5);
  EXPECT_EQ(windows_of(phi3), Windows(32, 0));
  EXPECT_TRUE(layers_of(phi3).fused_projections);
}

// Qwen2Config and Qwen3Config: use_sliding_window first, then layer_types or max_window_layers.
TEST(LlamaConfig, GivesWindowsToLayersOfQwen) {
  for (const char* model_type : {"qwen2", "qwen3"}) {
    Json json{{"num_hidden_layers", 3}, {"sliding_window", 9}, {"max_window_layers", 1}};
    EXPECT_EQ(windows_of(parsed(model_type, json)), Windows(3, 0));
    json["use_sliding_window"] = true;
    EXPECT_EQ(windows_of(parsed(model_type, json)), (Windows{0, 9, 9}));
    json["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention"};
    EXPECT_EQ(windows_of(parsed(model_type, json)), (Windows{9, 0, 9}));
    json["sliding_window"] = 32768;  // holds all positions
    EXPECT_EQ(windows_of(parsed(model_type, json)), Windows(3, 0));
    json["use_sliding_window"] = false;
    EXPECT_TRUE(contains(refused(ErrorCode::kInvalidFile, model_type, json), "layer 0"));
  }
}

TEST(LlamaConfig, GivesWindowsToAllLayersOfMistralAndPhi3) {
  for (const char* model_type : {"mistral", "phi3"}) {
    Json json{{"num_hidden_layers", 2}, {"sliding_window", 7}};
    EXPECT_EQ(windows_of(parsed(model_type, json)), Windows(2, 7));
    json["sliding_window"] = nullptr;
    EXPECT_EQ(windows_of(parsed(model_type, json)), Windows(2, 0));
    json["sliding_window"] = 64;
    json["max_position_embeddings"] = 64;
    EXPECT_EQ(windows_of(parsed(model_type, json)), Windows(2, 0));
    json["sliding_window"] = 0;
    EXPECT_TRUE(contains(refused(ErrorCode::kInvalidFile, model_type, json), "sliding_window"));
  }
}

TEST(LlamaConfig, RefusesImpossibleLayerTypes) {
  const auto with = [](const Json& types) {
    return Json{{"num_hidden_layers", 2}, {"layer_types", types}};
  };
  for (const Json& types : {Json{"full_attention"}, Json("full_attention")}) {
    refused(ErrorCode::kInvalidFile, "qwen3", with(types));
  }
  const Json chunked = with({"full_attention", "chunked_attention"});
  EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, "qwen3", chunked), "chunked_attention"));
}

Json longrope(const char* type) {
  return {{"hidden_size", 48},
          {"num_attention_heads", 3},
          {"max_position_embeddings", 512},
          {"original_max_position_embeddings", 64},
          {"rope_theta", 5000.0},
          {"rope_scaling",
           {{"type", type}, {"short_factor", {1, 2, 3, 4}}, {"long_factor", {1, 2, 3, 5}}}},
          {"partial_rotary_factor", 0.5}};
}

// Phi3Config; _compute_longrope_parameters.
TEST(LlamaConfig, ReadsLongropeWithShortFactors) {
  for (const char* type : {"longrope", "su", "yarn"}) {  // the first files of Phi-3 have the others
    const TextConfig text = parsed("phi3", longrope(type));
    const RopeConfig rope = layers_of(text).rope;
    EXPECT_EQ(rope.rope_type, "longrope");
    EXPECT_EQ(rope.rope_theta, 5000.0);
    EXPECT_EQ(rope.rotary_dim, 8);
    EXPECT_EQ(rope.short_factor, (std::vector<double>{1, 2, 3, 4}));
    EXPECT_NEAR(rope.attention_factor, std::sqrt(1.0 + std::log(8.0) / std::log(64.0)), 1e-12);
    EXPECT_EQ(text.max_position_embeddings, 64);
    ASSERT_EQ(text.notes.size(), 1U);
    EXPECT_TRUE(contains(text.notes[0], "more than 64 positions")) << text.notes[0];
  }
  Json json = longrope("longrope");
  json["rope_scaling"]["long_factor"] = json["rope_scaling"]["short_factor"];
  EXPECT_EQ(parsed("phi3", json).max_position_embeddings, 512);
  EXPECT_TRUE(parsed("phi3", json).notes.empty());
  json["rope_scaling"]["attention_factor"] = 1.5;
  EXPECT_EQ(layers_of(parsed("phi3", json)).rope.attention_factor, 1.5);
  json = longrope("longrope");
  json.erase("original_max_position_embeddings");  // Phi3Config's own default
  json["rope_scaling"]["original_max_position_embeddings"] = 64;
  EXPECT_EQ(layers_of(parsed("phi3", json)).rope.original_max_position_embeddings, 4096);
  EXPECT_EQ(layers_of(parsed("phi3", json)).rope.attention_factor, 1.0);
}

TEST(LlamaConfig, RefusesRopesThatItDoesNotCompute) {
  for (const Json& factors : {Json{1, 2, 3}, Json{1, 2, 3, 0}, Json{1, 2, 3, nullptr}, Json("x")}) {
    Json json = longrope("longrope");
    json["rope_scaling"]["short_factor"] = factors;
    EXPECT_TRUE(contains(refused(ErrorCode::kInvalidFile, "phi3", json), "short_factor"));
  }
  EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, "phi3", longrope("linear")), "linear"));
  for (const char* type : {"yarn", "dynamic", "su"}) {
    const Json json{{"rope_scaling", {{"type", type}, {"factor", 2.0}}}};
    EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, "llama", json), type));
  }
  for (const double part : {0.01, 1.5, 0.19}) {  // 0, 144 and 18.24, of which 18 is even
    const Json json{{"partial_rotary_factor", part}};
    if (part != 0.19) {
      EXPECT_TRUE(contains(refused(ErrorCode::kInvalidFile, "phi3", json), "partial_rotary"));
    } else {
      EXPECT_EQ(layers_of(parsed("phi3", json)).rope.rotary_dim, 18);
    }
  }
  for (const char* model_type : {"llama", "qwen2", "qwen3", "mistral"}) {
    const Json json{{"rope_parameters", {{"partial_rotary_factor", 0.5}}}};
    EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, model_type, json), "partial_rotary"));
    const Json nested{{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}};
    EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, model_type, nested), "full_attention"));
  }
}

}  // namespace
}  // namespace lorapress
