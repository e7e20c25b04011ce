#include "lorapress/bench.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "lorapress/caption.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "bundles/manifest.h"
#include "runtime/engines.h"
#include "runtime/image/test_card.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// The text after `key` and a colon in the first such line of a file in /proc.
std::string system_value(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      const size_t from = line.find_first_not_of(" \t", colon + 1);
      return from == std::string::npos ? std::string() : line.substr(from);
    }
  }
  return {};
}

// VmHWM and not getrusage(), which counts the process that this one was forked from.
uint64_t peak_memory() {
  const std::string kilobytes = system_value("/proc/self/status", "VmHWM");
  uint64_t value = 0;
  std::from_chars(kilobytes.data(), kilobytes.data() + kilobytes.size(), value);
  return value * 1024;
}

// The number of new tokens that will run; throws for one that cannot be measured.
int64_t check_options(const BenchOptions& options, const Manifest& manifest) {
  constexpr int64_t kLeastTokens = 2;  // the first is prefill's
  const int64_t tokens = options.new_tokens != 0 ? options.new_tokens
                                                 : std::max(kLeastTokens, manifest.max_new_tokens);
  if (tokens < kLeastTokens) {
    fail(ErrorCode::kInvalidArgument,
         "{} new tokens, expected at least {}: the first comes with the prefill, the others give "
         "the time per token",
         tokens,
         kLeastTokens);
  }
  if (options.captions < 1) {
    fail(ErrorCode::kInvalidArgument, "{} captions to measure, expected 1", options.captions);
  }
  return tokens;
}

BenchCaption caption_once(const Captioner& captioner,
                          const fs::path& image,
                          std::span<const float> card,
                          const GenerateOptions& generate) {
  const Stopwatch watch;
  const Caption caption =
      image.empty() ? captioner.caption_pixels(card, generate) : captioner.caption(image, generate);
  const double whole_ms = watch.milliseconds();
  if (std::ssize(caption.ids) != *generate.max_new_tokens) {
    fail(ErrorCode::kRuntime,
         "{} tokens were generated where {} were asked for",
         caption.ids.size(),
         *generate.max_new_tokens);
  }
  return {caption.encode_ms, caption.prefill_ms, caption.decode_ms, whole_ms};
}

BenchReport run(const BenchOptions& options) {
  const Manifest manifest = read_manifest(options.folder);
  GenerateOptions generate;
  generate.max_new_tokens = check_options(options, manifest);
  generate.min_new_tokens = generate.max_new_tokens;
  generate.num_beams = 1;
  generate.do_sample = false;
  BenchReport report;
  report.dtype = options.dtype.empty() ? manifest.default_dtype : options.dtype;
  report.image_tokens = manifest.image_tokens;
  report.new_tokens = *generate.max_new_tokens;
  const Stopwatch watch;
  const Captioner captioner(options.folder, {report.dtype, options.threads});
  report.load_ms = watch.milliseconds();
  report.bytes = dtype_bytes(manifest, report.dtype);

  const std::vector<float> card = options.image.empty()
                                      ? test_card(captioner.height(), captioner.width())
                                      : std::vector<float>();
  for (int64_t i = 0; i <= options.captions; ++i) {
    const BenchCaption caption = caption_once(captioner, options.image, card, generate);
    if (i > 0) {
      report.captions.push_back(caption);
    }
    if (options.progress) {
      options.progress(
          {"bench", static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(options.captions) + 1});
    }
  }
  report.peak_memory_bytes = peak_memory();
  report.engine = default_engine().name;
  report.ort_version = default_engine().version();
  report.cpu = system_value("/proc/cpuinfo", "model name");
  return report;
}

}  // namespace

std::vector<FolderDtype> folder_dtypes(const fs::path& folder) {
  return with_file_errors([&] {
    const Manifest manifest = read_manifest(folder);
    std::vector<FolderDtype> dtypes;
    for (const auto& [name, roles] : manifest.graphs) {
      dtypes.push_back({name, dtype_bytes(manifest, name), name == manifest.default_dtype});
    }
    std::ranges::stable_sort(dtypes, std::greater(), &FolderDtype::bytes);
    return dtypes;
  });
}

BenchReport bench_dtype(const BenchOptions& options) {
  return with_file_errors([&] { return run(options); });
}

Spread spread(std::vector<double> values) {
  if (values.empty()) {
    return {};
  }
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
  return {values[0], median};
}

BenchSummary summarize(std::span<const BenchReport> reports) {
  BenchSummary summary{reports[0].dtype, reports[0].bytes, {}, {}, {}, {}, {}, {}, 0};
  std::vector<double> loads;
  std::vector<BenchCaption> captions;
  for (const BenchReport& report : reports) {
    loads.push_back(report.load_ms);
    captions.insert(captions.end(), report.captions.begin(), report.captions.end());
    summary.peak_memory_bytes = std::max(summary.peak_memory_bytes, report.peak_memory_bytes);
  }
  const auto over = [&](const auto& value) {
    std::vector<double> values(captions.size());
    std::ranges::transform(captions, values.begin(), value);
    return spread(std::move(values));
  };
  const auto further = static_cast<double>(reports[0].new_tokens - 1);
  summary.load_ms = spread(std::move(loads));
  summary.encode_ms = over([](const BenchCaption& c) { return c.encode_ms; });
  summary.prefill_ms = over([](const BenchCaption& c) { return c.prefill_ms; });
  summary.first_token_ms = over([](const BenchCaption& c) { return c.encode_ms + c.prefill_ms; });
  summary.token_ms = over([&](const BenchCaption& c) { return c.decode_ms / further; });
  summary.caption_ms = over([](const BenchCaption& c) { return c.whole_ms; });
  return summary;
}

}  // namespace lorapress
