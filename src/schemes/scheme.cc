#include "schemes/scheme.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/fail.h"
#include "schemes/bnb4.h"
#include "schemes/float16.h"
#include "schemes/int8.h"
#include "schemes/q4.h"

namespace lorapress {
namespace {

void keep(Model& /*model*/, const SchemeContext& /*context*/) {}

constexpr std::array kSchemes = {
    Scheme{"fp32", "", "float32, as the graph is authored", keep},
    Scheme{"fp16", "_fp16", "float16 weights and activations, norms in float32", apply_fp16},
    Scheme{"q8", "_quantized", "8 bit as uint8, what a browser asks for by itself", apply_uint8},
    Scheme{"int8",
           "_int8",
           "8 bit, signed weights of 7 bits, safe from saturation on older processors",
           apply_int8},
    Scheme{"uint8", "_uint8", "8 bit, unsigned weights", apply_uint8},
    Scheme{"q4", "_q4", "4-bit blocks (MatMulNBits), everything else float32", apply_q4, true},
    Scheme{
        "q4f16", "_q4f16", "4-bit blocks with float16 scales, the rest float16", apply_q4f16, true},
    Scheme{"bnb4", "_bnb4", "4-bit NormalFloat blocks (MatMulBnb4), tables float32", apply_bnb4},
};

}  // namespace

std::span<const Scheme> schemes() {
  return kSchemes;
}

const Scheme& scheme(std::string_view name) {
  const auto found = std::ranges::find(kSchemes, name, &Scheme::name);
  if (found == kSchemes.end()) {
    std::vector<std::string_view> known;
    for (const Scheme& row : kSchemes) {
      known.push_back(row.name);
    }
    fail(ErrorCode::kUnsupported,
         "options.dtype {} is not known (known: {})",
         name,
         fmt::join(known, ", "));
  }
  return *found;
}

void check_scheme_options(const SchemeOptions& options) {
  constexpr int64_t kSmallestBlock = 16;  // of MatMulNBits
  constexpr int64_t kLargestBlock = 256;
  if (options.block_size < kSmallestBlock || options.block_size > kLargestBlock ||
      !std::has_single_bit(static_cast<uint64_t>(options.block_size))) {
    fail(ErrorCode::kInvalidArgument,
         "options.block_size {}, expected a power of two from {} to {}",
         options.block_size,
         kSmallestBlock,
         kLargestBlock);
  }
  if (options.accuracy_level != 0 && options.accuracy_level != 4) {
    fail(ErrorCode::kInvalidArgument,
         "options.accuracy_level {}, expected 0 or 4",
         options.accuracy_level);
  }
}

std::vector<DTypeInfo> known_dtypes() {
  std::vector<DTypeInfo> known;
  for (const Scheme& row : kSchemes) {
    known.push_back({std::string(row.name), std::string(row.suffix), std::string(row.summary)});
  }
  return known;
}

}  // namespace lorapress
