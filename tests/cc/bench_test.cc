// bench_dtype() on golden checkpoints: what it counts, and how runs become figures.
#include "lorapress/bench.h"

#include <gtest/gtest.h>

#include "lorapress/press.h"

#include "golden_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;

void press_golden(const fs::path& out, bool external_data = false) {
  const Golden golden("base");
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  options.external_data = external_data;
  export_bundle(options);
}

BenchOptions options_of(const fs::path& folder) {
  BenchOptions options;
  options.folder = folder;
  options.threads = 1;
  return options;
}

TEST(Bench, MeasuresTheTokensAskedFor) {
  const TempFolder folder;
  press_golden(folder / "out");
  BenchOptions options = options_of(folder / "out");
  options.new_tokens = 40;  // past any end of text
  options.captions = 2;
  std::vector<uint64_t> steps;
  options.progress = [&](const Progress& progress) {
    EXPECT_EQ(progress.total, 3U);
    steps.push_back(progress.done);
  };
  const BenchReport report = bench_dtype(options);
  EXPECT_EQ(steps, (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(report.dtype, "fp32");
  EXPECT_EQ(report.image_tokens, 16);
  EXPECT_EQ(report.new_tokens, 40);
  EXPECT_GT(report.load_ms, 0.0);
  EXPECT_EQ(report.engine, "LoraPress");
  EXPECT_FALSE(report.ort_version.empty());
  EXPECT_GT(report.peak_memory_bytes, uint64_t{1} << 20);
  ASSERT_EQ(report.captions.size(), 2U);
  for (const BenchCaption& caption : report.captions) {
    EXPECT_GT(caption.encode_ms, 0.0);
    EXPECT_GT(caption.prefill_ms, 0.0);
    EXPECT_GT(caption.decode_ms, 0.0);
    EXPECT_GE(caption.whole_ms, caption.encode_ms + caption.prefill_ms + caption.decode_ms);
  }
}

TEST(Bench, TakesAnImage) {
  const TempFolder folder;
  press_golden(folder / "out");
  BenchOptions options = options_of(folder / "out");
  options.image = test::checkpoints_folder() / "base/golden/image0.png";
  EXPECT_EQ(bench_dtype(options).captions.size(), 3U);
  options.image = folder / "none.png";
  message_of(ErrorCode::kNotFound, [&] { bench_dtype(options); });
}

TEST(Bench, MeasuresADecoderAloneOverAPrompt) {
  const TempFolder folder;
  PressOptions pressing;
  pressing.source.checkpoint = test::source_path("tests/goldens/text/llama/base");
  pressing.out = folder / "out";
  export_bundle(pressing);
  BenchOptions options = options_of(folder / "out");
  BenchReport report = bench_dtype(options);
  EXPECT_EQ(report.image_tokens, 0);
  EXPECT_EQ(report.new_tokens, 12);     // the folder's
  EXPECT_EQ(report.prompt_tokens, 84);  // 96 positions without them
  ASSERT_EQ(report.captions.size(), 3U);
  for (const BenchCaption& text : report.captions) {
    EXPECT_EQ(text.encode_ms, 0.0);
    EXPECT_GT(text.prefill_ms, 0.0);
    EXPECT_GE(text.whole_ms, text.prefill_ms + text.decode_ms);
  }
  options.prompt = "two";
  options.new_tokens = 5;
  report = bench_dtype(options);
  EXPECT_EQ(report.prompt_tokens, 4);
  EXPECT_EQ(report.new_tokens, 5);
  options.image = test::checkpoints_folder() / "base/golden/image0.png";
  const std::string text = message_of(ErrorCode::kInvalidArgument, [&] { bench_dtype(options); });
  EXPECT_TRUE(test::contains(text, "takes no images")) << text;
}

TEST(Bench, CountsGraphsAndTheirData) {
  const TempFolder folder;
  press_golden(folder / "inside");
  press_golden(folder / "beside", true);
  for (const std::string name : {"inside", "beside"}) {
    uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder.path() / name / "onnx")) {
      bytes += entry.file_size();
    }
    const std::vector<FolderDtype> dtypes = folder_dtypes(folder / name);
    ASSERT_EQ(dtypes.size(), 1U);
    EXPECT_EQ(dtypes[0].name, "fp32");
    EXPECT_EQ(dtypes[0].bytes, bytes) << name;
    EXPECT_TRUE(dtypes[0].is_default);
    EXPECT_EQ(bench_dtype(options_of(folder / name)).bytes, bytes) << name;
  }
}

TEST(Bench, RefusesWhatCannotBeMeasured) {
  const TempFolder folder;
  press_golden(folder / "out");
  const auto bench_with = [&](const auto& change) {
    return [&, change] {
      BenchOptions options = options_of(folder / "out");
      change(options);
      bench_dtype(options);
    };
  };
  using Options = BenchOptions;
  message_of(ErrorCode::kNotFound, bench_with([](Options& o) { o.folder = "/none"; }));
  message_of(ErrorCode::kNotFound, bench_with([](Options& o) { o.dtype = "q3"; }));
  for (const int64_t tokens : {int64_t{-1}, int64_t{1}, int64_t{500}, INT64_MAX}) {
    message_of(ErrorCode::kInvalidArgument,
               bench_with([tokens](Options& o) { o.new_tokens = tokens; }));
  }
  message_of(ErrorCode::kInvalidArgument, bench_with([](Options& o) { o.captions = 0; }));
}

TEST(Bench, SpreadIsLeastAndMedian) {
  EXPECT_EQ(spread({}).median, 0.0);
  EXPECT_EQ(spread({7.0}).least, 7.0);
  EXPECT_EQ(spread({7.0}).median, 7.0);
  EXPECT_EQ(spread({9.0, 1.0, 4.0}).median, 4.0);
  EXPECT_EQ(spread({9.0, 1.0, 4.0, 2.0}).least, 1.0);
  EXPECT_EQ(spread({9.0, 1.0, 4.0, 2.0}).median, 3.0);
}

TEST(Bench, SummaryTakesAllProcesses) {
  std::vector<BenchReport> reports(2);
  for (BenchReport& report : reports) {
    report.dtype = "q4";
    report.bytes = 5;
    report.new_tokens = 11;
  }
  reports[0].load_ms = 30.0;
  reports[0].peak_memory_bytes = 70;
  reports[0].captions = {{1.0, 10.0, 100.0, 120.0}, {2.0, 20.0, 200.0, 230.0}};
  reports[1].load_ms = 20.0;
  reports[1].peak_memory_bytes = 60;
  reports[1].captions = {{5.0, 4.0, 300.0, 310.0}};
  const BenchSummary summary = summarize(reports);
  EXPECT_EQ(summary.dtype, "q4");
  EXPECT_EQ(summary.bytes, 5U);
  EXPECT_EQ(summary.peak_memory_bytes, 70U);
  EXPECT_EQ(summary.load_ms.least, 20.0);
  EXPECT_EQ(summary.load_ms.median, 25.0);
  EXPECT_EQ(summary.encode_ms.median, 2.0);
  EXPECT_EQ(summary.prefill_ms.median, 10.0);
  EXPECT_EQ(summary.first_token_ms.least, 9.0);
  EXPECT_EQ(summary.first_token_ms.median, 11.0);
  EXPECT_EQ(summary.token_ms.least, 10.0);
  EXPECT_EQ(summary.token_ms.median, 20.0);
  EXPECT_EQ(summary.caption_ms.median, 230.0);
}

}  // namespace
}  // namespace lorapress
