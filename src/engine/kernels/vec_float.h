// The product of a few rows with a strip of columns, in float32: of weights, of keys, of values.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_

#include "engine/kernels/isa.h"

namespace lorapress::kernels {

inline constexpr int kMostRows = 6;

// Rows and vectors of one strip: with 16 registers 12 sums, 2 weights and an input of 256 bits; 8 sums, 2 inputs, a weight
// and a product of 128.
inline constexpr int kStripVectors = kLanes == 4 ? 4 : 2;
inline constexpr int kStripRows = kLanes == 4 ? 2 : kMostRows;

// Rows that are multiplied together: row r begins at x[r].
struct FloatRows {
  const float* x[kMostRows];
};

// sum[r][c] += x[r][at] * w[c]. What there is less of stays in registers, inputs or weights.
template <int Rows, int Vectors>
LORAPRESS_STEP void float_step(const float* const (&x)[Rows],
                               int64_t at,
                               const float* w,
                               Floats (&sum)[Rows][Vectors]) {
  constexpr bool kKeepInputs = Rows <= Vectors;
  constexpr int kKept = kKeepInputs ? Rows : Vectors;
  constexpr int kOthers = kKeepInputs ? Vectors : Rows;
  const auto input = [&](int r) { return broadcast(x[r][at]); };
  const auto weight = [&](int c) { return load<Floats>(w + (c * kLanes)); };
  Floats kept[kKept];
  LORAPRESS_UNROLLED
  for (int i = 0; i < kKept; ++i) {
    kept[i] = kKeepInputs ? input(i) : weight(i);
  }
  LORAPRESS_UNROLLED
  for (int j = 0; j < kOthers; ++j) {
    const Floats other = kKeepInputs ? weight(j) : input(j);
    LORAPRESS_UNROLLED
    for (int i = 0; i < kKept; ++i) {
      Floats& to = kKeepInputs ? sum[i][j] : sum[j][i];
      to = to + kept[i] * other;
      pin_wasm(to);
    }
  }
}

// What sums begin with, and by what they are multiplied at the end.
struct Sums {
  bool fresh = false;  // 0 instead of what is there
  float factor = 1.0F;
};

// sums[r][c] = (sums[r][c] + x[r][k] * w[k * w_stride + c] over k in order) * factor, for c < Vectors vectors.
template <int Rows, int Vectors>
static inline void float_strip(const float* const* from,
                               const float* w,
                               int64_t w_stride,
                               int64_t inputs,
                               float* sums,
                               int64_t sums_stride,
                               Sums how) {
  const float* x[Rows];
  Floats sum[Rows][Vectors];
  LORAPRESS_UNROLLED
  for (int r = 0; r < Rows; ++r) {
    x[r] = from[r];
    LORAPRESS_UNROLLED
    for (int c = 0; c < Vectors; ++c) {
      sum[r][c] = how.fresh ? Floats{} : load<Floats>(sums + (r * sums_stride) + (c * kLanes));
    }
  }
  constexpr int64_t kUnrolled = kLoopIsDear ? 4 : 1;
  int64_t k = 0;
  for (; k + kUnrolled <= inputs; k += kUnrolled) {
    LORAPRESS_UNROLLED
    for (int64_t i = 0; i < kUnrolled; ++i) {
      float_step<Rows, Vectors>(x, i, w, sum);
      w += w_stride;
      pin_wasm(w);
    }
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      x[r] += kUnrolled;
      pin_wasm(x[r]);
    }
  }
  for (; k < inputs; ++k, w += w_stride) {
    float_step<Rows, Vectors>(x, k % kUnrolled, w, sum);
  }
  LORAPRESS_UNROLLED
  for (int r = 0; r < Rows; ++r) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < Vectors; ++c) {
      store(sums + (r * sums_stride) + (c * kLanes), sum[r][c] * broadcast(how.factor));
    }
  }
}

// The same for `columns` of any number.
template <int Rows>
static inline void float_columns(const float* const* x,
                                 const float* w,
                                 int64_t w_stride,
                                 int64_t inputs,
                                 int64_t columns,
                                 float* sums,
                                 int64_t sums_stride,
                                 Sums how) {
  constexpr int64_t kWide = kStripVectors * kLanes;
  int64_t c = 0;
  for (; c + kWide <= columns; c += kWide) {
    float_strip<Rows, kStripVectors>(x, w + c, w_stride, inputs, sums + c, sums_stride, how);
  }
  for (; c + kLanes <= columns; c += kLanes) {
    float_strip<Rows, 1>(x, w + c, w_stride, inputs, sums + c, sums_stride, how);
  }
  for (; c < columns; ++c) {
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      float sum = how.fresh ? 0.0F : sums[(r * sums_stride) + c];
      for (int64_t k = 0; k < inputs; ++k) {
        sum += x[r][k] * w[(k * w_stride) + c];
      }
      sums[(r * sums_stride) + c] = sum * how.factor;
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
                                 int64_t sums_stride,
                                 Sums how) {
  for (int64_t row = 0; row < count; row += kStripRows) {
    const float* const* x = rows.x + row;
    float* to = sums + (row * sums_stride);
    const int64_t left = least<int64_t>(count - row, kStripRows);
    if (left == 1) {
      float_columns<1>(x, w, w_stride, inputs, columns, to, sums_stride, how);
    } else if (left == 2) {
      float_columns<2>(x, w, w_stride, inputs, columns, to, sums_stride, how);
    } else if constexpr (kStripRows > 2) {
      switch (left) {
        case 3:
          float_columns<3>(x, w, w_stride, inputs, columns, to, sums_stride, how);
          break;
        case 4:
          float_columns<4>(x, w, w_stride, inputs, columns, to, sums_stride, how);
          break;
        case 5:
          float_columns<5>(x, w, w_stride, inputs, columns, to, sums_stride, how);
          break;
        default:
          float_columns<6>(x, w, w_stride, inputs, columns, to, sums_stride, how);
      }
    }
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_FLOAT_H_
