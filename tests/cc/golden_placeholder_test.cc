// LLaVA, SmolVLM and Idefics3 against transformers' generate(): ids of pressed and of merged folders.
#include <gtest/gtest.h>

#include "lorapress/merge.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/generation_settings.h"
#include "golden_util.h"
#include "placeholder_util.h"
#include "rules_util.h"

namespace lorapress {
namespace {

using test::PlaceholderGolden;
using test::press_options;
using test::TempFolder;
using Ids = std::vector<int64_t>;
namespace fs = std::filesystem;

class GoldenPlaceholder : public testing::TestWithParam<std::string> {
 protected:
  void expect_captions(const fs::path& model) const {
    const Captioner captioner(model);
    for (const Json& row : golden_.json.at("captions")) {
      SCOPED_TRACE(row.at("image"));
      GenerateOptions asked = golden_.raw();
      EXPECT_EQ(captioner.caption(golden_.image(row), asked).ids, row.at("ids").get<Ids>());
      asked.num_beams = 3;
      EXPECT_EQ(captioner.caption(golden_.image(row), asked).ids, row.at("beams").get<Ids>());
    }
    const Json& placed = golden_.json.at("placed");
    const GenerateOptions asked = golden_.raw(placed.at("prompt").get<std::string>());
    EXPECT_EQ(captioner.caption(golden_.image(placed), asked).ids, placed.at("ids").get<Ids>());
  }

  PlaceholderGolden golden_{GetParam()};
};

TEST_P(GoldenPlaceholder, CaptionsOfFilesAreThoseOfGenerateGreedyAndWithBeams) {
  const TempFolder temp;
  PressOptions options = press_options(golden_.source(), temp / "fused");
  press(options);
  expect_captions(options.out);
  options.ops = OpDialect::kStandard;
  options.out = temp / "standard";
  press(options);
  expect_captions(options.out);
}

TEST_P(GoldenPlaceholder, PromptsThroughTheChatTemplateAreThoseOfApplyChatTemplate) {
  const TempFolder temp;
  press(press_options(golden_.source(), temp / "model"));
  const Captioner captioner(temp / "model");
  for (const Json& row : golden_.json.at("chat")) {
    GenerateOptions asked = golden_.raw(row.at("prompt").get<std::string>());
    asked.system = row.at("system").get<std::string>();
    asked.raw_prompt = false;
    EXPECT_EQ(captioner.caption(golden_.image(row), asked).ids, row.at("ids").get<Ids>()) << row;
  }
}

TEST_P(GoldenPlaceholder, RulesSeeThePromptAsGenerateWithInputIdsDoes) {
  const TempFolder temp;
  press(press_options(golden_.source(), temp / "model"));
  const Captioner captioner(temp / "model");
  const Json& rules = golden_.json.at("rules");
  for (const Json& row : rules.at("variants")) {
    GenerateOptions asked = golden_.raw(rules.at("prompt").get<std::string>());
    const int64_t most = *asked.max_new_tokens;
    static_cast<GenerationSettings&>(asked) =
        parse_generation_settings(row.at("options"), 1 << 20, "options");
    if (!asked.max_length) {
      asked.max_new_tokens = most;
    }
    EXPECT_EQ(captioner.caption(golden_.image(rules), asked).ids, row.at("ids").get<Ids>()) << row;
  }
}

// The runtime leaves these rules to the decoder, which sees no ids but those in the embeddings' columns.
TEST_P(GoldenPlaceholder, RulesInsideTheDecoderSeeThePromptAsGenerateDoes) {
  const Json& rules = golden_.json.at("rules");
  const GenerateOptions asked = golden_.raw(rules.at("prompt").get<std::string>());
  size_t variants = 0;
  for (const Json& row : rules.at("variants")) {
    if (!test::only_graph_rules(row.at("options"))) {
      continue;
    }
    SCOPED_TRACE(row);
    const TempFolder temp;
    PressOptions options =
        test::with_rules_inside(press_options(golden_.source(), temp / "model"), row.at("options"));
    options.ops = variants % 2 == 0 ? OpDialect::kOrt : OpDialect::kStandard;
    options.dtypes = {"fp32", "fp16"};
    press(options);
    const Json written = read_json(options.out / "generation_config.json");
    EXPECT_FALSE(written.contains(row.at("options").begin().key()));
    EXPECT_EQ(Captioner(options.out).caption(golden_.image(rules), asked).ids,
              row.at("ids").get<Ids>());
    const Caption half =
        Captioner(options.out, CaptionerOptions{"fp16", 1}).caption(golden_.image(rules), asked);
    options.out = temp / "plain";
    options.rules_in_graph = false;
    press(options);
    EXPECT_EQ(half.ids,
              Captioner(options.out, CaptionerOptions{"fp16", 1})
                  .caption(golden_.image(rules), asked)
                  .ids);
    ++variants;
  }
  EXPECT_GE(variants, 4U);
}

TEST_P(GoldenPlaceholder, BatchesAreTheirImages) {
  const TempFolder temp;
  press(press_options(golden_.source(), temp / "model"));
  const Captioner captioner(temp / "model");
  std::vector<std::vector<float>> pixels;
  std::vector<Ids> greedy;
  std::vector<Ids> beams;
  for (const int round : {0, 1}) {
    for (const Json& row : golden_.json.at("captions")) {
      pixels.push_back(captioner.load_pixels(golden_.image(row)));
      greedy.push_back(row.at("ids").get<Ids>());
      beams.push_back(row.at("beams").get<Ids>());
    }
    EXPECT_EQ(pixels.size(), golden_.json.at("captions").size() * (round + 1));
  }
  GenerateOptions asked = golden_.raw();
  for (const auto& [num_beams, expected] : {std::pair(1, greedy), std::pair(3, beams)}) {
    asked.num_beams = num_beams;
    const std::vector<Caption> captions = captioner.caption_batch(pixels, asked);
    ASSERT_EQ(captions.size(), expected.size());
    for (size_t i = 0; i < captions.size(); ++i) {
      EXPECT_EQ(captions[i].ids, expected[i]) << num_beams << " " << i;
    }
  }
}

TEST_P(GoldenPlaceholder, MergedFoldersKeepNamesAndArchitectureAndSayTheSame) {
  const TempFolder temp;
  MergeOptions options;
  options.source = golden_.source();
  options.out = temp / "merged";
  options.dtype = "fp32";  // bfloat16 would round what the adapter adds
  merge(options);
  const Json config = read_json(options.out / "config.json");
  const Json wanted = read_json(golden_.folder / "base/config.json");
  EXPECT_EQ(config.at("architectures"), wanted.at("architectures"));
  EXPECT_EQ(config.at("model_type"), wanted.at("model_type"));
  std::set<std::string> names;
  for (const auto& [name, weight] : open_safetensors(options.out / "model.safetensors")) {
    names.insert(name);
  }
  std::set<std::string> expected;
  for (const auto& [name, tensor] : open_checkpoint(golden_.source()).tensors) {
    expected.insert(tensor.name);
  }
  EXPECT_EQ(names, expected);
  press(press_options({options.out, {}, {}}, temp / "model"));
  expect_captions(temp / "model");
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenPlaceholder,
                         testing::ValuesIn(test::kPlaceholderGoldens),
                         test::param_name);

}  // namespace
}  // namespace lorapress
