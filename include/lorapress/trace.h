// Holds a folder against a fidelity trace that verify() wrote (VerifyOptions::trace): without the checkpoint.
#ifndef LORAPRESS_TRACE_H_
#define LORAPRESS_TRACE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lorapress/error.h"

namespace lorapress {

struct TraceOptions {
  std::filesystem::path trace;      // JSON, schema version 1
  std::filesystem::path model;      // a folder of the bundle transformers.js
  std::vector<std::string> dtypes;  // empty: all that the folder has
  unsigned threads = 0;             // of the engine; 0: one per core
  std::string engine = {};          // as CaptionerOptions::engine
};

struct TraceDtype {
  std::string dtype;
  double encoder_cosine_min = 1.0;  // of all images: encoder's output, averaged over positions
  double step0_kld_max = 0.0;   // of the first token's distribution, over the trace's tokens, nats
  int64_t results_matched = 0;  // captions equal to the trace's, greedy; reported, not judged
  bool passed = false;          // both numbers within the trace's tolerances
};

struct TraceReport {
  bool passed = false;
  int64_t examples = 0;
  double encoder_cosine_min = 0.0;  // the trace's tolerances
  double step0_kld_max = 0.0;
  std::vector<TraceDtype> dtypes;
};

// Throws kNotFound, kInvalidFile for a trace that is none, kUnsupported for another schema or bundle, kMismatch for
// a trace of a model of another shape.
TraceReport check_trace(const TraceOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_TRACE_H_
