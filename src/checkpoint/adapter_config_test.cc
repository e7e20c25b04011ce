#include "checkpoint/adapter_config.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

AdapterConfig parse(const Json& json) {
  return parse_adapter_config(json.dump(), "folder/adapter_config.json");
}

std::string refusal(const Json& json) {
  return message_of(ErrorCode::kUnsupported, [&] { parse(json); });
}

// As PEFT 0.21 writes the file, the defaults of everything included.
const Json& defaults() {
  static const Json config =
      read_json(test::source_path("tests/goldens/adapters/plain/adapter_config.json"));
  return config;
}

TEST(AdapterFields, KnowAllThatPeftWrites) {
  EXPECT_GT(defaults().size(), 35U);
  EXPECT_EQ(parse(defaults()).r, 3);
}

TEST(AdapterFields, RefuseByNameWhatChangesTheResult) {
  const Json values = {{"layer_replication", {{0, 3}, {1, 4}}},
                       {"alora_invocation_tokens", {31, 7}},
                       {"arrow_config", Json::object()},
                       {"enable_lora", {true, false, true}}};
  for (const auto& [name, value] : values.items()) {
    Json config = defaults();
    config[name] = value;
    const std::string text = refusal(config);
    EXPECT_TRUE(contains(text, "folder/adapter_config.json: " + name + " is " + value.dump()))
        << text;
    config[name] = nullptr;
    EXPECT_NO_THROW(parse(config)) << name;
  }
}

TEST(AdapterFields, TakeAnUnknownFieldOnlyWhereItSaysNothing) {
  for (const Json& value :
       {Json(nullptr), Json(false), Json(0), Json(""), Json::array(), Json::object()}) {
    Json config = defaults();
    config["use_xyz"] = value;
    EXPECT_NO_THROW(parse(config)) << value;
  }
  for (const Json& value : {Json(true), Json(2), Json("on"), Json{{"rank", 3}}, Json{false}}) {
    Json config = defaults();
    config["use_xyz"] = value;
    EXPECT_TRUE(contains(refusal(config), "use_xyz is " + value.dump())) << value;
  }
  Json config = defaults();
  config["use_xyz"] = std::string(1000, 'x');
  EXPECT_LT(refusal(config).size(), 400U);
}

TEST(AdapterFields, TakeWhatHasNoEffectOnAMergedWeight) {
  Json config = defaults();
  config.update({{"lora_dropout", 0.1},
                 {"bias", "lora_only"},
                 {"megatron_config", {{"tp", 2}}},
                 {"eva_config", {{"rho", 2.0}}},
                 {"velora_config", {{"num_groups", 4}}},
                 {"monteclora_config", Json::object()},
                 {"use_qalora", true},
                 {"modules_to_save", {"lm_head"}},
                 {"trainable_token_indices", {1, 2}},
                 {"ensure_weight_tying", true},
                 {"layers_to_transform", {1}},
                 {"runtime_config", {{"ephemeral_gpu_offload", true}}}});
  EXPECT_NO_THROW(parse(config));
}

TEST(AdapterFields, LeaveATrainersOtherKeysAlone) {
  const Json trainer = {{"lora_r", 16},
                        {"lora_alpha", 4},
                        {"bias", "all"},
                        {"r", "a word"},
                        {"use_something", true},
                        {"use_dora", false},
                        {"fan_in_fan_out", true},
                        {"alpha_pattern", {{"z_proj", 2}, {"a_proj", 3}}}};
  const AdapterConfig config = parse_trainer_config(trainer.dump(), "config.json");
  EXPECT_EQ(config.r, 16);
  EXPECT_EQ(config.lora_alpha, 4.0);
  EXPECT_FALSE(config.use_dora);  // its tensors say it
  EXPECT_EQ(config.alpha_pattern.size(), 2U);
  EXPECT_TRUE(config.fan_in_fan_out);
  const std::string text = message_of(ErrorCode::kUnsupported, [] {
    parse_trainer_config(R"({"alora_invocation_tokens": [1]})", "config.json");
  });
  EXPECT_TRUE(contains(text, "config.json: alora_invocation_tokens")) << text;
}

TEST(AdapterConfig, ReadsFanInFanOut) {
  Json config = defaults();
  EXPECT_FALSE(parse(config).fan_in_fan_out);
  config["fan_in_fan_out"] = true;
  EXPECT_TRUE(parse(config).fan_in_fan_out);
  EXPECT_TRUE(parse(config).notes.empty());
}

TEST(AdapterConfig, RefusesPatternsOfParameters) {
  Json config = defaults();
  config["target_parameters"] = {"q_proj.weight"};
  EXPECT_NO_THROW(parse(config));
  config["alpha_pattern"] = {{"q_proj", 4}};
  EXPECT_TRUE(contains(refusal(config), "target_parameters"));
}

TEST(AdapterConfig, BoundsItsPatterns) {
  Json config = defaults();
  for (int i = 0; i < 1001; ++i) {
    config["alpha_pattern"]["(q|k)_proj" + std::to_string(i)] = 1;
  }
  message_of(ErrorCode::kInvalidFile, [&] { parse(config); });
  config["alpha_pattern"] = Json::object();
  for (int i = 0; i < 500; ++i) {
    config["alpha_pattern"]["((ab){3000}|b)" + std::to_string(i)] = 1;
  }
  message_of(ErrorCode::kInvalidFile, [&] { parse(config); });
}

TEST(AdapterConfig, TakesTheKeyThatIsTheNameAfterAllExpressions) {
  const Pattern pattern =
      parse_adapter_config(R"({"alpha_pattern": {"a[0]": 2, "a0": 3, "b+": 4}})", "x")
          .alpha_pattern;
  EXPECT_EQ(match_pattern(pattern, "a0", 1.0), 2.0);    // the first that matches
  EXPECT_EQ(match_pattern(pattern, "a[0]", 1.0), 2.0);  // no expression matches, the name does
  EXPECT_EQ(match_pattern(pattern, "b+", 1.0), 4.0);
  EXPECT_EQ(match_pattern(pattern, "c", 1.0), 1.0);
}

TEST(BaseChange, FollowsTheInitialization) {
  const auto change = [](const Json& init, bool kasa = false) {
    return base_change(parse({{"init_lora_weights", init}}), kasa);
  };
  for (const Json& init : {Json(true),
                           Json(false),
                           Json(nullptr),
                           Json("gaussian"),
                           Json("eva"),
                           Json("orthogonal"),
                           Json("mica")}) {
    EXPECT_EQ(change(init), BaseChange::kNone) << init;
    EXPECT_EQ(change(init, true), BaseChange::kKasa) << init;
  }
  EXPECT_EQ(change("pissa"), BaseChange::kPissa);
  EXPECT_EQ(change("olora"), BaseChange::kOlora);
  for (const char* init :
       {"pissa_niter_16", "corda", "loftq", "lora_ga", "something_new", "pissa_niter_"}) {
    const std::string text = message_of(ErrorCode::kUnsupported, [&] { change(init); });
    EXPECT_TRUE(contains(text, std::string("init_lora_weights \"") + init + "\"")) << text;
    EXPECT_TRUE(contains(text, "path_initial_model_for_weight_conversion")) << text;
  }
  message_of(ErrorCode::kUnsupported, [&] { change("pissa", true); });
}

TEST(BaseChange, HasAnInitializationOfTheRightType) {
  message_of(ErrorCode::kInvalidFile, [] { parse({{"init_lora_weights", 3}}); });
  for (const Json& value : {Json(true),
                            Json{{"nblocks", 0}},
                            Json{{"target_modules_bd_a", "q"}},
                            Json{{"target_modules_bd_b", {1}}}}) {
    EXPECT_THROW(parse({{"use_bdlora", value}}), Error) << value;
  }
}

}  // namespace
}  // namespace lorapress
