// Products with float weights, rows of tables, and the choice among the products.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_LINEAR_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_LINEAR_H_

#include "engine/kernels/vec_channels8.h"
#include "engine/kernels/vec_float.h"

namespace lorapress::kernels {

// A tile of float weights as float32: itself, or restored into scratch.
static inline const float* float_tile(const LinearRun& run, int64_t tile) {
  const std::byte* packed = tile_at(*run.linear, tile);
  if (packed_kind(run.linear->spec) == WeightKind::kFloat32) {
    return reinterpret_cast<const float*>(packed);
  }
  auto* floats = reinterpret_cast<float*>(run.scratch);
  for (int64_t i = 0; i < run.linear->spec.inputs * kTile; i += 8) {
    store8(floats + i, load_halves8(packed + (i * 2)));
  }
  return floats;
}

static inline void vec_floats(const LinearRun& run) {
  const int64_t inputs = run.linear->spec.inputs;
  for (int64_t tile = run.first_tile; tile < run.last_tile; ++tile) {
    const float* w = float_tile(run, tile);
    for (int64_t row = 0; row < run.rows; row += kMostRows) {
      const int64_t count = least<int64_t>(kMostRows, run.rows - row);
      alignas(64) float sums[kMostRows * kTile] = {};
      FloatRows rows{};
      for (int64_t r = 0; r < count; ++r) {
        rows.x[r] = run.x + ((row + r) * run.x_stride);
      }
      float_product(count, rows, w, kTile, inputs, kTile, sums, kTile);
      store_tile(run, row, count, tile * kTile, sums);
    }
  }
}

static inline void vec_run_linear(const LinearRun& run) {
  switch (packed_kind(run.linear->spec)) {
    case WeightKind::kBlocks4:
      return vec_blocks4(run);
    case WeightKind::kChannels8:
      return vec_channels8(run);
    case WeightKind::kFloat32:
    case WeightKind::kFloat16:
      break;
  }
  vec_floats(run);
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_LINEAR_H_
