// Smaller weights: how a dtype is made (for press and quantize), and any .onnx file quantized.
#ifndef LORAPRESS_QUANTIZE_H_
#define LORAPRESS_QUANTIZE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lorapress/error.h"
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

}  // namespace lorapress

#endif  // LORAPRESS_QUANTIZE_H_
