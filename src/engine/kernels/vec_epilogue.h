// What happens to the sums of a product before they are stored: bias, activation, second operand.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_

#include "engine/kernels/isa.h"

namespace lorapress::kernels {

// Stores sums [rows, 16] of outputs first_output... as rows row... of y; fewer than 16 at the end.
static inline void store_tile(
    const LinearRun& run, int64_t row, int64_t rows, int64_t first_output, const float* sums) {
  const int64_t count = least(kTile, run.linear->spec.outputs - first_output);
  const float* bias = run.bias == nullptr ? nullptr : run.bias + first_output;
  for (int64_t r = 0; r < rows; ++r) {
    float* y = run.y + ((row + r) * run.y_stride) + first_output;
    const float* other =
        run.other == nullptr ? nullptr : run.other + ((row + r) * run.other_stride) + first_output;
    const float* from = sums + (r * kTile);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
      F8 value = load8(from + i);
      if (bias != nullptr) {
        value = value + load8(bias + i);
      }
      store8(y + i, apply(run.epilogue, value, other == nullptr ? F8(0.0F) : load8(other + i)));
    }
    for (; i < count; ++i) {
      const float value = bias == nullptr ? from[i] : from[i] + bias[i];
      y[i] = apply(run.epilogue, value, other == nullptr ? 0.0F : other[i]);
    }
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_EPILOGUE_H_
