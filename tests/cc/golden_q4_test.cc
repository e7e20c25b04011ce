// Every golden checkpoint in 4 bits: it is one table, it loads, it runs, and it says about what
// float32 says. Better rounding is better on what counts: the next-token distribution.
#include <gtest/gtest.h>

#include "dtype_util.h"
#include "golden_util.h"
#include "passes/weight_error.h"

namespace lorapress {
namespace {

using test::Authored;
using test::Golden;
using test::Quality;
using test::Reference;

Reference golden_reference(const Golden& golden, const Authored& authored, size_t most) {
  std::vector<std::vector<float>> images;
  for (size_t i = 0; i < golden.json.at("images").size(); ++i) {
    images.push_back(golden.row("pixel_values", i));
  }
  return test::make_reference(authored, std::move(images), most);
}

// The goldens have random weights with a gain, which amplify every error: the bound on KL is what a
// broken unpacking or a swapped nibble passes by far (it gives 1 and more).
TEST(GoldenQ4, RunsInBothDialects) {
  for (const std::string& name : test::golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      const Authored authored(golden.source(golden.cases().at(0)), ops);
      const Reference reference = golden_reference(golden, authored, 12);
      for (const std::string dtype : {"q4", "q4f16", "bnb4"}) {
        SchemeOptions options;
        options.block_size = 16;
        options.rounding = Rounding::kSearch;
        options.symmetric = name != "base";
        const Quality quality = test::measure(authored, reference, dtype, options);
        EXPECT_LT(quality.kl, 0.6) << dtype;
        RecordProperty(name + dtype, std::to_string(quality.kl));
      }
    }
  }
}

TEST(GoldenQ4, StoresTiedTablesOnce) {
  const Golden golden("base");
  const Authored authored(golden.source(golden.cases().at(0)), OpDialect::kOrt);
  for (const std::string dtype : {"q4", "q4f16"}) {
    Model decoder = authored.decoder;
    scheme(dtype).apply(decoder, {SchemeOptions{}});
    size_t tables = 0;
    for (const auto& tensor : decoder.proto.graph().initializer()) {
      if (test::contains(tensor.name(), "embed_tokens") &&
          tensor.data_type() == onnx::TensorProto::UINT8) {
        ++tables;
      }
      EXPECT_FALSE(
          test::contains(tensor.name(), "embed_tokens") &&
          decoder.weights.at(tensor.name())->bytes() >
              authored.decoder.weights.at("language_model.model.embed_tokens.weight")->bytes() / 4)
          << tensor.name();
    }
    EXPECT_EQ(tables, 1U);
  }
}

// How KL of the next-token distribution changes at the same bytes: ratios to nearest rounding,
// geometric means over block sizes and both kinds of blocks. One file alone would be a throw of
// dice: KL of a small model moves by half when other integers are drawn with the same error.
struct Ratios {
  double searched;
  double calibrated;
  size_t matched = 0;  // of the searched ones
  size_t positions = 0;
};

Ratios compare(const Authored& authored, const Reference& reference) {
  Ratios sum{0.0, 0.0};
  double count = 0.0;
  for (const int64_t block_size : {16, 32, 64, 128}) {
    for (const bool symmetric : {true, false}) {
      SchemeOptions options;
      options.block_size = block_size;
      options.symmetric = symmetric;
      const Quality nearest = test::measure(authored, reference, "q4", options);
      options.rounding = Rounding::kSearch;
      const Quality searched = test::measure(authored, reference, "q4", options);
      const Quality calibrated = test::measure(authored, reference, "q4", options, true);
      EXPECT_EQ(nearest.bytes, searched.bytes);
      EXPECT_EQ(nearest.bytes, calibrated.bytes);
      sum.searched += std::log(searched.kl / nearest.kl);
      sum.calibrated += std::log(calibrated.kl / nearest.kl);
      sum.matched += searched.matched;
      sum.positions += searched.positions;
      ++count;
    }
  }
  sum.searched = std::exp(sum.searched / count);
  sum.calibrated = std::exp(sum.calibrated / count);
  return sum;
}

TEST(GoldenQ4, BetterRoundingIsCloserToFloat32OnTheDemo) {
  const test::fs::path demo = test::source_path("models/demo");
  Source source;
  source.checkpoint = demo;
  const Authored authored(source, OpDialect::kOrt);
  std::vector<std::vector<float>> images;
  for (int i = 0; i < 8; ++i) {
    images.push_back(
        authored.pixels(demo / "images" / ("scene-1000000" + std::to_string(i) + ".png")));
  }
  const Ratios ratios = compare(authored, test::make_reference(authored, std::move(images), 30));
  EXPECT_LT(ratios.searched, 1.0);
  EXPECT_LT(ratios.calibrated, ratios.searched);
  EXPECT_GE(ratios.matched * 1000, ratios.positions * 995);  // 99.5 %
}

TEST(GoldenQ4, BetterRoundingIsCloserToFloat32OnGoldens) {
  for (const std::string name : {"base", "odd", "ropescale"}) {
    const Golden golden(name);
    const Authored authored(golden.source(golden.cases().at(0)), OpDialect::kOrt);
    const Ratios ratios = compare(authored, golden_reference(golden, authored, 30));
    EXPECT_LT(ratios.searched, 1.0) << name;
    EXPECT_LT(ratios.calibrated, ratios.searched) << name;
  }
}

}  // namespace
}  // namespace lorapress
