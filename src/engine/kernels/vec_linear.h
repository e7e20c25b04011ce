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

// A vector of float weights at element `at` of a tile.
template <bool Half>
static inline F8 float_weights(const std::byte* tile, int64_t at) {
  if constexpr (Half) {
    return load_halves8(tile + (at * 2));
  } else {
    return F8(load<Floats8>(tile + (at * 4)));
  }
}

// One row times Tiles tiles that lie `step` apart, in as many streams of memory.
template <int Tiles, bool Half>
static inline void multiply_row_float(const LinearRun& run, int64_t first, int64_t step) {
  F8 sum[Tiles][2];
  const std::byte* tiles[Tiles];
  for (int t = 0; t < Tiles; ++t) {
    sum[t][0] = sum[t][1] = F8(0.0F);
    tiles[t] = tile_at(*run.linear, first + (t * step));
  }
  for (int64_t k = 0; k < run.linear->spec.inputs; ++k) {
    const F8 x(run.x[k]);
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      sum[t][0] = sum[t][0] + x * float_weights<Half>(tiles[t], k * kTile);
      sum[t][1] = sum[t][1] + x * float_weights<Half>(tiles[t], (k * kTile) + 8);
    }
  }
  for (int t = 0; t < Tiles; ++t) {
    float sums[kTile];
    store8(sums, sum[t][0]);
    store8(sums + 8, sum[t][1]);
    store_tile(run, 0, 1, (first + (t * step)) * kTile, sums);
  }
}

template <bool Half>
static inline void vec_float_row(const LinearRun& run) {
  const int64_t step = (run.last_tile - run.first_tile) / kStreams;
  for (int64_t tile = run.first_tile; tile < run.first_tile + step; ++tile) {
    multiply_row_float<kStreams, Half>(run, tile, step);
  }
  for (int64_t tile = run.first_tile + (step * kStreams); tile < run.last_tile; ++tile) {
    multiply_row_float<1, Half>(run, tile, 0);
  }
}

static inline void vec_floats(const LinearRun& run) {
  const int64_t inputs = run.linear->spec.inputs;
  if (run.rows == 1) {
    const bool half = packed_kind(run.linear->spec) == WeightKind::kFloat16;
    half ? vec_float_row<true>(run) : vec_float_row<false>(run);
    return;
  }
  for (int64_t tile = run.first_tile; tile < run.last_tile; ++tile) {
    const float* w = float_tile(run, tile);
    for (int64_t row = 0; row < run.rows; row += kMostRows) {
      const int64_t count = least<int64_t>(kMostRows, run.rows - row);
      alignas(64) float sums[kMostRows * kTile];
      FloatRows rows{};
      for (int64_t r = 0; r < count; ++r) {
        rows.x[r] = run.x + ((row + r) * run.x_stride);
      }
      float_product(count, rows, w, kTile, inputs, kTile, sums, kTile, {.fresh = true});
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
