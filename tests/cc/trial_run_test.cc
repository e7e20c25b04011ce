// The check at the end of press: graphs in pieces give what whole ones give, and the trial finds what is broken.
#include "api/trial_run.h"

#include <gtest/gtest.h>

#include "bundles/manifest.h"
#include "engine/pieces.h"
#include "golden_util.h"
#include "pressed.h"
#include "runtime/engines.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/native/native_session.h"
#include "verify/folder_model.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::source_of;
using test::TempFolder;
namespace fs = std::filesystem;

void write_dtypes(const std::string& golden,
                  const std::vector<std::string>& dtypes,
                  const fs::path& out) {
  PressOptions press;
  press.source = source_of(golden);
  press.out = out;
  press.dtypes = dtypes;
  export_bundle(press);
}

TEST(TrialRun, PiecesOfAGraphGiveWhatTheWholeGives) {
  const TempFolder temp;
  write_dtypes("base", {"fp32", "q8", "q4f16"}, temp / "model");
  const Manifest manifest = read_manifest(temp / "model");
  const std::vector<float> pixels = Golden("base").row("pixel_values", 0);
  for (const auto& [dtype, roles] : manifest.graphs) {
    const fs::path decoder = temp / "model" / roles.at("decoder");
    const uint64_t part = 1 + fs::file_size(decoder) / 6;
    const std::unique_ptr<engine::Sources> sources = folder_sources(decoder);
    EXPECT_GE(engine::Pieces(*sources, part).count(), 3U) << dtype;
    EXPECT_EQ(engine::Pieces(*sources, UINT64_MAX).count(), 1U) << dtype;
    const auto logits = [&](uint64_t most_weights) {
      const std::unique_ptr<FolderModel> model =
          open_folder_model(temp / "model", manifest, {dtype, "native", 1, most_weights});
      const GraphTensor image = model->encode(pixels);
      const std::vector<int64_t> start{manifest.decoder_start_token_id};
      DecoderStep first = model->step(start, image, model->empty_cache());
      const std::vector<int64_t> next{5};
      const DecoderStep second = model->step(next, image, first.cache);
      first.logits.insert(first.logits.end(), second.logits.begin(), second.logits.end());
      return first.logits;
    };
    const std::vector<float> whole = logits(0);
    const std::vector<float> pieces = logits(part);
    ASSERT_EQ(whole.size(), pieces.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      // In 8 bit a cut through a pattern rounds a whole tensor instead of each row.
      const double most = dtype == "q8" ? 2e-2 : 1e-4;
      ASSERT_NEAR(whole[i], pieces[i], most * (1.0 + std::fabs(whole[i]))) << dtype << " " << i;
    }
  }
}

TEST(TrialRun, TakesTheDefaultWhereItFitsElseTheSmallestElsePieces) {
  const TempFolder temp;
  const fs::path model = temp / "model";
  write_dtypes("base", {"fp32", "q8"}, model);
  const Manifest manifest = read_manifest(model);
  const TrialResult whole = trial_run(model);
  EXPECT_EQ(whole.dtype, "fp32");
  const TrialResult small = trial_run(model, {"", dtype_bytes(manifest, "q8")});
  EXPECT_EQ(small.dtype, "q8");
  const TrialResult pieces = trial_run(model, {"", 100'000});
  EXPECT_EQ(pieces.dtype, "q8");
  ASSERT_EQ(pieces.caption->ids.size(), 2U);
  ASSERT_GE(small.caption->ids.size(), 2U);
  EXPECT_TRUE(std::ranges::equal(pieces.caption->ids, std::span(small.caption->ids).first(2)));
  EXPECT_EQ(trial_run(model, {"ort", 1}).dtype, "q8");
}

// A file of another dtype than the one that runs, cut short.
TEST(TrialRun, ChecksAllDtypes) {
  const TempFolder temp;
  const fs::path model = temp / "model";
  write_dtypes("base", {"fp32", "q8"}, model);
  const fs::path file = model / read_manifest(model).graphs.at("q8").at("encoder");
  fs::resize_file(file, fs::file_size(file) - 1000);
  EXPECT_TRUE(test::contains(test::message_of(ErrorCode::kInvalidFile, [&] { trial_run(model); }),
                             file.string()));
}

}  // namespace
}  // namespace lorapress
