#include "checkpoint/adapter.h"

#include <cmath>
#include <gtest/gtest.h>

#include "checkpoint_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

const std::string kModule = "model.layers.1.self_attn.q_proj";

AdapterModule module_of(int64_t rank, const std::string& name = kModule) {
  return {
      zeros(DType::kF32, {rank, 4}), zeros(DType::kF32, {6, rank}), nullptr, nullptr, name, false};
}

Adapter adapter_of(const Json& config) {
  Adapter adapter;
  adapter.where = "somewhere";
  adapter.config = parse_adapter_config(config.dump(), "adapter_config.json");
  return adapter;
}

TEST(AdapterConfig, HasPeftsDefaults) {
  const AdapterConfig config = parse_adapter_config("{}", "x");
  EXPECT_EQ(config.r, 8);
  EXPECT_EQ(config.lora_alpha, 8.0);
  EXPECT_FALSE(config.use_rslora);
  EXPECT_TRUE(config.rank_pattern.empty());
  const AdapterConfig nulls =
      parse_adapter_config(R"({"r":null,"rank_pattern":null,"base_model_name_or_path":null})", "x");
  EXPECT_EQ(nulls.r, 8);
  EXPECT_EQ(nulls.base_model_name_or_path, "");
}

TEST(AdapterConfig, RefusesWhatItCannotMerge) {
  const auto parse = [](const Json& json) {
    return [json] { parse_adapter_config(json.dump(), "x"); };
  };
  message_of(ErrorCode::kInvalidFile, parse(Json::array({1})));
  message_of(ErrorCode::kInvalidFile, parse({{"rank_pattern", {"q_proj", 4}}}));
  message_of(ErrorCode::kInvalidFile, parse({{"rank_pattern", {{"q_proj", 0}}}}));
  message_of(ErrorCode::kInvalidFile, parse({{"rank_pattern", {{"q_proj", 2.5}}}}));
  message_of(ErrorCode::kInvalidFile, parse({{"r", int64_t{1} << 40}}));
  message_of(ErrorCode::kUnsupported, parse({{"peft_type", "LOHA"}}));
  message_of(ErrorCode::kUnsupported, parse({{"peft_type", "ADALORA"}}));
  message_of(ErrorCode::kInvalidFile, parse({{"r", 0}}));
  message_of(ErrorCode::kInvalidFile, parse({{"r", -4}}));
  message_of(ErrorCode::kInvalidFile, parse({{"r", 4.5}}));
  message_of(ErrorCode::kInvalidFile, parse({{"lora_alpha", "16"}}));
  message_of(ErrorCode::kInvalidFile, parse({{"use_rslora", 1}}));
  message_of(ErrorCode::kInvalidFile, parse({{"rank_pattern", {{"q_proj", "4"}}}}));
}

TEST(Adapter, ScalesByAlphaAndRank) {
  Adapter adapter = adapter_of({{"r", 4}, {"lora_alpha", 10}});
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(4)), 2.5);
  adapter.weight = -0.5;
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(4)), -1.25);
  adapter.config.use_rslora = true;
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(4)), -2.5);
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(2)), -0.5 * 10.0 / std::sqrt(2.0));
}

// peft/utils/other.py: re.match(rf"(.*\.)?({key})$", module), the first key that matches.
TEST(Adapter, MatchesPatternsAsPeft) {
  struct Row {
    std::string key;
    std::string module;
    bool matches;
  };
  const std::vector<Row> rows{
      {"q_proj", kModule, true},
      {"q_proj", "q_proj", true},
      {"q_proj", "model.layers.1.self_attn.xq_proj", false},
      {"q_proj", "model.q_proj.layers", false},
      {"layers.1.self_attn.q_proj", kModule, true},
      {"layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj", false},
      {"ayers.1.self_attn.q_proj", kModule, false},
      {"layers\\.(0|1)\\..*", kModule, true},
      {"layers\\.[02]\\..*", kModule, false},
      {".*q_proj", kModule, true},
      {"^model.layers.1.self_attn.q_proj", kModule, true},
      {"^layers.1.self_attn.q_proj", kModule, false},
      {"k_proj|q_proj", kModule, true},
      {"model", kModule, false},
  };
  for (const Row& row : rows) {
    const Adapter adapter =
        adapter_of({{"r", 2}, {"lora_alpha", 2}, {"alpha_pattern", {{row.key, 8}}}});
    EXPECT_DOUBLE_EQ(adapter.scaling(module_of(2, row.module)), row.matches ? 4.0 : 1.0) << row.key;
  }
}

// The first key of the file counts, wherever it stands in the alphabet.
TEST(Adapter, TakesTheFirstPatternInFileOrder) {
  Adapter adapter;
  adapter.config = parse_adapter_config(
      R"({"r":2,"lora_alpha":2,"alpha_pattern":{"q_proj":4,"layers.1.self_attn.q_proj":8}})", "x");
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(2)), 2.0);
  adapter.config = parse_adapter_config(
      R"({"r":2,"lora_alpha":2,"alpha_pattern":{"layers.1.self_attn.q_proj":8,"q_proj":4}})", "x");
  EXPECT_DOUBLE_EQ(adapter.scaling(module_of(2)), 4.0);
}

TEST(Adapter, ChecksItsFactors) {
  Adapter adapter = adapter_of({{"r", 4}, {"rank_pattern", {{"q_proj", 2}}}});
  adapter.modules["w"] = module_of(2);
  EXPECT_NO_THROW(adapter.check());
  adapter.modules["w"] = module_of(4);
  EXPECT_TRUE(contains(message_of(ErrorCode::kMismatch, [&] { adapter.check(); }), "r = 2"));
  adapter.modules["w"] = module_of(4, "model.layers.1.mlp.up_proj");
  EXPECT_NO_THROW(adapter.check());
  adapter.modules["w"].b = zeros(DType::kF32, {6, 3});
  message_of(ErrorCode::kMismatch, [&] { adapter.check(); });
  adapter.modules["w"].b = nullptr;
  EXPECT_TRUE(
      contains(message_of(ErrorCode::kMismatch, [&] { adapter.check(); }), "lora_B is missing"));
  adapter.modules["w"].a = nullptr;
  EXPECT_TRUE(
      contains(message_of(ErrorCode::kMismatch, [&] { adapter.check(); }), "lora_A is missing"));
}

TEST(Adapter, RefusesOddTensorsAndScalings) {
  Adapter adapter = adapter_of({{"r", 4}});
  adapter.modules["w"] = module_of(4);
  adapter.modules["w"].magnitude = zeros(DType::kI64, {6});
  message_of(ErrorCode::kUnsupported, [&] { adapter.check(); });
  adapter.modules["w"].magnitude = nullptr;
  adapter.config.lora_alpha = 1e300;
  message_of(ErrorCode::kInvalidFile, [&] { adapter.check(); });
}

TEST(Adapter, RefusesATensorTwice) {
  Adapter adapter = adapter_of({{"r", 4}});
  const TensorName a = *parse_adapter_name("base_model.model." + kModule + ".lora_A.weight");
  const TensorName again = *parse_adapter_name(kModule + ".lora_A.other.weight");
  EXPECT_EQ(a.canonical, again.canonical);
  adapter.add(a, zeros(DType::kF32, {4, 4}));
  message_of(ErrorCode::kInvalidFile, [&] { adapter.add(again, zeros(DType::kF32, {4, 4})); });
}

// peft/tuners/lora/layer.py, dispatch_default: fan_in_fan_out is reset for nn.Linear.
TEST(Adapter, TurnsDeltasOfEmbeddingsAlone) {
  AdapterModule module = module_of(4);
  EXPECT_FALSE(adapter_of({{"r", 4}}).delta(module).transposed);
  EXPECT_FALSE(adapter_of({{"r", 4}, {"fan_in_fan_out", true}}).delta(module).transposed);
  module.embedding = true;
  EXPECT_TRUE(adapter_of({{"r", 4}}).delta(module).transposed);
}

TEST(Adapter, HasTheTensorsOfItsKind) {
  const auto check = [](const Json& config, const AdapterModule& module) {
    Adapter adapter = adapter_of(config);
    adapter.modules["w"] = module;
    adapter.check();
  };
  const AdapterModule plain = module_of(8);
  AdapterModule dora = plain;
  dora.magnitude = zeros(DType::kF32, {6});
  AdapterModule kasa = plain;
  kasa.diagonal = zeros(DType::kF32, {8});
  const Json kasa_config = {{"kasa_config", Json::object()}};
  EXPECT_NO_THROW(check({{"use_dora", true}}, dora));
  EXPECT_NO_THROW(check(Json::object(), dora));  // written before the field was
  EXPECT_NO_THROW(check(kasa_config, kasa));
  for (const auto& [config, module, field] :
       {std::tuple<Json, AdapterModule, std::string>{{{"use_dora", true}}, plain, "use_dora"},
        {{{"use_dora", false}}, dora, "use_dora"},
        {kasa_config, plain, "kasa_config"},
        {Json::object(), kasa, "kasa_config"}}) {
    const std::string text = message_of(ErrorCode::kMismatch, [&] { check(config, module); });
    EXPECT_TRUE(contains(text, "somewhere: w: " + field)) << text;
  }
}

TEST(Adapter, RefusesAnUnknownPartByItsFolder) {
  Adapter adapter = adapter_of({{"r", 4}});
  const TensorName other = *parse_adapter_name("base_model.model." + kModule + ".lora_gate.weight");
  const std::string text =
      message_of(ErrorCode::kUnsupported, [&] { adapter.add(other, zeros(DType::kF32, {4, 4})); });
  EXPECT_TRUE(contains(text, "somewhere: language_model." + kModule)) << text;
  for (const char* training : {".lora_velora_embed", ".lora_monteclora_sampler.std_prior"}) {
    adapter.add(*parse_adapter_name(kModule + training), zeros(DType::kF32, {4}));
  }
  EXPECT_TRUE(adapter.modules.empty() && adapter.replacements.empty());
}

std::vector<NamedWeight> tensors_of_one_module() {
  const std::string at = "base_model.model." + kModule;
  return {{at + ".lora_A.weight", zeros(DType::kF32, {2, 4})},
          {at + ".lora_B.weight", zeros(DType::kF32, {6, 2})},
          {at + ".lora_B.bias", zeros(DType::kF32, {6})},
          {at + ".lora_magnitude_vector", zeros(DType::kF32, {6})},
          {"base_model.model.lm_head.weight", zeros(DType::kF32, {9, 4})}};
}

TEST(Adapter, OpensAFolder) {
  const TempFolder folder;
  write_text(folder / "adapter_config.json",
             R"({"peft_type":"LORA","r":2,"base_model_name_or_path":"org/m"})");
  test::write_safetensors(folder / "adapter_model.safetensors", tensors_of_one_module());
  const Adapter adapter = open_adapter(folder.path(), 0.25);
  EXPECT_EQ(adapter.weight, 0.25);
  EXPECT_EQ(adapter.config.base_model_name_or_path, "org/m");
  ASSERT_EQ(adapter.modules.size(), 1U);
  const AdapterModule& module = adapter.modules.at("language_model." + kModule + ".weight");
  EXPECT_EQ(module.relative_module, kModule);
  EXPECT_TRUE(module.a && module.b && module.b_bias && module.magnitude);
  ASSERT_EQ(adapter.replacements.size(), 1U);
  EXPECT_TRUE(adapter.replacements.contains("language_model.lm_head.weight"));
}

TEST(Adapter, SaysWhatAFolderLacks) {
  const TempFolder folder;
  const auto open = [&] { open_adapter(folder.path(), 1.0); };
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open), "adapter_config.json"));
  write_text(folder / "adapter_config.json", R"({"r":3})");
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open), "adapter_model.safetensors"));
  write_text(folder / "adapter_model.bin", "pickle");
  EXPECT_TRUE(contains(message_of(ErrorCode::kUnsupported, open), "safe_serialization"));
  test::write_safetensors(folder / "adapter_model.safetensors", tensors_of_one_module());
  EXPECT_TRUE(contains(message_of(ErrorCode::kMismatch, open), "r = 3"));
}

}  // namespace
}  // namespace lorapress
