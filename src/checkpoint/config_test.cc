#include "checkpoint/config.h"

#include <gtest/gtest.h>

#include "checkpoint/known_models.h"
#include "checkpoint/model_types.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::ScopedVariable;
using test::TempFolder;

LlamaLayers layers_of(const TextConfig& config) {
  return std::get<LlamaLayers>(config.layers);
}

std::optional<ProjectionConfig> read_projection(const Json& json, std::string_view where) {
  return find_model_type(composite_model_types(), "prefix_conditioning_vlm")
      ->read_projection(json, where);
}

// configuration_siglip.py, configuration_llama.py and configuration_qwen2.py of transformers.
TEST(Config, HasTheDefaultsOfTransformers) {
  const VisionConfig vision = parse_vision_config(Json::object(), "x");
  EXPECT_EQ(vision.hidden_size, 768);
  EXPECT_EQ(vision.image_size, 224);
  EXPECT_EQ(vision.patches(), 196);
  EXPECT_EQ(vision.layer_norm_eps, 1e-6);
  const TextConfig text = parse_text_config(Json::object(), "x");
  const LlamaLayers layers = layers_of(text);
  EXPECT_EQ(text.model_type, "llama");
  EXPECT_EQ(text.hidden_size, 4096);
  EXPECT_EQ(layers.intermediate_size, 11008);
  EXPECT_EQ(text.num_key_value_heads, 32);
  EXPECT_EQ(text.head_dim, 128);
  EXPECT_EQ(layers.rms_norm_eps, 1e-6);
  EXPECT_EQ(layers.rope.rope_type, "default");
  EXPECT_EQ(layers.rope.rope_theta, 10000.0);
  EXPECT_FALSE(text.tie_word_embeddings);
  EXPECT_TRUE(text.eos_token_ids.empty());
  EXPECT_EQ(text.bos_token_id, -1);
  const ProjectionConfig projection = read_projection(Json::object(), "x").value();
  EXPECT_EQ(projection.type, ProjectionType::kLinear);
  EXPECT_EQ(projection.mlp_hidden_dim, 2048);
}

TEST(Config, HasTheDefaultsOfQwen2) {
  const TextConfig text = parse_text_config({{"model_type", "qwen2"}}, "x");
  EXPECT_EQ(text.model_type, "qwen2");
  EXPECT_EQ(text.vocab_size, 151936);
  EXPECT_EQ(text.num_key_value_heads, 32);
  EXPECT_EQ(text.max_position_embeddings, 32768);
  const LlamaLayers layers = layers_of(text);
  EXPECT_EQ(layers.intermediate_size, 22016);
  EXPECT_EQ(layers.rms_norm_eps, 1e-6);
  const AttentionBiases& biased = layers.attention_bias;
  EXPECT_TRUE(biased.q && biased.k && biased.v && !biased.o && !layers.mlp_bias);
  // num_key_value_heads is 32 where it is left out and num_attention_heads where it is null.
  const Json wide = {{"model_type", "qwen2"}, {"num_attention_heads", 64}};
  EXPECT_EQ(parse_text_config(wide, "x").num_key_value_heads, 32);
  Json none = wide;
  none["num_key_value_heads"] = nullptr;
  EXPECT_EQ(parse_text_config(none, "x").num_key_value_heads, 64);
}

TEST(Config, ABiasOfLlamasIsOfAllProjections) {
  for (const bool given : {false, true}) {
    const LlamaLayers layers =
        layers_of(parse_text_config({{"attention_bias", given}, {"mlp_bias", !given}}, "x"));
    const AttentionBiases& biased = layers.attention_bias;
    EXPECT_TRUE(biased.q == given && biased.k == given && biased.v == given && biased.o == given);
    EXPECT_EQ(layers.mlp_bias, !given);
  }
}

TEST(Config, DerivesWhatIsLeftOut) {
  const TextConfig text = parse_text_config({{"hidden_size", 96},
                                             {"num_attention_heads", 6},
                                             {"head_dim", nullptr},
                                             {"eos_token_id", {2, 0}}},
                                            "x");
  EXPECT_EQ(text.head_dim, 16);
  EXPECT_EQ(text.num_key_value_heads, 6);
  EXPECT_EQ(text.eos_token_ids, (std::vector<int64_t>{2, 0}));
  const TextConfig wide =
      parse_text_config({{"hidden_size", 100}, {"num_attention_heads", 6}, {"head_dim", 16}}, "x");
  EXPECT_EQ(wide.head_dim, 16);  // need not divide when it is given
  EXPECT_EQ(parse_vision_config({{"image_size", 40}, {"patch_size", 16}}, "x").patches(), 4);
}

TEST(Config, ReadsRopeInBothSpellings) {
  const Json scaling = {{"factor", 8.0},
                        {"low_freq_factor", 2.0},
                        {"high_freq_factor", 3.0},
                        {"original_max_position_embeddings", 64}};
  Json old_scaling = scaling;
  old_scaling["type"] = "llama3";
  Json new_scaling = scaling;
  new_scaling["rope_type"] = "llama3";
  new_scaling["rope_theta"] = 5000.0;
  for (const Json& json : {Json{{"rope_theta", 5000.0}, {"rope_scaling", old_scaling}},
                           Json{{"rope_parameters", new_scaling}, {"rope_scaling", nullptr}}}) {
    const RopeConfig rope = layers_of(parse_text_config(json, "x")).rope;
    EXPECT_EQ(rope.rope_type, "llama3");
    EXPECT_EQ(rope.rope_theta, 5000.0);
    EXPECT_EQ(rope.factor, 8.0);
    EXPECT_EQ(rope.low_freq_factor, 2.0);
    EXPECT_EQ(rope.high_freq_factor, 3.0);
    EXPECT_EQ(rope.original_max_position_embeddings, 64);
  }
  const TextConfig plain = parse_text_config({{"rope_scaling", nullptr}, {"rope_theta", 7.0}}, "x");
  EXPECT_EQ(layers_of(plain).rope.rope_theta, 7.0);
}

struct Refused {
  Json json;
  std::string reason;
  ErrorCode code = ErrorCode::kInvalidFile;
};

template <typename Parse>
void expect_refused(const std::vector<Refused>& rows, const Parse& parse) {
  for (const Refused& row : rows) {
    const std::string text = message_of(row.code, [&] { parse(row.json, "config.json"); });
    EXPECT_TRUE(contains(text, row.reason)) << row.json << ": " << text;
    EXPECT_TRUE(contains(text, "config.json")) << text;
  }
}

TEST(Config, CountsTheTokensBesideThePatches) {
  const auto tokens = [](const Json& json) { return parse_vision_config(json, "x").tokens(); };
  EXPECT_EQ(tokens({{"image_size", 384}, {"patch_size", 14}}), 27 * 27);
  EXPECT_EQ(tokens({{"model_type", "vit"}}), 197);
  EXPECT_EQ(tokens({{"model_type", "clip_vision_model"}}), 50);
  EXPECT_EQ(tokens({{"model_type", "dinov2_with_registers"}, {"patch_size", 14}}), 261);
}

TEST(Config, RefusesWhatItsEncodersDoNotCompute) {
  for (const Json& json : {Json{{"model_type", "dinov2"}, {"use_swiglu_ffn", true}},
                           Json{{"model_type", "vit"}, {"hidden_act", "relu"}},
                           Json{{"model_type", "siglip2_vision_model"}},
                           Json{{"model_type", "clip_vision_model"}, {"hidden_act", "silu"}}}) {
    message_of(ErrorCode::kUnsupported, [&] { parse_vision_config(json, "x"); });
  }
  for (const Json& json :
       {Json{{"model_type", "dinov2"}, {"mlp_ratio", 1e20}},
        Json{{"model_type", "dinov2_with_registers"}, {"num_register_tokens", -1}}}) {
    message_of(ErrorCode::kInvalidFile, [&] { parse_vision_config(json, "x"); });
  }
}

TEST(Config, RefusesImpossibleVisionTowers) {
  expect_refused(
      {
          {{{"model_type", "swin"}}, "\"swin\"", ErrorCode::kUnsupported},
          {{{"hidden_act", "quick_gelu"}}, "quick_gelu", ErrorCode::kUnsupported},
          {{{"num_channels", 1}}, "num_channels", ErrorCode::kUnsupported},
          {{{"hidden_size", 0}}, "hidden_size"},
          {{{"hidden_size", -768}}, "hidden_size"},
          {{{"hidden_size", 1 << 25}}, "hidden_size"},
          {{{"hidden_size", 768.0}}, "whole number"},
          {{{"hidden_size", 770}}, "num_attention_heads"},
          {{{"num_hidden_layers", 0}}, "num_hidden_layers"},
          {{{"patch_size", 225}}, "no patches"},
          {{{"image_size", 10000}}, "image_size"},
          {{{"layer_norm_eps", 0}}, "layer_norm_eps"},
          {{{"layer_norm_eps", -1e-6}}, "layer_norm_eps"},
      },
      parse_vision_config);
}

TEST(Config, RefusesImpossibleDecoders) {
  expect_refused(
      {
          {{{"model_type", "gpt2"}},
           "\"gpt2\" is not supported here, expected \"llama\" or \"qwen2\"",
           ErrorCode::kUnsupported},
          {{{"hidden_act", "gelu"}}, "gelu", ErrorCode::kUnsupported},
          {{{"vocab_size", 0}}, "vocab_size"},
          {{{"num_attention_heads", 3}}, "not a multiple"},
          {{{"num_key_value_heads", 5}}, "num_key_value_heads"},
          {{{"head_dim", 15}}, "rotary"},
          {{{"head_dim", -2}}, "head_dim"},
          {{{"tie_word_embeddings", "yes"}}, "true or false"},
          {{{"eos_token_id", -1}}, "token ids"},
          {{{"eos_token_id", {0, "end"}}}, "token ids"},
          {{{"eos_token_id", 1.5}}, "token ids"},
          {{{"pad_token_id", int64_t{1} << 40}}, "token ids"},
          {{{"rope_theta", 0}}, "rope_theta"},
          {{{"rope_scaling", {{"type", "yarn"}}}}, "yarn", ErrorCode::kUnsupported},
          {{{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "factor"},
          {{{"rope_parameters", {{"rope_type", "llama3"}, {"low_freq_factor", 4}}}},
           "high_freq_factor"},
      },
      parse_text_config);
}

TEST(Config, RefusesUnknownProjections) {
  expect_refused({{{{"projection_type", "qformer"}}, "qformer", ErrorCode::kUnsupported},
                  {{{"projection_type", 3}}, "a string"},
                  {{{"projection_type", "mlp"}, {"mlp_hidden_dim", 0}}, "mlp_hidden_dim"}},
                 read_projection);
}

TEST(KnownModelTable, AllParse) {
  EXPECT_GT(known_model_names().size(), 20U);
  for (const std::string_view name : known_model_names()) {
    const auto json = known_config(name);
    ASSERT_TRUE(json) << name;
    if (find_model_type(text_model_types(), (*json)["model_type"].get<std::string>())) {
      const TextConfig text = parse_text_config(*json, name);
      EXPECT_EQ(text.hidden_size * (text.model_type == "qwen3" ? 2 : 1),
                text.num_attention_heads * text.head_dim)
          << name;
      EXPECT_EQ(text.eos_token_ids.size(), 1U) << name;
    } else {
      const VisionConfig vision = parse_vision_config(*json, name);
      const std::string size = std::to_string(vision.image_size);
      const bool named = contains(name, "-224") || contains(name, "-384") ||
                         contains(name, "-256") || contains(name, "-512") || contains(name, "-336");
      EXPECT_EQ(vision.image_size,
                vision.model_type == "dinov2" ? 518
                : named                       ? std::stoi(size)
                                              : 224)
          << name;
      EXPECT_TRUE(!named || contains(name, "-" + size)) << name;
      EXPECT_TRUE(vision.model_type == "dinov2" ||
                  contains(name, "patch" + std::to_string(vision.patch_size)))
          << name;
    }
  }
  EXPECT_FALSE(known_config("org/other"));
  EXPECT_FALSE(known_config(""));
}

TEST(KnownModelTable, AreFoundInTheHubCache) {
  const TempFolder folder;
  const auto snapshot = folder / "models--org--name" / "snapshots" / "0123";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(folder / "models--org--name" / "refs");
  const ScopedVariable cache("HF_HUB_CACHE", folder.path().string());
  EXPECT_FALSE(cached_model("org/name"));
  write_text(folder / "models--org--name" / "refs" / "main", "0123\n");
  EXPECT_FALSE(cached_model("org/name"));  // without a config
  write_text(snapshot / "config.json", "{}");
  EXPECT_EQ(cached_model("org/name"), snapshot);
  for (const std::string_view bad : {"", "org/other", "../org/name", "/org/name"}) {
    EXPECT_FALSE(cached_model(bad)) << bad;
  }
  std::filesystem::create_directories(folder / "home");
  std::filesystem::create_directory_symlink(folder.path(), folder / "home" / "hub");
  const ScopedVariable unset("HF_HUB_CACHE", "");
  const ScopedVariable home("HF_HOME", (folder / "home").string());
  EXPECT_TRUE(cached_model("org/name"));
}

}  // namespace
}  // namespace lorapress
