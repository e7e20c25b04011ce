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
    Scheme{.name = "fp32",
           .suffix = "",
           .summary = "float32, as the graph is authored",
           .apply = keep,
           .native = {.encoder = 4, .step = 7},
           .web = {.wasm = 4, .webgpu = 1, .webgpu_f16 = 3}},
    Scheme{.name = "fp16",
           .suffix = "_fp16",
           .summary = "float16 weights and activations, norms in float32",
           .apply = apply_fp16,
           .native = {.encoder = 6, .step = 8},
           .web = {.wasm = 5, .webgpu = 5, .webgpu_f16 = 1},
           .half_cache = true},
    Scheme{.name = "q8",
           .suffix = "_quantized",
           .summary = "8 bit as uint8, what a browser asks for by itself",
           .apply = apply_uint8,
           .native = {.encoder = 3, .prefill = 3, .step = 4},
           .web = {.wasm = 1, .webgpu = 4, .webgpu_f16 = 6}},
    Scheme{.name = "int8",
           .suffix = "_int8",
           .summary = "8 bit, signed weights of 7 bits, safe from saturation on older processors",
           .apply = apply_int8,
           .native = {.encoder = 1, .prefill = 1, .step = 2},
           .web = {.wasm = 2}},
    Scheme{.name = "uint8",
           .suffix = "_uint8",
           .summary = "8 bit, unsigned weights",
           .apply = apply_uint8,
           .native = {.encoder = 2, .prefill = 2, .step = 3},
           .web = {.wasm = 3}},
    Scheme{.name = "q4",
           .suffix = "_q4",
           .summary = "4-bit blocks (MatMulNBits), everything else float32",
           .apply = apply_q4,
           .native = {.encoder = 5, .step = 5, .integer_step = 1},
           .web = {.wasm = 6, .webgpu = 2, .webgpu_f16 = 4},
           .matmul_nbits = true,
           .calibrates = true},
    Scheme{.name = "q4f16",
           .suffix = "_q4f16",
           .summary = "4-bit blocks with float16 scales, the rest float16",
           .apply = apply_q4f16,
           .native = {.encoder = 7, .step = 6},
           .web = {.wasm = 8, .webgpu = 6, .webgpu_f16 = 2},
           .half_cache = true,
           .matmul_nbits = true,
           .calibrates = true},
    Scheme{.name = "bnb4",
           .suffix = "_bnb4",
           .summary = "4-bit NormalFloat blocks (MatMulBnb4), tables float32",
           .apply = apply_bnb4,
           .native = {.encoder = 8, .step = 9},
           .web = {.wasm = 7, .webgpu = 3, .webgpu_f16 = 5}},
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
    known.push_back({std::string(row.name),
                     std::string(row.suffix),
                     std::string(row.summary),
                     row.matmul_nbits,
                     row.calibrates});
  }
  return known;
}

}  // namespace lorapress
