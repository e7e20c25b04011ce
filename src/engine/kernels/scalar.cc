// The kernels one number at a time: what every other set must equal, and what runs where there is
// no other.
#include <cmath>
#include <cstring>

#include "engine/kernels/layout.h"
#include "engine/kernels/math.h"
#include "engine/kernels/sets.h"

namespace lorapress::kernels {
namespace {

// ---- attention -----------------------------------------------------------------------------------

// p = exp(s - max), returns 1 / sum.
float exponentials(float* s, int64_t count) {
  float largest = -__builtin_inff();
  for (int64_t i = 0; i < count; ++i) {
    largest = max(largest, s[i]);
  }
  float parts[8] = {};
  for (int64_t i = 0; i < count; ++i) {
    s[i] = exp_of_negative(s[i] - largest);
    parts[i % 8] += s[i];
  }
  return 1.0F / ordered_sum(parts);
}

// Key or value j of a row of the batch: number d is at begin[d * step].
struct Position {
  const float* begin;
  int64_t step;
};
Position position(const AttentionRun& run, int64_t row, int64_t group, int64_t j, bool value) {
  if (run.tails_k != nullptr && j >= run.shared) {
    const float* tail = value ? run.tails_v[row] : run.tails_k[row];
    return {tail + (group * run.tail_head) + ((j - run.shared) * run.head_dim), 1};
  }
  const float* all = (value ? run.v : run.k) + (group * run.kv_head);
  if (run.tiled && !value) {
    return {all + (j / kTile * kTile * run.head_dim) + (j % kTile), kTile};
  }
  return {all + (j * run.head_dim), 1};
}

void attend(const AttentionRun& run, int64_t row, int64_t head, int64_t query, float* scores) {
  const int64_t group = head / (run.heads / run.kv_heads);
  const float* q = run.q + (row * run.batch_row) + (query * run.q_row) + (head * run.q_head);
  const int64_t place = run.keys - run.queries + query;
  const int64_t last = run.causal ? place + 1 : run.keys;
  const int64_t first = most(run.first_key, run.window > 0 ? place - run.window + 1 : int64_t{0});
  const int64_t count = last - first;
  float* out = run.out + (row * run.batch_row) + (query * run.out_row) + (head * run.out_head);
  for (int64_t j = first; j < last; ++j) {
    const Position k = position(run, row, group, j, false);
    float sum = 0;
    for (int64_t d = 0; d < run.head_dim; ++d) {
      sum += q[d] * k.begin[d * k.step];
    }
    sum *= run.scale;
    if (run.mask != nullptr) {
      sum += run.mask[(head * run.mask_head) + (query * run.mask_row) + j];
    }
    scores[j - first] = sum;
  }
  const float inverse = count > 0 ? exponentials(scores, count) : 0.0F;
  for (int64_t d = 0; d < run.head_dim; ++d) {
    float sum = 0;
    for (int64_t j = 0; j < count; ++j) {
      sum += (scores[j] * inverse) * position(run, row, group, first + j, true).begin[d];
    }
    out[d] = sum;
  }
}

void attention(const AttentionRun& run) {
  for (int64_t row = 0; row < run.batch; ++row) {
    for (int64_t head = run.first_head; head < run.last_head; ++head) {
      for (int64_t query = 0; query < run.queries; ++query) {
        attend(run, row, head, query, reinterpret_cast<float*>(run.scratch));
      }
    }
  }
}

// ---- rows of floats ------------------------------------------------------------------------------

template <typename Term>
float sum_row(int64_t width, const Term& term) {
  float parts[8] = {};
  for (int64_t i = 0; i < width; ++i) {
    parts[i % 8] += term(i);
  }
  return ordered_sum(parts);
}

// The row that is normalized: x, or x + residual, which is kept in y meanwhile.
const float* norm_input(const NormRun& run, int64_t row) {
  const float* x = run.x + (row * run.width);
  if (run.residual == nullptr) {
    return x;
  }
  float* y = run.y + (row * run.width);
  for (int64_t i = 0; i < run.width; ++i) {
    y[i] = x[i] + run.residual[(row * run.width) + i];
  }
  if (run.sum != nullptr) {
    std::memcpy(run.sum + (row * run.width), y, static_cast<size_t>(run.width) * sizeof(float));
  }
  return y;
}

void normalize(const NormRun& run, bool centered) {
  const auto width = static_cast<float>(run.width);
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* x = norm_input(run, row);
    float* y = run.y + (row * run.width);
    const float mean =
        centered ? sum_row(run.width, [&](int64_t i) { return x[i]; }) / width : 0.0F;
    const float squares =
        sum_row(run.width, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const float factor = 1.0F / std::sqrt((squares / width) + run.epsilon);
    for (int64_t i = 0; i < run.width; ++i) {
      float value = (x[i] - mean) * factor;
      value *= run.gamma == nullptr ? 1.0F : run.gamma[i];
      value += run.beta == nullptr ? 0.0F : run.beta[i];
      y[i] = value;
    }
  }
}

void layer_norm(const NormRun& run) {
  normalize(run, true);
}
void rms_norm(const NormRun& run) {
  normalize(run, false);
}

void rotate(const RotaryRun& run) {
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* cos = run.cos + (row * run.table_row);
    const float* sin = run.sin + (row * run.table_row);
    for (int64_t head = 0; head < run.heads; ++head) {
      float* x = run.x + (row * run.x_row) + (head * run.x_head);
      for (int64_t d = 0; d < run.half; ++d) {
        float& a = x[run.interleaved ? 2 * d : d];
        float& b = x[run.interleaved ? (2 * d) + 1 : d + run.half];
        const float first = (a * cos[d]) - (b * sin[d]);
        b = (b * cos[d]) + (a * sin[d]);
        a = first;
      }
    }
  }
}

void activate(Activation activation, const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = apply(activation, x[i]);
  }
}

void softmax(const float* x, float* y, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    float* out = y + (row * width);
    std::memmove(out, x + (row * width), static_cast<size_t>(width) * sizeof(float));
    const float inverse = exponentials(out, width);
    for (int64_t i = 0; i < width; ++i) {
      out[i] *= inverse;
    }
  }
}

int64_t argmax(const float* x, int64_t count) {
  int64_t best = 0;
  float largest = -__builtin_inff();
  for (int64_t i = 0; i < count; ++i) {
    if (x[i] > largest) {
      largest = x[i];
      best = i;
    }
  }
  return best;
}

bool always() {
  return true;
}

}  // namespace

const KernelSet& scalar_set() {
  static constexpr KernelSet kSet = {"scalar",
                                     always,
                                     Products::k8,
                                     scalar_quantize,
                                     scalar_run_linear,
                                     attention,
                                     layer_norm,
                                     rms_norm,
                                     rotate,
                                     activate,
                                     softmax,
                                     scalar_gather,
                                     argmax};
  return kSet;
}

}  // namespace lorapress::kernels
