// verify on pressed goldens: what is right passes, and every planted fault of a checkpoint is
// caught.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "planted_faults.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::contains;
using test::copy_of;
using test::options_of;
using test::Planted;
using test::planted_faults;
using test::source_of;
using test::TempFolder;
using test::write_bundle;
TEST(Verify, PassesWhatPressWrote) {
  for (const std::string& name : test::golden_names()) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(name + (ops == OpDialect::kOrt ? ", ort" : ", standard"));
      const TempFolder folder;
      const Source source = source_of(name);
      write_bundle(source, folder / "model", ops);
      VerifyOptions options = options_of(source, folder / "model");
      options.layers = true;
      const VerifyReport report = verify(options);
      EXPECT_TRUE(report.passed) << all_faults(report);
      ASSERT_EQ(report.dtypes.size(), 1U);
      const DtypeParity& fp32 = report.dtypes[0];
      EXPECT_EQ(report.images.size(), 6U);
      EXPECT_EQ(fp32.captions_equal, 6);
      EXPECT_GT(fp32.forced.tokens, 6);
      EXPECT_EQ(fp32.forced.matched, fp32.forced.tokens);
      EXPECT_LT(fp32.forced.kl_max, 1e-9);
      EXPECT_GT(fp32.forced.largest_difference,
                0.0);  // two independent ways never agree to the bit
      EXPECT_GT(fp32.bytes, 10'000U);
      const Checkpoint checkpoint = open_checkpoint(source);
      // CLIP's features are taken before its last norm, where a layer's error is seen.
      const int64_t unseen = checkpoint.vision->model_type == "clip_vision_model" ? 1 : 0;
      EXPECT_EQ(std::ssize(fp32.layers),
                checkpoint.vision->num_hidden_layers - unseen + checkpoint.text->num_hidden_layers);
      for (const LayerError& layer : fp32.layers) {
        EXPECT_GT(layer.error, 0.0) << layer.layer;
        EXPECT_LT(layer.error, 1e-5) << layer.layer;
      }
    }
  }
}

class VerifyCatches : public ::testing::TestWithParam<Planted> {};

TEST_P(VerifyCatches, APlantedFault) {
  const TempFolder folder;
  const std::filesystem::path changed = copy_of(GetParam().golden, folder);
  GetParam().plant(changed);
  Source source;
  source.checkpoint = changed;
  write_bundle(source, folder / "model");
  const VerifyReport report = verify(options_of(source_of(GetParam().golden), folder / "model"));
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), GetParam().says)) << all_faults(report);
  // and the same folder is right for what it was made from
  EXPECT_TRUE(verify(options_of(source, folder / "model")).passed);
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyCatches,
                         ::testing::ValuesIn(planted_faults()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace lorapress
