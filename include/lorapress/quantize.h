// Quantization: the options of a dtype (for press and quantize), and quantize() for any .onnx file.
#ifndef LORAPRESS_QUANTIZE_H_
#define LORAPRESS_QUANTIZE_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/merge.h"
#include "lorapress/progress.h"

namespace lorapress {

enum class Rounding {
  kNearest,  // scale from the largest value of a block
  kSearch,   // scale (and zero point) of least squared error; with calibration, errors
             // are also compensated in the weights not yet rounded
};

// How weights are rounded; each scheme reads the options that apply to it.
struct SchemeOptions {
  int64_t block_size = 32;  // q4, q4f16, bnb4: inputs that share a scale; a power of two, 16 to 256
  // q4, q4f16: MatMulNBits' attribute. 4: a CPU may round activations to 8 bit inside the product,
  // which halves the time of a token (docs/performance.md); 0: the CPU computes in the input's
  // type.
  int accuracy_level = 4;
  bool per_channel = true;  // 8 bit: a scale for each output channel instead of one for the matrix
  bool symmetric = true;    // q4, q4f16: no zero points
  Rounding rounding = Rounding::kNearest;
  std::vector<std::string> exclude;  // names of nodes or weights that are not changed
};

// A constant matrix that a scheme does not quantize.
struct KeptMatrix {
  std::string name;    // of the node that reads the matrix; its own if the node has none
  std::string reason;  // a few words
};

struct DTypeInfo {
  std::string name;           // as --dtype takes it and transformers.js names it
  std::string suffix;         // of file names: "", "_fp16", "_quantized", ...
  std::string summary;        // one line
  bool matmul_nbits = false;  // takes accuracy_level and symmetric
  bool calibrates = false;    // takes `calibrate` of press and quantize
};
std::vector<DTypeInfo> known_dtypes();

struct QuantizeOptions {
  std::filesystem::path model;  // any .onnx file, external data beside it
  std::filesystem::path out;
  std::string dtype;
  SchemeOptions scheme;
  // Images that are run through the model to learn what its layers read, for q4 and q4f16 with
  // Rounding::kSearch; empty: none. The model must be a graph whose only input is an image, or the
  // encoder or decoder of a transformers.js folder that press() wrote.
  std::filesystem::path calibrate;
  bool external_data = false;  // weights in OUT_data; always above 2 GB
  bool force = false;          // replace files
  // Initializers that are also inputs become constants. Otherwise they stay the float32 defaults of
  // these inputs from IR version 4 on (before, ONNX requires every initializer to be an input).
  bool freeze_inputs = false;
  bool allow_unquantized = false;  // write OUT even if the dtype changes nothing
  unsigned threads = 0;
  ProgressFn progress;
};

struct QuantizeReport {
  uint64_t bytes_in = 0;                     // of the model and its external data
  std::vector<OutputFileInfo> files;         // names beside OUT
  std::map<std::string, int64_t> operators;  // nodes added (> 0) and removed (< 0) by type
  std::vector<std::string> notes;
  int64_t quantized_matrices = 0;  // 8 and 4 bit
  std::vector<KeptMatrix> kept;    // the other matrices; `notes` lists them in one line
  int64_t calibration_images = 0;
  int64_t calibrated_weights = 0;
  int64_t uncalibrated_weights = 0;  // read by no product of the main graph: search alone
  double read_seconds = 0.0;         // the graph, its types, folding
  double calibrate_seconds = 0.0;
  double rewrite_seconds = 0.0;  // the scheme and the check of its result
  double write_seconds = 0.0;
};

// Reads the graph, rewrites it for the dtype and streams it to OUT; memory does not grow with the
// model. Throws Error, kUnsupported where the dtype would change nothing; OUT appears whole or not
// at all.
QuantizeReport quantize(const QuantizeOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_QUANTIZE_H_
