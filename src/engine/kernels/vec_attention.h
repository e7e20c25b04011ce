// Attention: scores of a few rows of queries against keys that are transposed in tiles of 16, softmax,
// then the same product with the values.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_ATTENTION_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_ATTENTION_H_

#include "engine/kernels/vec_float.h"
#include "engine/kernels/vec_rows.h"

namespace lorapress::kernels {

// [8 keys][8 d] at `from`, rows `stride` apart, as [8 d][8 keys] at `to`, rows of 16.
static inline void transpose8(const float* from, int64_t stride, float* to) {
#if defined(__AVX2__)
  __m256 r[8];
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm256_loadu_ps(from + (i * stride));
  }
  __m256 t[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[(2 * i) + 1]);
    t[(2 * i) + 1] = _mm256_unpackhi_ps(r[2 * i], r[(2 * i) + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[(4 * i) + 2], 0x44);
    r[(4 * i) + 1] = _mm256_shuffle_ps(t[4 * i], t[(4 * i) + 2], 0xEE);
    r[(4 * i) + 2] = _mm256_shuffle_ps(t[(4 * i) + 1], t[(4 * i) + 3], 0x44);
    r[(4 * i) + 3] = _mm256_shuffle_ps(t[(4 * i) + 1], t[(4 * i) + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + (i * kTile), _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + ((i + 4) * kTile), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
#else
  using Floats4 = float __attribute__((vector_size(16)));
  for (int half = 0; half < 2; ++half) {
    for (int part = 0; part < 2; ++part) {
      const float* at = from + (part * 4 * stride) + (half * 4);
      const Floats4 a = load<Floats4>(at);
      const Floats4 b = load<Floats4>(at + stride);
      const Floats4 c = load<Floats4>(at + (2 * stride));
      const Floats4 d = load<Floats4>(at + (3 * stride));
      const Floats4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Floats4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Floats4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Floats4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      float* out = to + (half * 4 * kTile) + (part * 4);
      store(out, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
      store(out + kTile, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
      store(out + (2 * kTile), __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
      store(out + (3 * kTile), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
    }
  }
#endif
}

// 16 keys, or `count` of them and zeros, as [head_dim][16].
static inline void transpose_keys(const float* k, int64_t count, int64_t head_dim, float* to) {
  for (int64_t j = 0; j < kTile; j += 8) {
    int64_t d = 0;
    for (; j + 8 <= count && d + 8 <= head_dim; d += 8) {
      transpose8(k + (j * head_dim) + d, head_dim, to + (d * kTile) + j);
    }
    for (; d < head_dim; ++d) {
      for (int64_t i = j; i < j + 8; ++i) {
        to[(d * kTile) + i] = i < count ? k[(i * head_dim) + d] : 0.0F;
      }
    }
  }
}

// Rows of queries that are computed together: of heads that share keys.
struct QueryRows {
  int64_t batch;  // the row of the batch to which they belong
  int64_t count;
  int64_t query[kMostRows];
  int64_t head[kMostRows];
  int64_t first[kMostRows];  // keys that the row sees: first <= j < last
  int64_t last[kMostRows];
};

// Scores of the row over its keys become probabilities; those of [from, to) that it does not see are 0.
static inline void finish_scores(const AttentionRun& run,
                                 const QueryRows& rows,
                                 int64_t r,
                                 float* scores,
                                 int64_t from,
                                 int64_t to) {
  const int64_t first = rows.first[r];
  const int64_t last = rows.last[r];
  if (run.mask != nullptr) {
    const float* mask = run.mask + (rows.head[r] * run.mask_head) + (rows.query[r] * run.mask_row);
    for (int64_t j = first; j < last; ++j) {
      scores[j] += mask[j];
    }
  }
  for (int64_t j = from; j < least(first, to); ++j) {
    scores[j] = 0.0F;
  }
  for (int64_t j = most(last, from); j < to; ++j) {
    scores[j] = 0.0F;
  }
  if (first < last) {
    const float inverse = vec_exponentials(scores + first, scores + first, last - first);
    scale_row(scores + first, last - first, inverse);
  }
}

// Values of the keys j < shared, and of the others.
struct Values {
  const float* begin;
  const float* tail;
  int64_t shared;
};

// Transposed tiles of keys: those of a cache that keeps them so, and the others from `tiles` on.
struct KeyTiles {
  const float* kept;
  int64_t kept_count;  // 0: the cache keeps none
  const float* tiles;
  int64_t first;  // the tile at `tiles`
  int64_t tile_floats;
  [[nodiscard]] const float* at(int64_t tile) const {
    return tile < kept_count ? kept + (tile * tile_floats) : tiles + ((tile - first) * tile_floats);
  }
};

// `scores` has kMostRows rows of `row` floats.
static inline void attend_rows(const AttentionRun& run,
                               const QueryRows& rows,
                               const KeyTiles& keys,
                               const Values& values,
                               float* scores,
                               int64_t row) {
  int64_t from = run.keys;
  int64_t to = 0;
  FloatRows inputs{};
  for (int64_t r = 0; r < rows.count; ++r) {
    from = least(from, rows.first[r]);
    to = most(to, rows.last[r]);
    inputs.x[r] = run.q + (rows.batch * run.batch_row) + (rows.query[r] * run.q_row) +
                  (rows.head[r] * run.q_head);
  }
  from = least(from, to);
  for (int64_t tile = from / kTile; tile * kTile < to; ++tile) {
    float_product(rows.count,
                  inputs,
                  keys.at(tile),
                  kTile,
                  run.head_dim,
                  kTile,
                  scores + (tile * kTile),
                  row,
                  {.fresh = true, .factor = run.scale});
  }
  float sums[kMostRows * 1024];
  FloatRows weights{};
  for (int64_t r = 0; r < rows.count; ++r) {
    finish_scores(run, rows, r, scores + (r * row), from, to);
    weights.x[r] = scores + (r * row) + from;
    for (int64_t d = 0; from == to && d < run.head_dim; ++d) {
      sums[(r * run.head_dim) + d] = 0.0F;
    }
  }
  constexpr int64_t kKeys = 64;  // values of so many positions stay in the first cache
  for (int64_t j = from; j < to;) {
    const bool shared = j < values.shared;
    const int64_t count = least(kKeys, (shared ? least(to, values.shared) : to) - j);
    float_product(rows.count,
                  weights,
                  shared ? values.begin + (j * run.head_dim)
                         : values.tail + ((j - values.shared) * run.head_dim),
                  run.head_dim,
                  count,
                  run.head_dim,
                  sums,
                  run.head_dim,
                  {.fresh = j == from});
    for (int64_t r = 0; r < rows.count; ++r) {
      weights.x[r] += count;
    }
    j += count;
  }
  for (int64_t r = 0; r < rows.count; ++r) {
    float* out = run.out + (rows.batch * run.batch_row) + (rows.query[r] * run.out_row) +
                 (rows.head[r] * run.out_head);
    __builtin_memcpy(
        out, sums + (r * run.head_dim), static_cast<size_t>(run.head_dim) * sizeof(float));
  }
}

// Heads first <= h < last of one row of the batch.
static inline void attend_batch_row(const AttentionRun& run,
                                    int64_t batch,
                                    int64_t first_head,
                                    int64_t last_head,
                                    const KeyTiles& keys,
                                    const Values& values,
                                    float* scores,
                                    int64_t row) {
  QueryRows rows{};
  rows.batch = batch;
  const int64_t count = (last_head - first_head) * run.queries;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t r = rows.count++;
    const int64_t query = i % run.queries;
    const int64_t place = run.keys - run.queries + query;
    rows.query[r] = query;
    rows.head[r] = first_head + (i / run.queries);
    rows.first[r] = most(run.first_key, run.window > 0 ? place - run.window + 1 : int64_t{0});
    rows.last[r] = run.causal ? place + 1 : run.keys;
    if (rows.count == kMostRows || i + 1 == count) {
      attend_rows(run, rows, keys, values, scores, row);
      rows.count = 0;
    }
  }
}

// Heads first <= h < last, which read the same keys; those that a batch shares are transposed once, if the cache
// does not keep them so.
static inline void attend_group(const AttentionRun& run, int64_t first_head, int64_t last_head) {
  const int64_t group = first_head / (run.heads / run.kv_heads);
  const int64_t offset = group * run.kv_head;
  const int64_t row = round_up(run.keys, kTile);
  auto* scores = reinterpret_cast<float*>(run.scratch);
  float* tiles = scores + (row * kMostRows);
  const int64_t lost = run.window > 0 ? run.keys - run.queries - run.window + 1 : 0;
  const int64_t first_tile = most(run.first_key, most(lost, int64_t{0})) / kTile;
  const auto transpose = [&](const float* k, int64_t begin, int64_t first, int64_t end) {
    for (int64_t tile = most(first / kTile, first_tile); tile * kTile < end; ++tile) {
      transpose_keys(k + (((tile * kTile) - begin) * run.head_dim),
                     least(kTile, end - (tile * kTile)),
                     run.head_dim,
                     tiles + ((tile - first_tile) * kTile * run.head_dim));
    }
  };
  const bool split = run.tails_k != nullptr;
  Values values{run.v + offset, nullptr, split ? run.shared : run.keys};
  const bool kept = split && run.tiled;
  const KeyTiles keys{
      run.k + offset, kept ? run.shared / kTile : 0, tiles, first_tile, kTile * run.head_dim};
  if (!kept) {
    transpose(run.k + offset, 0, 0, least(values.shared, run.keys));
  }
  for (int64_t batch = 0; batch < run.batch; ++batch) {
    if (split) {
      const int64_t tail = group * run.tail_head;
      transpose(run.tails_k[batch] + tail, run.shared, run.shared, run.keys);
      values.tail = run.tails_v[batch] + tail;
    }
    attend_batch_row(run, batch, first_head, last_head, keys, values, scores, row);
  }
}

static inline void vec_attention(const AttentionRun& run) {
  const int64_t per = run.heads / run.kv_heads;
  for (int64_t head = run.first_head; head < run.last_head;) {
    const int64_t next = least((head / per * per) + per, run.last_head);
    attend_group(run, head, next);
    head = next;
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_ATTENTION_H_
