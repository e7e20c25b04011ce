// What happens to the sums of a product before they are stored: bias, activation, second operand.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_

#include "engine/kernels/math_floats.h"

namespace lorapress::kernels {

// Stores sums [rows, 16] of outputs first_output... as rows row... of y; fewer than 16 at the end.
template <Epilogue kEpilogue>
static inline void store_rows(
    const LinearRun& run, int64_t row, int64_t rows, int64_t first_output, const float* sums) {
  constexpr bool kOther = kEpilogue == Epilogue::kAdd || kEpilogue == Epilogue::kMultiply ||
                          kEpilogue == Epilogue::kSiluGate;
  const int64_t count = least(kTile, run.linear->spec.outputs - first_output);
  const float* bias = run.bias == nullptr ? nullptr : run.bias + first_output;
  float* y = run.y + (row * run.y_stride) + first_output;
  const float* other = kOther ? run.other + (row * run.other_stride) + first_output : nullptr;
  const auto store_some = [&](int64_t i) {
    MathFloats value = load_math(sums + i);
    if (bias != nullptr) {
      value = value + load_math(bias + i);
    }
    store_math(y + i, apply(kEpilogue, value, kOther ? load_math(other + i) : MathFloats(0.0F)));
  };
  for (int64_t r = 0; r < rows; ++r) {
    if (count == kTile) {
      store_some(0);
      if constexpr (kMathLanes < kTile) {
        store_some(kMathLanes);
      }
    } else {
      for (int64_t i = 0; i < count; ++i) {
        const float value = bias == nullptr ? sums[i] : sums[i] + bias[i];
        y[i] = apply(kEpilogue, value, kOther ? other[i] : 0.0F);
      }
    }
    sums += kTile;
    y += run.y_stride;
    other += kOther ? run.other_stride : 0;
  }
}

// Not inlined: its code takes registers from the sums of the products that call it.
__attribute__((noinline)) static void store_tile(
    const LinearRun& run, int64_t row, int64_t rows, int64_t first_output, const float* sums) {
  switch (run.epilogue) {
    case Epilogue::kNone:
      return store_rows<Epilogue::kNone>(run, row, rows, first_output, sums);
    case Epilogue::kAdd:
      return store_rows<Epilogue::kAdd>(run, row, rows, first_output, sums);
    case Epilogue::kSiluGate:
      return store_rows<Epilogue::kSiluGate>(run, row, rows, first_output, sums);
    case Epilogue::kMultiply:
      return store_rows<Epilogue::kMultiply>(run, row, rows, first_output, sums);
    case Epilogue::kGeluErf:
      return store_rows<Epilogue::kGeluErf>(run, row, rows, first_output, sums);
    case Epilogue::kGeluTanh:
      return store_rows<Epilogue::kGeluTanh>(run, row, rows, first_output, sums);
    case Epilogue::kQuickGelu:
      return store_rows<Epilogue::kQuickGelu>(run, row, rows, first_output, sums);
    case Epilogue::kSilu:
      return store_rows<Epilogue::kSilu>(run, row, rows, first_output, sums);
    case Epilogue::kRelu:
      return store_rows<Epilogue::kRelu>(run, row, rows, first_output, sums);
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_
