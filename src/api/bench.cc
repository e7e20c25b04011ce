#include "lorapress/bench.h"

#include <algorithm>

#include "lorapress/caption.h"
#include "lorapress/generate.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "base/system.h"
#include "bundles/manifest.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/image/test_card.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// The number of new tokens that will run; throws for one that cannot be measured.
int64_t check_options(const BenchOptions& options, const Manifest& manifest) {
  constexpr int64_t kLeastTokens = 2;  // the first is prefill's
  // Of a decoder alone the default leaves half of the positions for a prompt.
  const int64_t most = takes_images(manifest) ? manifest.max_new_tokens
                                              : std::min(manifest.max_new_tokens,
                                                         manifest.max_position_embeddings / 2);
  const int64_t tokens =
      options.new_tokens != 0 ? options.new_tokens : std::max(kLeastTokens, most);
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

// Throws where an end token, in spite of min_new_tokens, cut a text short.
void require_length(int64_t found, const GenerateOptions& generate) {
  if (found != *generate.max_new_tokens) {
    fail(ErrorCode::kRuntime,
         "{} tokens were generated where {} were asked for",
         found,
         *generate.max_new_tokens);
  }
}

BenchCaption caption_once(const Captioner& captioner,
                          const fs::path& image,
                          std::span<const float> card,
                          const GenerateOptions& generate) {
  const Stopwatch watch;
  const Caption caption =
      image.empty() ? captioner.caption_pixels(card, generate) : captioner.caption(image, generate);
  const double whole_ms = watch.milliseconds();
  require_length(std::ssize(caption.ids), generate);
  return {caption.encode_ms, caption.prefill_ms, caption.decode_ms, whole_ms};
}

// English text of about 128 tokens, or of as many as the positions leave beside the new ones.
std::string default_prompt(const BenchOptions& options, const Manifest& manifest, int64_t tokens) {
  constexpr int64_t kTokens = 128;
  const Tokenizer tokenizer = Tokenizer::from_file(options.folder / "tokenizer.json");
  std::string text;
  for (int64_t i = 0; i < kTokens; ++i) {
    text += "The quick brown fox jumps over the lazy dog. ";
  }
  std::vector<int64_t> ids = tokenizer.encode(text);
  const int64_t room = manifest.max_position_embeddings - tokens - 1;  // 1: a first token
  ids.resize(static_cast<size_t>(std::clamp<int64_t>(room, 1, kTokens)));
  return tokenizer.decode(ids);
}

// `once` makes one caption or text.
void measure(const BenchOptions& options,
             BenchReport& report,
             const std::function<BenchCaption()>& once) {
  for (int64_t i = 0; i <= options.captions; ++i) {
    const BenchCaption caption = once();
    if (i > 0) {
      report.captions.push_back(caption);
    }
    if (options.progress) {
      options.progress(
          {"bench", static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(options.captions) + 1});
    }
  }
}

void set_engine(BenchReport& report, const UsedEngine& engine) {
  report.engine = engine.name;
  report.ort_version = engine.version;
}

void run_captions(const BenchOptions& options,
                  const GenerateOptions& generate,
                  BenchReport& report) {
  const Stopwatch watch;
  const Captioner captioner(options.folder, {report.dtype, options.threads, options.engine});
  set_engine(report, captioner.engine());
  report.load_ms = watch.milliseconds();
  const std::vector<float> card = options.image.empty()
                                      ? test_card(captioner.height(), captioner.width())
                                      : std::vector<float>();
  measure(options, report, [&] { return caption_once(captioner, options.image, card, generate); });
}

void run_texts(const BenchOptions& options, const GenerateOptions& generate, BenchReport& report) {
  Stopwatch watch;
  const TextGenerator generator(options.folder, {report.dtype, options.threads, options.engine});
  set_engine(report, generator.engine());
  report.load_ms = watch.milliseconds();
  measure(options, report, [&] {
    watch.lap();
    const GeneratedText text = generator.generate(generate);
    const double whole_ms = 1000.0 * watch.lap();
    require_length(std::ssize(text.ids), generate);
    report.prompt_tokens = text.prompt_tokens;
    return BenchCaption{0.0, text.prefill_ms, text.decode_ms, whole_ms};
  });
}

void check_input(const BenchOptions& options, const Manifest& manifest) {
  if (!takes_images(manifest) && !options.image.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: takes no images, leave out options.image; options.prompt is what it continues",
         options.folder.string());
  }
  if (takes_images(manifest) && !options.prompt.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: captions are measured without a prompt, leave out options.prompt",
         options.folder.string());
  }
}

BenchReport run(const BenchOptions& options) {
  const Manifest manifest = read_manifest(options.folder);
  check_input(options, manifest);
  GenerateOptions generate;
  generate.max_new_tokens = check_options(options, manifest);
  generate.min_new_tokens = generate.max_new_tokens;
  generate.num_beams = 1;
  generate.do_sample = false;
  BenchReport report;
  report.dtype = options.dtype.empty() ? manifest.default_dtype : options.dtype;
  report.image_tokens = manifest.image_tokens;
  report.new_tokens = *generate.max_new_tokens;
  if (takes_images(manifest)) {
    run_captions(options, generate, report);
  } else {
    generate.prompt = options.prompt.empty() ? default_prompt(options, manifest, report.new_tokens)
                                             : options.prompt;
    generate.raw_prompt = true;
    run_texts(options, generate, report);
  }
  report.bytes = dtype_bytes(manifest, report.dtype);
  report.peak_memory_bytes = sys::peak_memory();
  report.cpu = sys::processor_name();
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
