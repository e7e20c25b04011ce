// verify by engine, of decoders that apply rules to their own logits, and of decoders alone.
#include <gtest/gtest.h>

#include "bundles/manifest.h"
#include "planted_faults.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_json;
using test::change_tensors;
using test::contains;
using test::options_of;
using test::source_of;
using test::TempFolder;
using test::write_bundle;
namespace fs = std::filesystem;

TEST(VerifyEngines, EachHasARowForEachDtype) {
  const TempFolder temp;
  PressOptions press;
  press.source = source_of("base");
  press.out = temp / "model";
  press.dtypes = {"fp32", "q8"};
  export_bundle(press);
  VerifyOptions options = options_of(press.source, press.out);
  options.engine = "both";
  options.layers = true;
  const VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  ASSERT_EQ(report.dtypes.size(), 4U);
  const std::vector<std::string> names = {"fp32 native", "fp32 ort", "q8 native", "q8 ort"};
  for (size_t i = 0; i < names.size(); ++i) {
    const DtypeParity& row = report.dtypes[i];
    EXPECT_EQ(row.name, names[i]);
    EXPECT_EQ(row.dtype + " " + row.engine, names[i]);
    EXPECT_FALSE(row.layers.empty());
    EXPECT_EQ(row.layers.size(), report.dtypes[0].layers.size());
    EXPECT_LT(row.forced.kl_mean, 0.1);
  }
  EXPECT_NE(report.dtypes[2].forced.kl_mean, report.dtypes[3].forced.kl_mean);
  options.engine = "none";
  EXPECT_THROW(verify(options), Error);
}

class VerifyRules : public testing::Test {
 protected:
  void write(const std::vector<std::string>& set, const std::string& name) {
    PressOptions press;
    press.source = source_;
    press.out = temp_ / name;
    press.set = set;
    press.rules_in_graph = true;
    export_bundle(press);
  }

  TempFolder temp_;
  Source source_ = source_of("base");
  std::vector<std::string> rules_ = {
      "repetition_penalty=1.4", "no_repeat_ngram_size=2", "bad_words_ids=[[7],[40,41]]"};
};

TEST_F(VerifyRules, InsideTheDecoderPass) {
  write(rules_, "model");
  VerifyOptions options = options_of(source_, temp_ / "model");
  options.engine = "both";
  options.layers = true;
  const VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  EXPECT_EQ(report.dtypes.size(), 2U);
  for (const DtypeParity& row : report.dtypes) {
    EXPECT_EQ(row.captions_equal, std::ssize(report.images));
    EXPECT_LT(row.forced.kl_max, 1e-6);
  }
}

// Each rule in turn: the graph has another value than the manifest.
TEST_F(VerifyRules, OtherThanTheManifestsAreFound) {
  write(rules_, "model");
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"repetition_penalty=1.2", ""},
      {"no_repeat_ngram_size=1", "forbids the token"},
      {"bad_words_ids=[[8],[40,41]]", "forbids the token 8"},
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    std::vector<std::string> rules = rules_;
    rules[i] = changes[i].first;
    const std::string name = "other" + std::to_string(i);
    write(rules, name);
    const char* decoder = "onnx/decoder_model_merged.onnx";
    fs::copy_file(
        temp_ / name / decoder, temp_ / "model" / decoder, fs::copy_options::overwrite_existing);
    const VerifyReport report = verify(options_of(source_, temp_ / "model"));
    EXPECT_FALSE(report.passed) << changes[i].first;
    EXPECT_TRUE(report.faults.empty()) << all_faults(report);
    EXPECT_TRUE(contains(all_faults(report), changes[i].second)) << all_faults(report);
  }
}

class VerifyText : public testing::TestWithParam<std::string> {
 protected:
  VerifyText() {
    const fs::path folder = test::source_path("tests/goldens/text") / GetParam();
    const bool adapted = fs::exists(folder / "adapter");
    source_.checkpoint = folder / (adapted ? "adapter" : "merged");
    if (adapted) {
      source_.bases = {folder / "base"};
    }
  }

  TempFolder temp_;
  Source source_;
};

TEST_P(VerifyText, ADecoderAlonePassesAndItsFaultsAreFound) {
  write_bundle(source_, temp_ / "model");
  VerifyOptions options = options_of(source_, temp_ / "model");
  options.engine = "both";
  options.layers = true;
  options.html = temp_ / "page.html";
  VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  ASSERT_EQ(report.dtypes.size(), 2U);
  for (const DtypeParity& row : report.dtypes) {
    EXPECT_GT(row.forced.tokens, 6);
    EXPECT_FALSE(row.layers.empty());
    EXPECT_LT(row.forced.kl_max, 1e-6);
  }

  options.engine.clear();
  options.layers = false;
  options.html.clear();
  options.prompts = temp_ / "prompts.txt";
  write_text(options.prompts, "one line\n\nand another\n");
  report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  ASSERT_EQ(report.images.size(), 2U);
  EXPECT_EQ(report.images[1].name, "and another");
  options.images = temp_.path();
  EXPECT_TRUE(contains(test::message_of(ErrorCode::kInvalidArgument, [&] { verify(options); }),
                       "options.images"));

  // Another dtype's weights under the name of fp32: as if its products were rounded.
  PressOptions press;
  press.source = source_;
  press.out = temp_ / "rounded";
  press.dtypes = {"q8"};
  export_bundle(press);
  fs::copy_file(temp_ / "rounded/onnx/model_quantized.onnx",
                temp_ / "model/onnx/model.onnx",
                fs::copy_options::overwrite_existing);
  options.images.clear();
  report = verify(options);
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), "logits are off by")) << all_faults(report);
}

INSTANTIATE_TEST_SUITE_P(Goldens, VerifyText, testing::Values("llama", "gpt2"));

}  // namespace
}  // namespace lorapress
