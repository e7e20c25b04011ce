// Models whose decoder attends to the encoder (VisionEncoderDecoder with GPT-2 and TrOCR, BLIP) against
// transformers' generate() on the same checkpoint, natively and in both dialects.
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/merge.h"
#include "lorapress/press.h"

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "golden_util.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using test::Golden;
using test::TempFolder;
using Ids = std::vector<int64_t>;

PressOptions press_options(const Golden& golden, const Json& row, const fs::path& out) {
  PressOptions options;
  options.source = golden.source(row);
  options.out = out;
  return options;
}

class GoldenCross : public testing::TestWithParam<std::string> {
 protected:
  Golden golden_ = test::cross_golden(GetParam());
  const Json& row_ = golden_.cases().at(0);
  TempFolder temp_;

  void expect_captions(const Captioner& captioner) const {
    GenerateOptions options;
    options.max_new_tokens = golden_.json.at("max_new_tokens");
    for (const Json& wanted : row_.at("captions")) {
      const size_t image = wanted.at("image");
      const Caption caption = captioner.caption(golden_.image(image), options);
      EXPECT_EQ(caption.ids, wanted.at("ids").get<Ids>()) << "image " << image;
      EXPECT_EQ(caption.text, wanted.at("text").get<std::string>()) << "image " << image;
    }
  }

  void expect_beams(const Captioner& captioner) const {
    for (const Json& search : row_.at("beams")) {
      GenerateOptions options;
      options.max_new_tokens = search.at("options").at("max_new_tokens");
      options.num_beams = search.at("options").at("num_beams");
      for (const Json& wanted : search.at("results")) {
        const Caption caption = captioner.caption(golden_.image(wanted.at("image")), options);
        EXPECT_EQ(caption.ids, wanted.at("ids").at(0).get<Ids>()) << wanted.at("image");
      }
    }
  }

  void expect_prompt(const Captioner& captioner, const fs::path& folder) const {
    const Json& prompt = row_.at("prompt");
    GenerateOptions options;
    options.max_new_tokens = golden_.json.at("max_new_tokens");
    options.prompt = prompt.at("prompt_text");
    const Ids ids = Tokenizer::from_file(folder / "tokenizer.json").encode(options.prompt);
    ASSERT_EQ(ids, prompt.at("prompt_ids").get<Ids>());
    EXPECT_EQ(captioner.caption(golden_.image(prompt.at("image")), options).ids,
              prompt.at("ids").get<Ids>());
  }
};

TEST_P(GoldenCross, CaptionsAreThoseOfGenerate) {
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    PressOptions options = press_options(golden_, row_, temp_.path() / "model");
    options.ops = ops;
    options.force = true;
    EXPECT_EQ(press(options).bundle, "transformers.js");
    const Captioner captioner(options.out);
    expect_captions(captioner);
    expect_beams(captioner);
    expect_prompt(captioner, options.out);
  }
}

// Each dtype is run by press itself; here all of them caption.
TEST_P(GoldenCross, EveryDtypeRuns) {
  PressOptions options = press_options(golden_, row_, temp_.path() / "model");
  options.dtypes = {"fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"};
  press(options);
  for (const std::string& dtype : options.dtypes) {
    CaptionerOptions chosen;
    chosen.dtype = dtype;
    EXPECT_FALSE(Captioner(options.out, chosen).caption(golden_.image(0)).ids.empty()) << dtype;
  }
}

// A merged folder is a checkpoint of the same class, and says the same.
TEST_P(GoldenCross, MergedFoldersCaptionAlike) {
  MergeOptions merging;
  merging.source = golden_.source(row_);
  merging.out = temp_.path() / "merged";
  merging.dtype = "fp32";
  merge(merging);
  const Json before = read_json(merging.source.checkpoint / "config.json");
  const Json after = read_json(merging.out / "config.json");
  EXPECT_EQ(after.at("model_type"), before.at("model_type"));
  EXPECT_EQ(after.at("architectures"), before.at("architectures"));
  PressOptions options;
  options.source.checkpoint = merging.out;
  options.out = temp_.path() / "model";
  press(options);
  expect_captions(Captioner(options.out));
}

// The image takes no positions of the decoder; the start token takes one.
TEST_P(GoldenCross, NewTokensFillThePositionsBehindTheStartToken) {
  PressOptions options = press_options(golden_, row_, temp_.path() / "model");
  const int64_t positions = open_checkpoint(options.source).text->max_position_embeddings;
  options.max_new_tokens = positions;
  const std::string text = test::message_of(ErrorCode::kInvalidArgument, [&] { press(options); });
  EXPECT_NE(text.find("1 start token and"), std::string::npos) << text;
  options.max_new_tokens = positions - 1;
  EXPECT_NO_THROW(export_bundle(options));
}

TEST_P(GoldenCross, OtherBundlesAreRefusedByName) {
  for (const char* bundle : {"single", "components", "genai", "llava", "smolvlm"}) {
    PressOptions options = press_options(golden_, row_, temp_.path() / "model");
    options.bundle = bundle;
    const std::string text = test::message_of(ErrorCode::kUnsupported, [&] { press(options); });
    EXPECT_NE(text.find("pass options.bundle transformers.js"), std::string::npos) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenCross, testing::ValuesIn(test::cross_golden_names()));

}  // namespace
}  // namespace lorapress
