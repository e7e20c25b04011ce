// verify on checkpoints that amplify rounding: right files pass, and whatever is some times larger
// than rounding is caught.
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "planted_faults.h"
#include "runtime/preprocess.h"
#include "verify/reference.h"
#include "verify/rounding_errors.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_tensors;
using test::contains;
using test::copy_of;
using test::Golden;
using test::Planted;
using test::planted_faults;
using test::read_doubles;
using test::scale_projections;
using test::TempFolder;
namespace fs = std::filesystem;

// Factors on the goldens' projections, which are 8 to 14 times as large as fresh ones already: 1 to
// 30 times and beyond.
constexpr std::array kFactors = {0.1F, 1.0F, 3.0F};

Source source_at(const fs::path& checkpoint) {
  Source source;
  source.checkpoint = checkpoint;
  return source;
}

// Exports one checkpoint in these dtypes and verifies the folder against another.
VerifyReport verify_pressed(const Source& pressed,
                            const Source& wanted,
                            std::vector<std::string> dtypes,
                            const fs::path& out,
                            const std::string& engine = "native") {
  PressOptions press;
  press.source = pressed;
  press.out = out;
  press.dtypes = std::move(dtypes);
  press.force = true;
  export_bundle(press);
  VerifyOptions options = test::options_of(wanted, out);
  options.engine = engine;
  return verify(options);
}

double relative_error(const Rows& got, const std::vector<double>& wanted) {
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += std::pow(static_cast<double>(got.values[i]) - wanted[i], 2);
    size += wanted[i] * wanted[i];
  }
  return std::sqrt(difference / size);
}

TEST(ReferenceInFloat64, EqualsPyTorchInFloat64) {
  const fs::path goldens = test::source_path("tests/goldens/float64");
  const Json index = read_json(goldens / "float64.json");
  for (const Json& row : index.at("cases")) {
    const std::string name = row.at("checkpoint");
    const auto factor = row.at("factor").get<float>();
    SCOPED_TRACE(fmt::format("{}, {}", name, factor));
    const TempFolder folder;
    const fs::path changed = copy_of(name, folder);
    scale_projections(changed, factor);
    const TensorMap wanted = open_safetensors(goldens / row.at("file").get<std::string>());
    const std::vector<double> prefix = read_doubles(*wanted.at("prefix"));
    const std::vector<double> logits = read_doubles(*wanted.at("logits"));
    const Checkpoint checkpoint = open_checkpoint(source_at(changed));
    const ReferenceModel model(checkpoint);
    const Golden golden(name.substr(0, name.find('/')));
    const std::vector<std::vector<float>> pixels{golden.row("pixel_values", 0)};
    const std::vector<std::vector<int64_t>> ids{index.at("ids").get<std::vector<int64_t>>()};
    const ForcedPass exact = model.forced(pixels, ids, Arithmetic::kFloat64);
    EXPECT_LT(relative_error(exact.prefixes.at(0), prefix), 5e-8);  // one rounding at the end
    EXPECT_LT(relative_error(exact.logits.at(0), logits), 5e-8);
    const std::vector<Rows> single = model.encode(pixels);
    EXPECT_GT(relative_error(single.at(0), prefix), 1e-7);  // what it is there to measure
    EXPECT_GT(relative_error(model.logits(single, ids).at(0), logits), 1e-7);
    const ForcedPass half = model.forced(pixels, ids, Arithmetic::kFloat16);
    EXPECT_GT(relative_error(half.prefixes.at(0), prefix), 1e-4);
    if (factor == 1.0F) {
      EXPECT_LT(relative_error(half.prefixes.at(0), prefix), 1e-2);
      EXPECT_LT(relative_error(half.logits.at(0), logits), 1e-1);
    }
  }
}

class VerifyAmplified : public ::testing::TestWithParam<std::string> {};

TEST_P(VerifyAmplified, PassesRightFilesOfEveryDtype) {
  for (const float factor : kFactors) {
    SCOPED_TRACE(factor);
    const TempFolder folder;
    const fs::path changed = copy_of(GetParam(), folder);
    scale_projections(changed, factor);
    const Source source = source_at(changed);
    const VerifyReport report = verify_pressed(
        source, source, {"fp32", "fp16", "q8", "q4", "q4f16", "bnb4"}, folder / "model");
    EXPECT_TRUE(report.passed) << all_faults(report);
    for (const DtypeParity& dtype : report.dtypes) {
      const bool judged = dtype.dtype == "fp32" || dtype.dtype == "fp16";
      EXPECT_EQ(dtype.logit_rounding > 0.0, judged) << dtype.dtype;
      if (judged) {
        EXPECT_LT(dtype.logit_excess, 2.0) << dtype.dtype;  // well below the limits
        EXPECT_LT(dtype.prefix_excess, 2.0) << dtype.dtype;
        EXPECT_EQ(dtype.forced.matched + dtype.near_ties, dtype.forced.tokens) << dtype.dtype;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyAmplified,
                         ::testing::Values("base", "odd", "dora", "ropelinear", "visionlora"),
                         [](const auto& row) { return row.param; });

class VerifyCatchesAmplified : public ::testing::TestWithParam<Planted> {};

TEST_P(VerifyCatchesAmplified, APlantedFault) {
  for (const float factor : kFactors) {
    SCOPED_TRACE(factor);
    const TempFolder folder;
    const TempFolder right;
    const fs::path wrong = copy_of(GetParam().golden, folder);
    const fs::path wanted = copy_of(GetParam().golden, right);
    scale_projections(wrong, factor);
    scale_projections(wanted, factor);
    GetParam().plant(wrong);
    for (const std::string dtype : {"fp32", "fp16"}) {
      const VerifyReport report =
          verify_pressed(source_at(wrong), source_at(wanted), {dtype}, folder / "model");
      // float16 rounds by more than some of these faults change
      EXPECT_TRUE(!report.passed || dtype == "fp16")
          << dtype << ": image tokens " << report.dtypes[0].prefix_excess << " times "
          << report.dtypes[0].prefix_rounding << ", logits " << report.dtypes[0].logit_excess
          << " times " << report.dtypes[0].logit_rounding;
      EXPECT_TRUE(verify(test::options_of(source_at(wrong), folder / "model")).passed) << dtype;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyCatchesAmplified,
                         ::testing::ValuesIn(planted_faults()),
                         [](const auto& row) { return row.param.name; });

// The smallest faults: a norm's weight or a projection scaled by 1 + x changes logits or image
// tokens by x of their size. Four times what rounding costs is caught at any gain.
TEST(VerifyAmplified, CatchesFourTimesRounding) {
  struct Place {
    const char* tensor;
    double DtypeParity::* rounding;
    const char* says;
  };
  for (const Place& place :
       {Place{"model.norm.weight", &DtypeParity::logit_rounding, "logits are off"},
        Place{"projection.projection.weight", &DtypeParity::prefix_rounding, "of the encoder"}}) {
    for (const float factor : kFactors) {
      SCOPED_TRACE(fmt::format("{}, {}", place.tensor, factor));
      const TempFolder right;
      const fs::path wanted = copy_of("base", right);
      scale_projections(wanted, factor);
      const VerifyReport good =
          verify_pressed(source_at(wanted), source_at(wanted), {"fp32"}, right / "model");
      ASSERT_TRUE(good.passed) << all_faults(good);
      const double rounding = good.dtypes[0].*place.rounding;
      const auto scale = static_cast<float>(1.0 + 4.0 * rounding);
      const TempFolder folder;
      fs::copy(wanted, folder / "copy", fs::copy_options::recursive);
      change_tensors(folder / "copy", [&](const std::string& name, std::vector<float>& values) {
        std::ranges::transform(values, values.begin(), [&](float value) { return value * scale; });
        return contains(name, place.tensor);
      });
      const VerifyReport report =
          verify_pressed(source_at(folder / "copy"), source_at(wanted), {"fp32"}, folder / "model");
      EXPECT_FALSE(report.passed);
      EXPECT_TRUE(contains(all_faults(report), place.says)) << all_faults(report);
    }
  }
}

// Rounding is measured for the first 16 images; what comes after is compared as before.
TEST(VerifyAmplified, MeasuresRoundingOfTheFirstImagesAlone) {
  const TempFolder folder;
  const fs::path changed = copy_of("base", folder);
  scale_projections(changed, 3.0F);
  const Source source = source_at(changed);
  fs::create_directory(folder / "images");
  const Golden golden("base");
  for (size_t i = 0; i < 20; ++i) {
    fs::copy_file(golden.image(i % 3), folder / fmt::format("images/{:02}.png", i));
  }
  PressOptions press;
  press.source = source;
  press.out = folder / "model";
  press.dtypes = {"fp32", "fp16"};
  export_bundle(press);
  VerifyOptions options = test::options_of(source, folder / "model");
  options.images = folder / "images";
  const VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  for (const DtypeParity& dtype : report.dtypes) {
    EXPECT_EQ(dtype.forced.matched + dtype.near_ties, dtype.forced.tokens);
    for (size_t i = 0; i < 20; ++i) {  // the same picture, measured or not
      EXPECT_NEAR(dtype.images[i].forced.relative_error,
                  dtype.images[i % 3].forced.relative_error,
                  2.0 * report.dtypes[0].logit_rounding);
    }
  }
}

// Tokens that fall the other way inside what rounding turns are no fault, unless the user asks for
// all of them.
TEST(VerifyAmplified, CountsNearTiesWhereAsked) {
  const TempFolder folder;
  const fs::path changed = copy_of("base", folder);
  scale_projections(changed, 3.0F);
  const Source source = source_at(changed);
  // In ONNX Runtime: the own engine computes float16 files in float32.
  const VerifyReport report = verify_pressed(source, source, {"fp16"}, folder / "model", "ort");
  const DtypeParity& half = report.dtypes[0];
  ASSERT_GT(half.near_ties, 0);
  EXPECT_TRUE(report.passed) << all_faults(report);
  EXPECT_TRUE(contains(fmt::format("{}", fmt::join(report.notes, " ")),
                       fmt::format("fp16: {} of {} tokens are not the reference's where its lead",
                                   half.near_ties,
                                   half.forced.tokens)));
  EXPECT_GT(half.logit_rounding, 0.1);
  EXPECT_TRUE(contains(fmt::format("{}", fmt::join(report.notes, " ")),
                       "fp16: this checkpoint needs more digits"));
  VerifyOptions strict = test::options_of(source, folder / "model");
  strict.min_match = 1.0;
  strict.engine = "ort";
  EXPECT_TRUE(contains(all_faults(verify(strict)), "100.00 % are required"));
}

}  // namespace
}  // namespace lorapress
