// The one table of dtypes that a folder can be written in. A scheme is a pass over any Model; a new
// one is one file and one row. Names and suffixes are those of transformers.js
// (src/utils/dtypes.js, DEFAULT_DTYPE_SUFFIX_MAPPING).
#ifndef LORAPRESS_SCHEMES_SCHEME_H_
#define LORAPRESS_SCHEMES_SCHEME_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/quantize.h"

#include "graph/model.h"

namespace lorapress {

class ErrorFeedback;  // quant/error_feedback.h
class ScanMemo;       // quant/weight_scan.h

// Calibration results for the inputs of linear layers, by the name of the layer's weight in the
// unquantized graph.
using ActivationStats = std::map<std::string, std::shared_ptr<const ErrorFeedback>>;

// Numbers of weights that were rounded with and without calibration statistics.
struct CalibrationUse {
  int64_t observed = 0;
  int64_t unobserved = 0;
};

// What a scheme did to a model.
struct SchemeOutcome {
  bool changed = false;          // false: the model is unchanged
  int64_t quantized = 0;         // matrices in 8 or 4 bit
  std::vector<KeptMatrix> kept;  // the others
  std::string_view form;         // the form that these do not have, such as "8 bit"
};

struct SchemeContext {
  const SchemeOptions& options;
  const ActivationStats* statistics = nullptr;  // null: all inputs weigh the same
  std::vector<std::string>* notes = nullptr;    // what the user should know, one line each
  unsigned threads = 0;
  CalibrationUse* use = nullptr;  // counted up, where statistics are given
  ScanMemo* scans = nullptr;      // of earlier dtypes, so that weights are scanned once
  SchemeOutcome* outcome = nullptr;
};

// Which dtype of a folder does which work: the one of lowest rank, which measured fastest; 0:
// never. For CPUs, natively: `bench/peers/profile.py` prints the times behind the ranks, and
// docs/performance.md lists them.
struct NativeRanks {
  int encoder = 0;
  // The decoder's first call, where it uses another graph than the later calls: only 8 bit is worth
  // another graph in memory.
  int prefill = 0;
  int step = 0;
  // As `step`, for a graph whose 4-bit products are computed in integers, which take a third of the
  // time; 0: the rank `step`.
  int integer_step = 0;
};
// In browsers (docs/web-performance.md); written into lorapress.json. WebAssembly has no fast kernel for 4 bits and
// computes half precision as single.
struct WebRanks {
  int wasm = 0;
  int webgpu = 0;
  int webgpu_f16 = 0;  // devices with shader-f16
};

struct Scheme {
  std::string_view name;
  std::string_view suffix;
  std::string_view summary;
  // Rewrites nodes and replaces weights by lazy quantized ones. Throws Error for weights that the
  // scheme cannot express (kInvalidFile for NaN and infinities).
  void (*apply)(Model& model, const SchemeContext& context);
  NativeRanks native;
  WebRanks web;
  bool half_cache = false;    // the key/value cache is float16
  bool matmul_nbits = false;  // makes MatMulNBits: uses accuracy_level and symmetric
  bool calibrates = false;    // uses SchemeContext::statistics
};

const Scheme& scheme(std::string_view name);  // throws kUnsupported, listing the known names
std::span<const Scheme> schemes();

// Throws kInvalidArgument for an option out of its range.
void check_scheme_options(const SchemeOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_SCHEME_H_
