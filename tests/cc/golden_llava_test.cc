// LLaVA's processors, dtypes, and what is refused.
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/preprocessing.h"
#include "golden_util.h"
#include "placeholder_util.h"
#include "runtime/image/image.h"
#include "runtime/preprocess.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::change_json;
using test::contains;
using test::message_of;
using test::placeholder_source;
using test::PlaceholderGolden;
using test::press_options;
using test::TempFolder;
using Ids = std::vector<int64_t>;
namespace fs = std::filesystem;

class GoldenLlava : public testing::TestWithParam<std::string> {
 protected:
  PlaceholderGolden golden_{GetParam()};
};

// Levels in 8 bits as pixel_values [3, height, width].
std::vector<float> values_of_levels(const Image& levels, const Preprocessing& settings) {
  const auto plane = static_cast<size_t>(levels.width * levels.height);
  std::vector<float> values(3 * plane);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i / plane;
    const double level = levels.rgb.at(i % plane * 3 + channel) / 255.0;
    values[i] =
        static_cast<float>((level - settings.image_mean[channel]) / settings.image_std[channel]);
  }
  return values;
}

TEST_P(GoldenLlava, PixelsAreThoseOfItsProcessor) {
  const Checkpoint checkpoint = open_checkpoint(golden_.source());
  std::vector<std::string> notes;
  const Preprocessing settings = find_preprocessing(checkpoint, notes);
  EXPECT_TRUE(notes.empty());
  for (const Json& row : golden_.json.at("captions")) {
    const std::vector<float> found = preprocess(load_image(golden_.image(row)), settings);
    const Image wanted = load_image(golden_.folder / row.at("pixels").get<std::string>());
    const std::vector<float> expected = values_of_levels(wanted, settings);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 1e-5) << row.at("image") << " " << i;
    }
  }
}

TEST_P(GoldenLlava, EveryDtypeRuns) {
  const TempFolder temp;
  PressOptions options = press_options(golden_.source(), temp / "model");
  options.dtypes = {"fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"};
  press(options);
  const Json& row = golden_.json.at("captions").at(0);
  for (const std::string& dtype : options.dtypes) {
    const Caption caption =
        Captioner(options.out, {dtype, 1}).caption(golden_.image(row), golden_.raw());
    EXPECT_FALSE(caption.ids.empty()) << dtype;
    if (dtype.ends_with("32") || dtype == "fp16") {
      EXPECT_EQ(caption.ids, row.at("ids").get<Ids>()) << dtype;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenLlava,
                         testing::ValuesIn(test::kLlavaGoldens),
                         test::param_name);

TEST(LlavaTables, AreTiedByEitherFlag) {
  for (const char* part : {"whole", "text_config"}) {
    const TempFolder temp;
    const fs::path copy = test::writable_copy("llava/siglip", temp);
    change_json(copy / "base/config.json", [&](Json& config) {
      Json& changed = std::string_view(part) == "whole" ? config : config["text_config"];
      changed["tie_word_embeddings"] = false;
    });
    const Checkpoint checkpoint = open_checkpoint(placeholder_source(copy));
    EXPECT_TRUE(checkpoint.text->tie_word_embeddings) << part;
    for (const std::string& note : checkpoint.notes) {
      EXPECT_FALSE(contains(note, "tie_word_embeddings is not true")) << part << ": " << note;
    }
  }
}

// Changes config.json of a copy of llava/clip and expects that it cannot be pressed.
std::string llava_refusal(ErrorCode code, const std::function<void(Json&)>& change) {
  const TempFolder temp;
  const fs::path copy = test::writable_copy("llava/clip", temp);
  change_json(copy / "base/config.json", change);
  return message_of(code, [&] { press(press_options(placeholder_source(copy), temp / "out")); });
}

TEST(LlavaRefusals, FeatureLayersThatTheTowerDoesNotHave) {
  for (const Json& layer : {Json(0), Json(4), Json(-4), Json("last"), Json({1, 7}), Json(1.5)}) {
    const std::string text = llava_refusal(
        ErrorCode::kUnsupported, [&](Json& config) { config["vision_feature_layer"] = layer; });
    EXPECT_TRUE(contains(text,
                         "base/config.json: \"vision_feature_layer\" is " + layer.dump() +
                             ", expected hidden states behind 1 to 3 layers"))
        << text;
  }
  const std::string none = llava_refusal(ErrorCode::kInvalidFile, [](Json& config) {
    config["vision_feature_layer"] = Json::array();
  });
  EXPECT_TRUE(contains(none, "names 0 layers")) << none;
}

TEST(LlavaRefusals, AnotherSelectStrategy) {
  const std::string text = llava_refusal(ErrorCode::kUnsupported, [](Json& config) {
    config["vision_feature_select_strategy"] = "cls";
  });
  EXPECT_TRUE(contains(text, "vision_feature_select_strategy \"cls\"")) << text;
}

TEST(LlavaRefusals, AnImageTokenThatIsNotTheTokenizers) {
  const std::string text =
      llava_refusal(ErrorCode::kMismatch, [](Json& config) { config["image_token_index"] = 7; });
  EXPECT_TRUE(contains(text, "base/config.json: the image token is 7, ")) << text;
  EXPECT_TRUE(contains(text, "tokenizer.json has 275 for <image>")) << text;
}

TEST(LlavaRefusals, AProjectorOfAnotherWidth) {
  const std::string text = llava_refusal(ErrorCode::kMismatch, [](Json& config) {
    config["vision_feature_layer"] = {1, 2};  // twice as wide
  });
  EXPECT_TRUE(contains(text, "projection.linear_1.weight is [48, 48], expected [48, 96]")) << text;
}

TEST(LlavaRefusals, PromptsWithAnotherNumberOfImages) {
  const TempFolder temp;
  const PlaceholderGolden golden("llava/clip");
  press(press_options(golden.source(), temp / "model"));
  const Captioner captioner(temp / "model");
  const fs::path image = golden.image(golden.json.at("captions").at(0));
  const std::string two = message_of(ErrorCode::kInvalidArgument, [&] {
    (void)captioner.caption(image, golden.raw("<image> and <image>"));
  });
  EXPECT_TRUE(contains(two, "the prompt has 2 times <image>, expected 1")) << two;
  GenerateOptions asked = golden.raw("x");
  asked.system = "Be brief.";
  const std::string system =
      message_of(ErrorCode::kInvalidArgument, [&] { (void)captioner.caption(image, asked); });
  EXPECT_TRUE(contains(system, "needs a chat template")) << system;
}

}  // namespace
}  // namespace lorapress
