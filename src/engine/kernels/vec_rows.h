// Norms, softmax, activations, rotary and argmax, eight floats at once.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_ROWS_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_ROWS_H_

#include "engine/kernels/math_floats.h"

namespace lorapress::kernels {

// The sum of term(i) over i < width in the order of ordered_sum; `term8` gives eight at once.
template <typename Term8, typename Term>
static inline float sum_terms(int64_t width, const Term8& term8, const Term& term) {
  F8 sum(0.0F);
  int64_t i = 0;
  for (; i + 8 <= width; i += 8) {
    sum = sum + term8(i);
  }
  float parts[8];
  store8(parts, sum);
  for (; i < width; ++i) {
    parts[i % 8] += term(i);
  }
  return ordered_sum(parts);
}

static inline void vec_normalize(const NormRun& run, bool centered) {
  const auto width = static_cast<float>(run.width);
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* x = run.x + (row * run.width);
    float* y = run.y + (row * run.width);
    if (run.residual != nullptr) {
      const float* residual = run.residual + (row * run.width);
      float* sum = run.sum == nullptr ? y : run.sum + (row * run.width);
      int64_t i = 0;
      for (; i + 8 <= run.width; i += 8) {
        store8(sum + i, load8(x + i) + load8(residual + i));
      }
      for (; i < run.width; ++i) {
        sum[i] = x[i] + residual[i];
      }
      x = sum;
    }
    const float mean = centered ? sum_terms(
                                      run.width,
                                      [&](int64_t i) { return load8(x + i); },
                                      [&](int64_t i) { return x[i]; }) /
                                      width
                                : 0.0F;
    const float squares = sum_terms(
        run.width,
        [&](int64_t i) {
          const F8 difference = load8(x + i) - F8(mean);
          return difference * difference;
        },
        [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const float factor = 1.0F / __builtin_sqrtf((squares / width) + run.epsilon);
    int64_t i = 0;
    for (; i + 8 <= run.width; i += 8) {
      F8 value = (load8(x + i) - F8(mean)) * F8(factor);
      value = value * (run.gamma == nullptr ? F8(1.0F) : load8(run.gamma + i));
      value = value + (run.beta == nullptr ? F8(0.0F) : load8(run.beta + i));
      store8(y + i, value);
    }
    for (; i < run.width; ++i) {
      float value = (x[i] - mean) * factor;
      value *= run.gamma == nullptr ? 1.0F : run.gamma[i];
      value += run.beta == nullptr ? 0.0F : run.beta[i];
      y[i] = value;
    }
  }
}

static inline void vec_layer_norm(const NormRun& run) {
  vec_normalize(run, true);
}
static inline void vec_rms_norm(const NormRun& run) {
  vec_normalize(run, false);
}

// Eight of x[i...], -infinity behind its end.
static inline F8 load_rest(const float* x, int64_t i, int64_t count) {
  float rest[8];
  store8(rest, F8(-__builtin_inff()));
  __builtin_memcpy(rest, x + i, static_cast<size_t>(count - i) * sizeof(float));
  return load8(rest);
}

static inline float largest_of(const float* x, int64_t count) {
  F8 largest(-__builtin_inff());
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    largest = max(load8(x + i), largest);
  }
  if (i < count) {
    largest = max(load_rest(x, i, count), largest);
  }
  largest = max(F8(__builtin_shufflevector(largest.v, largest.v, 4, 5, 6, 7, 0, 1, 2, 3)), largest);
  largest = max(F8(__builtin_shufflevector(largest.v, largest.v, 2, 3, 0, 1, 6, 7, 4, 5)), largest);
  largest = max(F8(__builtin_shufflevector(largest.v, largest.v, 1, 0, 3, 2, 5, 4, 7, 6)), largest);
  return largest.v[0];
}

// y = exp(x - largest); returns 1 / sum. What stands behind the end counts as -infinity, of which e^x is 0.
static inline float vec_exponentials(const float* x, float* y, int64_t count) {
  const F8 largest(largest_of(x, count));
  F8 sum(0.0F);
  int64_t i = 0;
#if defined(LORAPRESS_VECTORS512)
  for (; i + 16 <= count; i += 16) {
    const F16 value = exp_of_negative(load_math(x + i) - F16(largest.v[0]));
    store_math(y + i, value);
    sum = (sum + lower_half(value)) + upper_half(value);
  }
#endif
  for (; i + 8 <= count; i += 8) {
    const F8 value = exp_of_negative(load8(x + i) - largest);
    store8(y + i, value);
    sum = sum + value;
  }
  if (i < count) {
    float rest[8];
    const F8 value = exp_of_negative(load_rest(x, i, count) - largest);
    store8(rest, value);
    __builtin_memcpy(y + i, rest, static_cast<size_t>(count - i) * sizeof(float));
    sum = sum + value;
  }
  float parts[8];
  store8(parts, sum);
  return 1.0F / ordered_sum(parts);
}

static inline void scale_row(float* x, int64_t count, float factor) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    store8(x + i, load8(x + i) * F8(factor));
  }
  for (; i < count; ++i) {
    x[i] *= factor;
  }
}

static inline void vec_softmax(const float* x, float* y, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    const float inverse = vec_exponentials(x + (row * width), y + (row * width), width);
    scale_row(y + (row * width), width, inverse);
  }
}

static inline void vec_activate(Activation activation, const float* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + kMathLanes <= count; i += kMathLanes) {
    store_math(y + i, apply(activation, load_math(x + i)));
  }
  for (; i < count; ++i) {
    y[i] = apply(activation, x[i]);
  }
}

static inline void rotate_head(float* x, const float* cos, const float* sin, const RotaryRun& run) {
  int64_t d = 0;
  for (; !run.interleaved && d + 8 <= run.half; d += 8) {
    const F8 a = load8(x + d);
    const F8 b = load8(x + d + run.half);
    const F8 c = load8(cos + d);
    const F8 s = load8(sin + d);
    store8(x + d, (a * c) - (b * s));
    store8(x + d + run.half, (b * c) + (a * s));
  }
  for (; d < run.half; ++d) {
    float& a = x[run.interleaved ? 2 * d : d];
    float& b = x[run.interleaved ? (2 * d) + 1 : d + run.half];
    const float first = (a * cos[d]) - (b * sin[d]);
    b = (b * cos[d]) + (a * sin[d]);
    a = first;
  }
}

static inline void vec_rotate(const RotaryRun& run) {
  for (int64_t row = 0; row < run.rows; ++row) {
    for (int64_t head = 0; head < run.heads; ++head) {
      rotate_head(run.x + (row * run.x_row) + (head * run.x_head),
                  run.cos + (row * run.table_row),
                  run.sin + (row * run.table_row),
                  run);
    }
  }
}

static inline int64_t vec_argmax(const float* x, int64_t count) {
  const float largest = largest_of(x, count);
  for (int64_t i = 0; i < count; ++i) {
    if (x[i] == largest && largest > -__builtin_inff()) {
      return i;
    }
  }
  return 0;
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_ROWS_H_
