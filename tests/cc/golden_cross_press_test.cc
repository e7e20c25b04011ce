// What press() writes of models whose decoder attends to the encoder: dtypes, and what is refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/inspect.h"
#include "lorapress/press.h"

#include "checkpoint/checkpoint.h"
#include "cross_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

TEST(GoldenCrossDtypes, RunInBothDialects) {
  for (const std::string& name : test::cross_golden_names()) {
    const Golden golden = test::cross_golden(name);
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(name + (ops == OpDialect::kOrt ? ", ort" : ", standard"));
      const TempFolder folder;
      PressOptions options = test::cross_press_options(golden, folder / "out");
      options.ops = ops;
      options.dtypes = {"fp32", "fp16", "q8"};
      if (ops == OpDialect::kOrt) {
        options.dtypes.insert(options.dtypes.end(), {"int8", "q4", "q4f16", "uint8", "bnb4"});
      }
      press(options);
      const Json& wanted = golden.cases().at(0).at("captions").at(0);
      GenerateOptions generate;
      generate.max_new_tokens = 6;
      for (const std::string& dtype : options.dtypes) {
        const Captioner captioner(folder / "out", {dtype, 1});
        const Ids ids = captioner.caption(golden.image(0), generate).ids;
        EXPECT_FALSE(ids.empty()) << dtype;
        if (dtype == "fp16") {
          const Ids all = wanted.at("ids");
          EXPECT_EQ(ids, Ids(all.begin(), all.begin() + std::ssize(ids)));
        }
      }
    }
  }
}

// The encoder's products stay in the branch that only the first call takes, in every dtype.
TEST(GoldenCrossDtypes, ComputeKeysOfTheEncoderOnce) {
  const Golden golden = test::cross_golden("vitgpt2");
  const TempFolder folder;
  PressOptions options = test::cross_press_options(golden, folder / "out");
  options.dtypes = {"fp32", "q8", "q4"};
  export_bundle(options);
  for (const char* suffix : {"", "_quantized", "_q4"}) {
    const std::string file = fmt::format("out/onnx/decoder_model_merged{}.onnx", suffix);
    const Json found = parse_json(inspect(folder / file), "inspect");
    EXPECT_EQ(found.at("operators").at("If"), 2) << suffix;
    EXPECT_EQ(found.at("operators").at("com.microsoft.GroupQueryAttention"), 2) << suffix;
  }
}

TEST(GoldenCrossRefusals, AreOneLineThatSaysWhy) {
  for (const std::string& name : test::cross_golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden = test::cross_golden(name);
    const std::string model_type = golden.json.at("model_type");
    const TempFolder folder;
    PressOptions options = test::cross_press_options(golden, folder / "out");
    for (const std::string bundle : {"single", "components", "llava", "genai", "smolvlm"}) {
      options.bundle = bundle;
      const std::string text = message_of(ErrorCode::kUnsupported, [&] { press(options); });
      const std::string why =
          fmt::format("bundle \"{}\" does not take a {} model; pass options.bundle transformers.js",
                      bundle,
                      model_type);
      EXPECT_TRUE(contains(text, why)) << text;
    }
    options = test::cross_press_options(golden, folder / "out");
    options.dtypes = {"q4"};
    options.scheme.rounding = Rounding::kSearch;
    options.calibrate = test::source_path("models/demo/images");
    EXPECT_TRUE(contains(message_of(ErrorCode::kUnsupported, [&] { press(options); }),
                         "options.calibrate does not take a " + model_type + " model yet"));
    EXPECT_TRUE(folder.names().empty());
  }
}

// The image takes no positions of the decoder; the start token takes one.
TEST(GoldenCrossPositions, HoldTheStartTokenAndTheNewOnes) {
  for (const std::string& name : test::cross_golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden = test::cross_golden(name);
    const TempFolder folder;
    PressOptions options = test::cross_press_options(golden, folder / "out");
    const int64_t positions = open_checkpoint(options.source).text->max_position_embeddings;
    options.max_new_tokens = positions;
    const std::string why = fmt::format(
        "1 start token and {0} new tokens do not fit the decoder's {0} positions", positions);
    EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidArgument, [&] { press(options); }), why));
    options.max_new_tokens = positions - 1;
    EXPECT_NO_THROW(export_bundle(options));
  }
}

// A copy of a golden's checkpoint with another config.json.
template <typename Change>
std::string refused(const Golden& golden, ErrorCode code, const Change& change) {
  const TempFolder folder;
  const fs::path copy = folder / "copy";
  fs::copy(golden.folder, copy, fs::copy_options::recursive);
  Json config = read_json(copy / "config.json");
  change(config);
  fs::remove(copy / "config.json");
  write_text(copy / "config.json", config.dump());
  PressOptions options;
  options.source.checkpoint = copy;
  options.out = folder / "out";
  return message_of(code, [&] { press(options); });
}

TEST(GoldenCrossRefusals, OfConfigsNameWhatIsWrong) {
  const Golden gpt2 = test::cross_golden("vitgpt2");
  EXPECT_TRUE(contains(refused(gpt2,
                               ErrorCode::kUnsupported,
                               [](Json& config) { config["decoder"]["model_type"] = "opt"; }),
                       "model_type \"opt\" has no cross attention here, expected"));
  EXPECT_TRUE(contains(refused(gpt2,
                               ErrorCode::kMismatch,
                               [](Json& config) { config["decoder"] = {{"model_type", "trocr"}}; }),
                       "missing"));
  EXPECT_TRUE(
      contains(refused(gpt2,
                       ErrorCode::kInvalidFile,
                       [](Json& config) { config["decoder"]["cross_attention_hidden_size"] = 48; }),
               "cross_attention_hidden_size"));
  EXPECT_TRUE(
      contains(refused(test::cross_golden("blip"),
                       ErrorCode::kInvalidFile,
                       [](Json& config) { config["text_config"]["sep_token_id"] = nullptr; }),
               "sep_token_id"));
  EXPECT_TRUE(
      contains(refused(Golden("gpt2"),
                       ErrorCode::kUnsupported,
                       [](Json& config) { config["text_config"]["add_cross_attention"] = true; }),
               "gives it nothing to attend to"));
}

}  // namespace
}  // namespace lorapress
