// Measures the speed of a folder that press() wrote, one dtype at a time.
#ifndef LORAPRESS_BENCH_H_
#define LORAPRESS_BENCH_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lorapress/progress.h"

namespace lorapress {

struct FolderDtype {
  std::string name;
  uint64_t bytes = 0;  // its graphs and their external data
  bool is_default = false;
};

// The dtypes of a folder, the largest first. Throws as Captioner does.
std::vector<FolderDtype> folder_dtypes(const std::filesystem::path& folder);

struct BenchOptions {
  std::filesystem::path folder;
  std::string dtype;            // empty: the folder's default
  std::filesystem::path image;  // empty: a test card, preprocessed already
  std::string prompt;           // of a decoder alone, without its chat template; empty: 128 tokens
  unsigned threads = 0;         // of the engine; 0: one per core
  std::string engine;           // as CaptionerOptions::engine
  int64_t captions = 3;         // measured captions; one warm-up caption precedes them
  int64_t new_tokens = 0;       // of each caption, end of text or not; 0: the folder's setting
  ProgressFn progress;          // "bench", in captions
};

// All times in milliseconds.
struct BenchCaption {
  double encode_ms = 0.0;   // pixels to image tokens; 0 of a decoder alone
  double prefill_ms = 0.0;  // first call of the decoder
  double decode_ms = 0.0;   // the calls for all further tokens
  double whole_ms =
      0.0;  // picture or prompt to text; for an image file including reading and resizing
};

struct BenchReport {
  std::string dtype;
  uint64_t bytes = 0;
  int64_t image_tokens = 0;   // 0 of a decoder alone
  int64_t prompt_tokens = 0;  // of a decoder alone
  int64_t new_tokens = 0;
  double load_ms = 0.0;  // until all graphs and the tokenizer are ready
  std::vector<BenchCaption> captions;
  uint64_t peak_memory_bytes = 0;  // of the whole process until now
  std::string engine;              // "ONNX Runtime", "LoraPress"
  std::string ort_version;         // of the engine
  std::string cpu;                 // its name, empty where the system does not say
};

// Loads one dtype and captions with it, or generates text with a decoder alone. peak_memory_bytes is that of the process, so call
// bench_dtype() in a new process for each dtype to compare. Throws as Captioner does,
// kInvalidArgument for fewer than 2 new tokens or 1 caption, and for an image (or a prompt) where the model
// takes none.
BenchReport bench_dtype(const BenchOptions& options);

// The least time shows what the machine can do, the median what it usually did.
struct Spread {
  double least = 0.0;
  double median = 0.0;
};
Spread spread(std::vector<double> values);  // zeros for no values

struct BenchSummary {
  std::string dtype;
  uint64_t bytes = 0;
  Spread load_ms;
  Spread encode_ms;
  Spread prefill_ms;
  Spread first_token_ms;  // encode and prefill
  Spread token_ms;        // each further token
  Spread caption_ms;
  uint64_t peak_memory_bytes = 0;  // the largest
};

// Reports of one dtype from several processes. REQUIRES: at least one, all of the same options.
BenchSummary summarize(std::span<const BenchReport> reports);

}  // namespace lorapress

#endif  // LORAPRESS_BENCH_H_
