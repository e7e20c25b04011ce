// The main operation: converts a checkpoint into a folder that a client runs.
#ifndef LORAPRESS_PRESS_H_
#define LORAPRESS_PRESS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/caption.h"
#include "lorapress/export_options.h"
#include "lorapress/merge.h"
#include "lorapress/quantize.h"

namespace lorapress {

struct PressOptions {
  Source source;
  std::filesystem::path out;
  std::string bundle;  // empty: the first of known_bundles() that takes the checkpoint
  std::vector<std::string>
      dtypes;            // the first is the folder's default; none: the bundle's own, fp32
  SchemeOptions scheme;  // how the other dtypes are made
  std::filesystem::path calibrate;  // images to calibrate with; empty: none
  OpDialect ops = OpDialect::kOrt;
  int opset = 17;              // 17 to 23
  int64_t max_new_tokens = 0;  // 0: the checkpoint's own setting
  std::string prompt;          // written as the folder's default; empty: none
  // Whether the decoder applies repetition penalty, no-repeat n-grams and bad words to its own logits, for
  // clients that apply no rules; absent: as the bundle does by itself
  std::optional<bool> rules_in_graph;
  bool trainer_names = false;  // bundle "components" only: ports of the trainer's own export
  // Generation settings in place of the checkpoint's own, each "key=value" with a key of
  // generation_config.json and a value as it stands there (text may go without quotes; null: none).
  std::vector<std::string> set;
  // A text file of words, one a line, that captions must not hold: added to bad_words_ids with and without
  // a space before them. Empty: none.
  std::filesystem::path bad_words;
  // Bundle "single" only.
  // 1: greedy; more: beam search inside the graph; absent: the checkpoint's own setting
  std::optional<int64_t> num_beams;
  bool uint8_input = false;    // raw RGB bytes of any size in, preprocessing inside the graph
  bool step = false;           // pixel_values, input_ids -> logits in place of the whole loop
  bool external_data = false;  // weights beside the graphs; always above 2 GB
  // Bundle "firefox" only: the folder is out/model_id/revision.
  std::string model_id;  // ORG/NAME
  std::string revision;  // main where empty, or a version: v1, 1.0.0, 1.0.0-beta1
  bool force = false;
  // What runs the result once, and the graphs that calibration observes: as CaptionerOptions::engine.
  std::string engine = {};
  unsigned threads = 0;
  ProgressFn progress;
};

struct PressReport {
  std::vector<OutputFileInfo> files;
  uint64_t parameters = 0;
  size_t adapted_tensors = 0;
  std::vector<std::string> notes;
  double read_seconds = 0.0;     // headers and configs
  double author_seconds = 0.0;   // graphs authored and checked
  double write_seconds = 0.0;    // weights merged, written and hashed
  double caption_seconds = 0.0;  // checking the result and running it once
  // Of bundles that this program can run from pixels, or from a prompt, to text.
  // Of large models the first two tokens, since only a part of their weights is in memory at a time.
  std::optional<Caption> caption;
  std::string caption_dtype;     // the dtype that ran
  std::string bundle;            // the folder's layout
  std::filesystem::path folder;  // what was written: `out`, or a folder in it
  bool takes_images = true;      // false: of a decoder alone, which generate.h runs
};

// Reads, merges, authors, checks and writes; then checks every graph of the result and, where the bundle has a
// whole way from pixels to text, captions one image with a dtype of it; a decoder alone generates a few tokens. Throws
// Error; `out` appears whole or not at all.
PressReport press(const PressOptions& options);
// press() without running the result.
PressReport export_bundle(const PressOptions& options);

struct BundleInfo {
  std::string name;
  std::string summary;
};
std::vector<BundleInfo> known_bundles();

}  // namespace lorapress

#endif  // LORAPRESS_PRESS_H_
