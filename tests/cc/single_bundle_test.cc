// Bundle "single" run by ONNX Runtime, against transformers' generate(): greedy and beam search,
// one image and batches whose rows end at different lengths.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "single_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Ids;
using test::Single;
using test::TempFolder;
namespace fs = std::filesystem;

PressOptions options_of(const fs::path& out, OpDialect ops = OpDialect::kOrt, int opset = 17) {
  PressOptions options;
  options.out = out;
  options.bundle = "single";
  options.ops = ops;
  options.opset = opset;
  return options;
}

struct Param {
  std::string name;
  OpDialect ops = OpDialect::kOrt;
  int opset = 17;
  bool external_data = false;
};

std::string param_name(const ::testing::TestParamInfo<Param>& row) {
  const Param& param = row.param;
  return param.name + (param.ops == OpDialect::kOrt ? "_ort" : "_standard") +
         (param.opset == 17 ? "" : std::to_string(param.opset)) +
         (param.external_data ? "_external" : "");
}

std::vector<Param> params() {
  std::vector<Param> all;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    for (const std::string& name : test::golden_names()) {
      all.push_back({name, ops});
    }
    all.push_back({"base", ops, 18});
    all.push_back({"base", ops, 23});
    all.push_back({"base", ops, 17, true});
  }
  return all;
}

class SingleGreedy : public ::testing::TestWithParam<Param> {};

TEST_P(SingleGreedy, EqualsTransformers) {
  const Golden golden(GetParam().name);
  const int64_t most = golden.json.at("max_new_tokens");
  for (const Json& row : golden.cases()) {
    SCOPED_TRACE(row.at("name"));
    const TempFolder folder;
    PressOptions options = options_of(folder / "out", GetParam().ops, GetParam().opset);
    options.source = golden.source(row);
    options.external_data = GetParam().external_data;
    const PressReport report = press(options);
    ASSERT_TRUE(report.caption);
    EXPECT_FALSE(report.caption->ids.empty());
    EXPECT_EQ(fs::exists(folder / "out/onnx/model.onnx_data"), GetParam().external_data);
    const Single single(folder / "out");
    for (const Json& caption : row.at("captions")) {
      const std::vector<Ids> got =
          single.caption({golden.row("pixel_values", caption.at("image"))}, most);
      EXPECT_EQ(got, (std::vector<Ids>{caption.at("ids").get<Ids>()})) << caption.at("image");
    }
    const std::vector<std::vector<float>> both{golden.row("pixel_values", 0),
                                               golden.row("pixel_values", 1)};
    const auto batch = row.at("batch").at("ids").get<std::vector<Ids>>();
    EXPECT_EQ(single.caption(both, most), batch);
    EXPECT_EQ(single.caption_natively(both, most), batch);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SingleGreedy, ::testing::ValuesIn(params()), param_name);

// One checkpoint of tests/goldens/bundles in one dialect; `end` is an index of its searches.
void expect_searches(const Json& checkpoint, const Json& searches, OpDialect ops) {
  const Golden golden(checkpoint.at("checkpoint"));
  const TempFolder folder;
  const fs::path source =
      test::with_end_tokens(golden, searches.at("eos_token_id"), folder / "checkpoint");
  std::vector<std::vector<float>> images;
  for (size_t image = 0; image < golden.json.at("images").size(); ++image) {
    images.push_back(golden.row("pixel_values", image));
  }
  const int64_t most = checkpoint.at("max_new_tokens");
  for (const Json& result : searches.at("results")) {
    const int64_t beams = result.at("num_beams");
    SCOPED_TRACE(fmt::format("{} beams, end tokens {}", beams, searches.at("eos_token_id").dump()));
    PressOptions options = options_of(folder / fmt::format("out{}", beams), ops);
    options.source.checkpoint = source;
    options.num_beams = beams;
    export_bundle(options);
    const Single single(options.out);
    EXPECT_EQ(single.caption(images, most), result.at("batch").get<std::vector<Ids>>());
    EXPECT_EQ(single.caption_natively(images, most), result.at("batch").get<std::vector<Ids>>());
    for (size_t image = 0; image < images.size(); ++image) {
      EXPECT_EQ(single.caption({images[image]}, most),
                (std::vector<Ids>{result.at("alone").at(image).get<Ids>()}))
          << "image " << image;
    }
  }
}

TEST(SingleSearch, EqualsTransformersInBatches) {
  const Json goldens = read_json(test::source_path("tests/goldens/bundles/bundles.json"));
  size_t searched = 0;
  for (const Json& checkpoint : goldens.at("checkpoints")) {
    SCOPED_TRACE(checkpoint.at("checkpoint"));
    for (const Json& searches : checkpoint.at("searches")) {
      expect_searches(checkpoint, searches, OpDialect::kOrt);
      ++searched;
      if (checkpoint.at("checkpoint") == "base") {
        expect_searches(checkpoint, searches, OpDialect::kStandard);
      }
    }
  }
  EXPECT_GE(searched, 10U);
}

TEST(SingleLimits, ZeroMeansTheFoldersSettingAndPositionsAreTheEnd) {
  const Golden golden("base");
  const TempFolder folder;
  PressOptions options = options_of(folder / "out");
  options.source = golden.source(golden.cases().at(0));
  options.max_new_tokens = 9;
  export_bundle(options);
  const Single single(folder / "out");
  const Ids wanted = golden.cases().at(0).at("captions").at(1).at("ids");  // has no end token
  const auto length = [&](int64_t given) {
    return single.caption({golden.row("pixel_values", 1)}, given).at(0).size();
  };
  EXPECT_EQ(single.caption({golden.row("pixel_values", 1)}, 9).at(0),
            Ids(wanted.begin(), wanted.begin() + 9));
  EXPECT_EQ(length(1), 1U);
  for (const int64_t unset : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
    EXPECT_EQ(length(unset), 9U) << unset;
  }
  const int64_t room = single.manifest().max_position_embeddings - single.manifest().image_tokens;
  EXPECT_LE(length(std::numeric_limits<int64_t>::max()), static_cast<size_t>(room));
}

uint64_t graph_bytes(const PressReport& report) {
  uint64_t bytes = 0;
  for (const OutputFileInfo& file : report.files) {
    bytes += file.path.ends_with(".onnx") ? file.bytes : 0;
  }
  return bytes;
}

TEST(SingleSize, IsNoLargerThanTheTwoGraphs) {
  for (const std::string name :
       {"models/demo", "tests/goldens/checkpoints/base", "tests/goldens/checkpoints/odd"}) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      const TempFolder folder;
      PressOptions options = options_of(folder / "single", ops);
      options.source.checkpoint = test::source_path(name);
      const auto one = static_cast<double>(graph_bytes(export_bundle(options)));
      options.bundle = "transformers.js";
      options.out = folder / "two";
      const auto two = static_cast<double>(graph_bytes(export_bundle(options)));
      EXPECT_LE(one, 1.01 * two) << name;
    }
  }
}

TEST(SingleOptions, AreRefusedWhereTheyMeanNothing) {
  const Golden golden("base");
  const TempFolder folder;
  const auto refused = [&](ErrorCode code, const auto& change) {
    PressOptions options = options_of(folder / "out");
    options.source = golden.source(golden.cases().at(0));
    change(options);
    const std::string text = test::message_of(code, [&] { export_bundle(options); });
    EXPECT_TRUE(folder.names().empty());
    return text;
  };
  for (const int64_t beams : {int64_t{-1}, int64_t{0}, int64_t{65}, int64_t{1} << 62}) {
    const std::string text = refused(ErrorCode::kInvalidArgument,
                                     [&](PressOptions& options) { options.num_beams = beams; });
    EXPECT_TRUE(test::contains(text, std::to_string(beams))) << text;
  }
  const std::string both = refused(ErrorCode::kInvalidArgument, [](PressOptions& options) {
    options.num_beams = 2;
    options.step = true;
  });
  EXPECT_TRUE(test::contains(both, "options.step")) << both;
  const std::string other = refused(ErrorCode::kInvalidArgument, [](PressOptions& options) {
    options.bundle = "transformers.js";
    options.uint8_input = true;
  });
  EXPECT_TRUE(test::contains(other, "transformers.js")) << other;
}

}  // namespace
}  // namespace lorapress
