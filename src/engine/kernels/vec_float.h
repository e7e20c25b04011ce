// The product of a few rows with a strip of columns, in float32: of weights, of keys, of values.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_

#include "engine/kernels/isa.h"

namespace lorapress::kernels {

inline constexpr int kMostRows =
    6;  // of one strip: 12 sums, 2 weights and an input fit 16 registers

// Rows that are multiplied together: row r begins at x[r].
struct FloatRows {
  const float* x[kMostRows];
};

// sums[r][c] += x[r][k] * w[k * w_stride + c] over k in order, for c < 2 or 1 vectors.
template <int Rows, int Vectors>
static inline void float_strip(const FloatRows& rows,
                               const float* w,
                               int64_t w_stride,
                               int64_t inputs,
                               float* sums,
                               int64_t sums_stride) {
  Floats sum[Rows][Vectors];
  LORAPRESS_UNROLLED
  for (int r = 0; r < Rows; ++r) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < Vectors; ++c) {
      sum[r][c] = load<Floats>(sums + (r * sums_stride) + (c * kLanes));
    }
  }
  for (int64_t k = 0; k < inputs; ++k) {
    Floats weight[Vectors];
    LORAPRESS_UNROLLED
    for (int c = 0; c < Vectors; ++c) {
      weight[c] = load<Floats>(w + (k * w_stride) + (c * kLanes));
    }
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      const Floats x = broadcast(rows.x[r][k]);
      LORAPRESS_UNROLLED
      for (int c = 0; c < Vectors; ++c) {
        sum[r][c] = sum[r][c] + x * weight[c];
      }
    }
  }
  LORAPRESS_UNROLLED
  for (int r = 0; r < Rows; ++r) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < Vectors; ++c) {
      store(sums + (r * sums_stride) + (c * kLanes), sum[r][c]);
    }
  }
}

// The same for `columns` of any number.
template <int Rows>
static inline void float_columns(const FloatRows& rows,
                                 const float* w,
                                 int64_t w_stride,
                                 int64_t inputs,
                                 int64_t columns,
                                 float* sums,
                                 int64_t sums_stride) {
  int64_t c = 0;
  for (; c + (2 * kLanes) <= columns; c += 2 * kLanes) {
    float_strip<Rows, 2>(rows, w + c, w_stride, inputs, sums + c, sums_stride);
  }
  for (; c + kLanes <= columns; c += kLanes) {
    float_strip<Rows, 1>(rows, w + c, w_stride, inputs, sums + c, sums_stride);
  }
  for (; c < columns; ++c) {
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      float sum = sums[(r * sums_stride) + c];
      for (int64_t k = 0; k < inputs; ++k) {
        sum += rows.x[r][k] * w[(k * w_stride) + c];
      }
      sums[(r * sums_stride) + c] = sum;
    }
  }
}

static inline void float_product(int64_t count,
                                 const FloatRows& rows,
                                 const float* w,
                                 int64_t w_stride,
                                 int64_t inputs,
                                 int64_t columns,
                                 float* sums,
                                 int64_t sums_stride) {
  switch (count) {
    case 1:
      return float_columns<1>(rows, w, w_stride, inputs, columns, sums, sums_stride);
    case 2:
      return float_columns<2>(rows, w, w_stride, inputs, columns, sums, sums_stride);
    case 3:
      return float_columns<3>(rows, w, w_stride, inputs, columns, sums, sums_stride);
    case 4:
      return float_columns<4>(rows, w, w_stride, inputs, columns, sums, sums_stride);
    case 5:
      return float_columns<5>(rows, w, w_stride, inputs, columns, sums, sums_stride);
    default:
      return float_columns<6>(rows, w, w_stride, inputs, columns, sums, sums_stride);
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_
