// Smaller weights: how a dtype is made (for press and quantize), and any .onnx file quantized.
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
  kSearch,  // scale (and zero point) of least squared error, weighted by activations where they are
            // known
};

// How weights are rounded; each scheme reads what concerns it.
struct SchemeOptions {
  int64_t block_size = 32;  // q4, q4f16, bnb4: inputs that share a scale; a power of two, 16 to 256
  int accuracy_level =
      0;  // q4, q4f16: MatMulNBits' attribute; 0: as the input, 4: int8 activations
  bool per_channel = true;  // 8 bit: a scale for each output channel instead of one for the matrix
  bool symmetric = true;    // q4, q4f16: no zero points
  bool compat = false;      // avoid what older web runtimes lack (docs/quantization.md)
  Rounding rounding = Rounding::kNearest;
  std::vector<std::string> exclude;  // names of nodes or weights that stay as they are
};

struct DTypeInfo {
  std::string name;     // as --dtype takes it and transformers.js names it
  std::string suffix;   // of file names: "", "_fp16", "_quantized", ...
  std::string summary;  // one line
};
std::vector<DTypeInfo> known_dtypes();

struct QuantizeOptions {
  std::filesystem::path model;  // any .onnx file, external data beside it
  std::filesystem::path out;
  std::string dtype;
  SchemeOptions scheme;
  bool external_data = false;  // weights in OUT_data; always so above 2 GB
  bool force = false;          // replace files
  unsigned threads = 0;
  ProgressFn progress;
};

struct QuantizeReport {
  uint64_t bytes_in = 0;                     // of the model and its external data
  std::vector<OutputFileInfo> files;         // names beside OUT
  std::map<std::string, int64_t> operators;  // nodes added (> 0) and removed (< 0) by type
  std::vector<std::string> notes;
  double read_seconds = 0.0;     // the graph, its types, folding
  double rewrite_seconds = 0.0;  // the scheme and the check of its result
  double write_seconds = 0.0;
};

// Reads the graph, rewrites it for the dtype and streams it to OUT; memory does not grow with the
// model. Initializers that are also inputs count as constants. Throws Error; OUT appears whole or
// not at all.
QuantizeReport quantize(const QuantizeOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_QUANTIZE_H_
