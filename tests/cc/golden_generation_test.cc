// Whole searches on pressed folders, against transformers' generate() on the same checkpoints.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/press.h"

#include "bundles/manifest.h"
#include "golden_util.h"
#include "onnx_edit.h"
#include "search_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Pictures;
using test::searches;
using test::TempFolder;
using test::to_options;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

fs::path press_golden(const Golden& golden, const Json& row, const fs::path& out, OpDialect ops) {
  PressOptions options;
  options.source = golden.source(row);
  options.out = out;
  options.ops = ops;
  press(options);
  return out;
}

// Random weights seldom stop by themselves, so the goldens were made with other end tokens.
void set_end_tokens(const fs::path& folder, const Json& ids) {
  Json manifest = read_json(folder / kManifestName);
  manifest.at("generation").at("eos_token_id") = ids;
  fs::remove(folder / kManifestName);
  write_text(folder / kManifestName, manifest.dump(2));
}

// The padding behind an end token is transformers' business.
Ids without_padding(Ids ids, const Ids& ends) {
  const auto end = std::ranges::find_first_of(ids, ends);
  ids.erase(end == ids.end() ? end : end + 1, ids.end());
  return ids;
}

class Generation : public ::testing::TestWithParam<std::tuple<size_t, OpDialect>> {
 protected:
  void SetUp() override {
    const Json& part = searches().at("checkpoints").at(std::get<0>(GetParam()));
    golden_.emplace(part.at("checkpoint").get<std::string>());
    pictures_.emplace(*golden_);
    press_golden(*golden_, golden_->cases().at(0), folder_ / "out", std::get<1>(GetParam()));
    set_end_tokens(folder_ / "out", part.at("eos_token_ids"));
    captioner_.emplace(folder_ / "out", CaptionerOptions{"", 1});
  }

  [[nodiscard]] static const Json& part() {
    return searches().at("checkpoints").at(std::get<0>(GetParam()));
  }

  TempFolder folder_;
  std::optional<Golden> golden_;
  std::optional<Pictures> pictures_;
  std::optional<Captioner> captioner_;
};

TEST_P(Generation, SearchesEqualTransformers) {
  EXPECT_GT(part().at("searches").size(), 80U);
  for (const Json& row : part().at("searches")) {
    SCOPED_TRACE(row.dump());
    const GenerateOptions options = to_options(row.at("options"), part().at("max_new_tokens"));
    const Caption found = captioner_->caption_pixels(pictures_->at(row), options);
    EXPECT_EQ(found.ids, row.at("ids").get<Ids>());
    if (options.num_beams.value_or(1) > 1) {
      EXPECT_NEAR(found.score, row.at("score").get<double>(), 1e-3);
    }
  }
}

TEST_P(Generation, SamplesEqualNumpysDraws) {
  EXPECT_FALSE(part().at("samples").empty());
  for (const Json& row : part().at("samples")) {
    SCOPED_TRACE(row.dump());
    GenerateOptions options = to_options(row.at("options"), part().at("max_new_tokens"));
    options.seed = row.at("seed");
    EXPECT_EQ(captioner_->caption_pixels(pictures_->at(row), options).ids,
              row.at("ids").get<Ids>());
  }
}

TEST_P(Generation, ABatchGivesWhatSingleImagesGive) {
  for (const char* text : {R"({})",
                           R"({"num_beams": 3})",
                           R"({"num_beams": 5, "early_stopping": true, "length_penalty": 0.0})",
                           R"({"num_beams": 1, "repetition_penalty": 1.4})",
                           R"({"temperature": 1.3, "top_k": 9, "top_p": 0.95})"}) {
    SCOPED_TRACE(text);
    const GenerateOptions options = to_options(Json::parse(text), part().at("max_new_tokens"));
    std::vector<std::vector<float>> images = pictures_->all();
    images.push_back(images[0]);
    const std::vector<Caption> together = captioner_->caption_batch(images, options);
    ASSERT_EQ(together.size(), images.size());
    for (size_t i = 0; i < images.size(); ++i) {
      const Caption alone = captioner_->caption_pixels(images[i], options);
      EXPECT_EQ(together[i].ids, alone.ids) << "image " << i;
      EXPECT_EQ(together[i].text, alone.text) << "image " << i;
    }
  }
}

std::string generation_name(const ::testing::TestParamInfo<std::tuple<size_t, OpDialect>>& row) {
  const Json& part = searches().at("checkpoints").at(std::get<0>(row.param));
  return part.at("checkpoint").get<std::string>() +
         (std::get<1>(row.param) == OpDialect::kOrt ? "_ort" : "_standard");
}

INSTANTIATE_TEST_SUITE_P(
    All,
    Generation,
    ::testing::Combine(::testing::Range<size_t>(0, searches().at("checkpoints").size()),
                       ::testing::Values(OpDialect::kOrt, OpDialect::kStandard)),
    generation_name);

// The graphs once more with float16 inputs and outputs (pixel_values apart), as dtype "half".
void add_half_graphs(const fs::path& folder) {
  Json manifest = test::version_1(read_json(folder / kManifestName));
  for (const auto& [role, file] : manifest.at("graphs").at("fp32").items()) {
    const std::string half = "onnx/half_" + role + ".onnx";
    fs::copy_file(folder / file.get<std::string>(), folder / half);
    test::edit_onnx(folder / half,
                    [](onnx::GraphProto& graph) { test::make_half_ports(graph, "pixel_values"); });
    manifest["graphs"]["half"][role] = half;
    manifest["files"].push_back({{"path", half},
                                 {"bytes", fs::file_size(folder / half)},
                                 {"sha256", {std::string(64, '0')}}});
  }
  fs::remove(folder / kManifestName);
  write_text(folder / kManifestName, manifest.dump(2));
}

// Random weights leave margins that rounding to float16 does not move, in these.
TEST(GenerationHalf, GraphsOfFloat16GiveTheSameTokens) {
  const Golden golden("base");
  const Pictures pictures(golden);
  const Json& row = golden.cases().at(0);
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    const TempFolder folder;
    add_half_graphs(press_golden(golden, row, folder / "out", ops));
    for (const char* dtype :
         {"half", "encoder=half", "decoder=half", "encoder=fp32,decoder=half"}) {
      SCOPED_TRACE(dtype);
      const Captioner captioner(folder / "out", CaptionerOptions{dtype, 1});
      GenerateOptions options;
      options.max_new_tokens = golden.json.at("max_new_tokens");
      for (const Json& wanted : row.at("captions")) {
        EXPECT_EQ(captioner.caption_pixels(pictures.at(wanted), options).ids,
                  wanted.at("ids").get<Ids>());
      }
      const Json& beams = row.at("beams").at(0);
      for (const Json& wanted : beams.at("results")) {
        const Caption found =
            captioner.caption_pixels(pictures.at(wanted), to_options(beams.at("options"), 0));
        EXPECT_EQ(found.ids, wanted.at("ids").at(0).get<Ids>());
      }
    }
  }
}

// The beams and variants in the goldens of the checkpoints themselves, with their own end tokens.
TEST(GenerationGoldens, BeamsAndVariantsEqualTransformers) {
  size_t beams = 0;
  for (const std::string& name : test::golden_names()) {
    const Golden golden(name);
    const Pictures pictures(golden);
    const Json& end = golden.json.at("eos_token_id");
    const Ids ends = end.is_array() ? end.get<Ids>() : Ids{end.get<int64_t>()};
    for (const Json& row : golden.cases()) {
      if (row.at("beams").empty() && row.at("variants").empty()) {
        continue;
      }
      SCOPED_TRACE(name);
      const TempFolder folder;
      const Captioner captioner(press_golden(golden, row, folder / "out", OpDialect::kOrt));
      for (const Json& part : row.at("beams")) {
        const GenerateOptions options = to_options(part.at("options"), 0);
        for (const Json& wanted : part.at("results")) {
          const Caption found = captioner.caption_pixels(pictures.at(wanted), options);
          EXPECT_EQ(found.ids, without_padding(wanted.at("ids").at(0).get<Ids>(), ends))
              << wanted.dump();
          EXPECT_NEAR(found.score, wanted.at("scores").at(0).get<double>(), 1e-3);
          ++beams;
        }
      }
      for (const Json& part : row.at("variants")) {
        EXPECT_EQ(
            captioner.caption_pixels(pictures.at(part), to_options(part.at("options"), 0)).ids,
            part.at("ids").get<Ids>());
      }
    }
  }
  EXPECT_GT(beams, 8U);
}

}  // namespace
}  // namespace lorapress
