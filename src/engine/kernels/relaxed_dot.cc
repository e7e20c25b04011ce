// Relaxed SIMD on hosts with one instruction that adds four products of 8 bits to 32: vpdpbusd, sdot. All but products of
// integers is that of the other set.
#include "engine/kernels/sets.h"

#if defined(__wasm_relaxed_simd__)
#define LORAPRESS_RELAXED_DOT
#include "engine/kernels/vec_channels8.h"

namespace lorapress::kernels {
namespace {

// What a host makes of weights beyond the 7 bits that are defined.
enum class Host : uint8_t {
  kPairs,     // pairs are added in 16 bits: not by one instruction
  kUnsigned,  // four products in 32 bits, weights of 0..255
  kSigned,    // the same, weights of -128..127
};

// Four products of -128 and 0xFF: 4 x -128 x 255 in 32 bits, 2 x -32768 where pairs saturate, 4 x -128 x -1 where weights
// are signed. Four of -128 and 0x80, then: 4 x -128 x -128 in 32 bits, the negative of it where pairs overflow.
Host find_host() {
  Ints w{-1, static_cast<int32_t>(0x80808080U), 0, 0};
  pin(w);
  const Ints sum = dot8(Ints{}, w, broadcast_int(static_cast<int32_t>(0x80808080U)));
  if (sum[0] == 4 * -128 * 255) {
    return Host::kUnsigned;
  }
  return sum[0] == 4 * 128 && sum[1] == 4 * 128 * 128 ? Host::kSigned : Host::kPairs;
}

void run_linear(const LinearRun& run) {
  switch (run.linear->form) {
    case RowForm::kBlocks8:
      return vec_blocks4(run);
    case RowForm::kRows8:
      return multiply_channels8<false>(run);
    default:
      return vector128_set()->run_linear(run);
  }
}

bool runs_here() {
  return find_host() != Host::kPairs;
}

}  // namespace

const KernelSet* relaxed_dot_set() {
  static const KernelSet kSet = [] {
    KernelSet set = *vector128_set();
    set.name = "wasm_relaxed_dot";
    set.runs_here = runs_here;
    set.products = find_host() == Host::kUnsigned ? Products::k8 : Products::k7;
    set.run_linear = run_linear;
    return set;
  }();
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* relaxed_dot_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
