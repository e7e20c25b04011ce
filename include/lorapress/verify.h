// Measures the accuracy of a folder: compares each of its ONNX files with an independent float32
// forward of the checkpoint that the folder was made from.
#ifndef LORAPRESS_VERIFY_H_
#define LORAPRESS_VERIFY_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/progress.h"
#include "lorapress/score.h"
#include "lorapress/source.h"

namespace lorapress {

struct VerifyOptions {
  Source source;                 // what the folder was made from, adapters included
  std::filesystem::path model;   // a folder that press() wrote
  std::filesystem::path images;  // a folder of images; empty: a few drawn ones
  // Of a decoder alone: a text file with a prompt on each line; empty: a few built-in ones.
  std::filesystem::path prompts = {};
  // Captions that people wrote of these images, in any layout of ScoreOptions::references; empty: none.
  std::filesystem::path references;
  std::string split;                // of `references`, as in ScoreOptions
  std::vector<std::string> dtypes;  // empty: all that the folder has
  // "native", "ort" or "auto", as CaptionerOptions::engine, or "both": a row for each. Empty: "auto".
  std::string engine = {};
  int64_t max_new_tokens = 0;  // 0: the folder's own setting
  // The least share of teacher-forced tokens that must equal the reference's, for every dtype.
  // Without `min_match`, fp32 and fp16 must match all tokens except near ties; other dtypes are
  // only measured.
  std::optional<double> min_match;
  bool layers = false;         // also measure the error after every layer
  std::filesystem::path html;  // where to write verify_page(); empty: nowhere
  // Where to write the fidelity trace that Firefox's tests read (docs/verify.md); empty: nowhere. It names the model
  // as an id of the hub, "ORGANIZATION/NAME", and its revision.
  std::filesystem::path trace;
  std::string trace_model_id;  // empty: "local/" and the folder's name
  std::string trace_revision = "main";
  bool force = false;    // replace `html` and `trace`
  unsigned threads = 0;  // 0: one per core, at most 4
  ProgressFn progress;
};

struct VerifyImage {
  std::string name;          // of the file, or what was drawn; of a decoder alone the prompt
  std::string error;         // why it could not be read; all other fields are then empty
  std::vector<int64_t> ids;  // the reference's greedy caption
  std::string text;
  double pixel_difference = 0.0;  // the checkpoint's preprocessing against the folder's, largest
  std::string thumbnail;          // data: URI of a small PNG, only when a page is written
};

// Distances of next-token logits from the reference's, over the positions of its caption.
struct LogitDistance {
  int64_t tokens = 0;
  int64_t matched = 0;            // positions whose most probable token is the reference's
  double largest_difference = 0;  // |logit - reference logit|
  double relative_error = 0;      // largest of |difference| / |reference - its mean|, as vectors
  double kl_mean = 0;             // KL(reference || file) of the next-token distribution, nats
  double kl_max = 0;
  // 0 to 1; 1 when there are no tokens.
  [[nodiscard]] double match() const {
    return tokens == 0 ? 1.0 : static_cast<double>(matched) / static_cast<double>(tokens);
  }
};

struct ImageParity {
  size_t image = 0;          // index in VerifyReport::images
  LogitDistance forced;      // the reference's caption forced on the file
  std::vector<double> kl;    // of each position
  double prefix_error = 0;   // relative error of the image tokens, as one vector
  double pooled_cosine = 1;  // of the image tokens' mean with the reference's
  int64_t near_ties = 0;     // not matched, but the reference's lead is below rounding errors
  std::vector<int64_t> ids;  // the file's own greedy caption
  std::string text;
  bool caption_equal = false;  // ids are the reference's
};

struct LayerError {
  bool encoder = false;
  int64_t layer = 0;  // from 0
  double error = 0;   // relative error of the normalised hidden stream behind it
};

// What captions are worth, against VerifyOptions::references.
struct CaptionQuality {
  CaptionMetrics metrics;
  MetricDifferences to_reference;  // minus those of the reference forward; not set for that itself
};

// A dtype of the folder as one engine runs it.
struct DtypeParity {
  std::string dtype;
  std::string engine;  // "native", "ort"
  std::string name;  // of its row: the dtype, and the engine where two have rows: "q4", "q4 native"
  uint64_t bytes = 0;    // of its .onnx files and their external data
  LogitDistance forced;  // over all images
  double prefix_error = 0;
  int64_t near_ties = 0;
  // fp32 and fp16 only. *_rounding: the largest error that rounding alone causes in a forward of
  // this dtype, in image tokens and in logits. *_excess: the file's error as a multiple of it, the
  // median over all tokens and positions.
  double prefix_rounding = 0;
  double prefix_excess = 0;
  double logit_rounding = 0;
  double logit_excess = 0;
  int64_t captions_equal = 0;
  double required_match = 0;
  std::vector<std::string> faults;  // clear errors, besides a match that is too low
  bool passed = false;
  std::vector<ImageParity> images;
  std::vector<LayerError> layers;
  std::optional<CaptionQuality> quality;  // of the file's own captions
  double seconds = 0.0;
};

struct VerifyReport {
  bool passed = false;              // every dtype, no fault in the folder, no unreadable image
  std::vector<std::string> faults;  // of the folder: constants that are not the checkpoint's
  std::vector<std::string> notes;
  int64_t max_new_tokens = 0;
  int64_t unreadable_images = 0;
  std::vector<VerifyImage> images;
  std::vector<DtypeParity> dtypes;
  std::optional<CaptionQuality> quality;  // of the reference forward's captions
  int64_t scored_images = 0;              // those with references
  std::string trace;                      // what VerifyOptions::trace got
  double reference_seconds = 0.0;
};

// Throws Error for input that cannot be compared at all: a checkpoint or a folder that does not
// load, a folder of another model, an unknown dtype, no readable image.
VerifyReport verify(const VerifyOptions& options);

// The report as one self-contained HTML page; `title` is its heading.
std::string verify_page(const VerifyReport& report, const std::string& title);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_H_
