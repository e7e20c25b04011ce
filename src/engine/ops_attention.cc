// Attention as ONNX Runtime's operators have it.
#include <algorithm>
#include <cmath>

#include "engine/attention.h"
#include "engine/ops.h"

namespace lorapress::engine {
namespace {

// Attributes of GroupQueryAttention in ops.cc's table.
enum { kHeads, kKvHeads, kDoRotary, kInterleaved, kScale };

// Keys or values of all heads, [kv_heads, keys, head_dim], from rows that hold all heads.
Tensor heads_first(Workers& workers, Pool& pool, const AttentionHeads& run, const float* rows) {
  Tensor packed(pool, Type::kF32, Dims{run.kv_heads, run.keys, run.head_dim});
  for_parts(workers, run.kv_heads, [&](int64_t head, unsigned) {
    float* to = packed.floats() + head * run.keys * run.head_dim;
    for (int64_t j = 0; j < run.keys; ++j) {
      std::copy_n(rows + head * run.kv_head + j * run.kv_row, run.head_dim, to + j * run.head_dim);
    }
  });
  return packed;
}

// Where q, k and v of the new positions lie: packed behind each other, or three inputs.
struct NewHeads {
  const float* q;
  const float* k;
  const float* v;
  int64_t q_row;
  int64_t kv_row;
};

NewHeads new_heads(const Call& call, int64_t q_width, int64_t kv_width) {
  const Tensor& query = call.in(0);
  call.require(query.dims().rank() == 3, "a query of other than 3 dimensions");
  if (!call.has(1)) {
    const int64_t row = q_width + 2 * kv_width;
    call.require(query.dims()[2] == row, "a packed query of another width");
    const float* q = query.floats();
    return {q, q + q_width, q + q_width + kv_width, row, row};
  }
  const Dims wanted{query.dims()[0], query.dims()[1], kv_width};
  call.require(call.has(2) && call.in(1).dims() == wanted && call.in(2).dims() == wanted &&
                   query.dims()[2] == q_width,
               "keys or values of another shape");
  return {call.in(0).floats(), call.in(1).floats(), call.in(2).floats(), q_width, kv_width};
}

// `count` numbers of one position, heads of `width`, rotated into `to`; copied where there are no tables.
void rotate_row(const float* x,
                float* to,
                int64_t count,
                int64_t width,
                const float* cos,
                const float* sin,
                bool interleaved) {
  if (cos == nullptr) {
    std::copy_n(x, count, to);
    return;
  }
  const int64_t half = width / 2;
  const int64_t step = interleaved ? 2 : 1;
  const int64_t second = interleaved ? 1 : half;
  for (int64_t head = 0; head < count; head += width) {
    for (int64_t d = 0; d < half; ++d) {
      const int64_t at = head + d * step;
      const float a = x[at];
      const float b = x[at + second];
      to[at] = a * cos[d] - b * sin[d];
      to[at + second] = b * cos[d] + a * sin[d];
    }
  }
}

// The cache with room for `total` positions: the past's own memory where it has room, else a copy.
Tensor with_room(const Call& call, int index, int64_t total) {
  const Tensor& past = call.in(index);
  Dims dims = past.dims();
  const int64_t before = dims[2];
  dims[2] = std::max(total, before);
  if (past.capacity() != 0) {
    call.require(dims[2] <= past.shared().positions + past.capacity(), "a cache that is full");
    return past.with_capacity(dims, past.capacity());
  }
  const Tensor present(call.run.pool, Type::kF32, dims);
  const int64_t from = before * dims[3];
  const int64_t to = dims[2] * dims[3];
  for (int64_t head = 0; head < dims[0] * dims[1]; ++head) {
    std::copy_n(past.floats() + head * from, from, present.floats() + head * to);
    std::fill(present.floats() + head * to + from, present.floats() + (head + 1) * to, 0.0F);
  }
  return present;
}

}  // namespace

void attend(const Call& call, const AttentionHeads& heads) {
  call.require(heads.head_dim <= 1024, "heads of more than 1024 numbers");
  Pool& pool = call.run.pool;
  Workers& workers = call.workers();
  kernels::AttentionRun run;
  run.q = heads.q;
  run.q_row = heads.q_row;
  run.q_head = run.out_head = heads.q_head == 0 ? heads.head_dim : heads.q_head;
  run.k = heads.k;
  run.v = heads.v;
  run.kv_head = heads.kv_head;
  Tensor keys;
  Tensor values;
  if (heads.kv_row != heads.head_dim) {
    keys = heads_first(workers, pool, heads, heads.k);
    values = heads_first(workers, pool, heads, heads.v);
    run.k = keys.floats();
    run.v = values.floats();
    run.kv_head = heads.keys * heads.head_dim;
  }
  run.out = heads.out;
  run.out_row = heads.out_row;
  run.mask = heads.mask;
  run.mask_row = heads.mask_row;
  run.mask_head = heads.mask_head;
  run.heads = heads.heads;
  run.kv_heads = heads.kv_heads;
  run.head_dim = heads.head_dim;
  run.queries = heads.queries;
  run.keys = heads.keys;
  run.causal = heads.causal;
  run.scale = heads.scale;
  run.tails_k = heads.tails_k;
  run.tails_v = heads.tails_v;
  run.batch = heads.batch;
  run.batch_row = heads.batch_row;
  run.shared = heads.shared;
  run.tail_head = heads.tail_head;
  run.tiled = heads.tiled;
  // Heads that share keys are one part where there are few rows or a batch shares them, too: their keys are transposed once.
  const int64_t group = heads.heads / heads.kv_heads;
  const bool together = workers.count() == 1 || group * heads.queries <= 6 || heads.batch > 1;
  const int64_t step = together ? group : 1;
  const size_t scratch =
      (kernels::attention_scratch_bytes(heads.keys, heads.head_dim) + 63) / 64 * 64;
  const Tensor memory(
      pool, Type::kU8, Dims{static_cast<int64_t>(scratch) * int64_t{workers.count()} + 64});
  for_parts(workers, heads.heads / step, [&](int64_t index, unsigned worker) {
    kernels::AttentionRun part = run;
    part.first_head = index * step;
    part.last_head = (index + 1) * step;
    part.scratch = memory.data() + scratch * worker;
    call.run.kernels->attention(part);
  });
}

namespace ops {

// query (packed or with key, value), past_key, past_value [batch, kv_num_heads, past, head_dim],
// seqlens_k [batch]: the index of each row's last token, total_sequence_length [], (cos_cache, sin_cache
// [positions, head_dim / 2]) -> output, present_key, present_value. In a call that has all tokens, rows
// begin at 0; in others, new tokens are the last of their row (group_query_attention.cc of ONNX Runtime).
void group_query_attention(Call& call) {
  const int64_t heads = call.integer(kHeads);
  const int64_t kv_heads = call.integer(kKvHeads);
  call.require(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "heads that do not group");
  const Dims& past = call.in(3).dims();
  call.require(past.rank() == 4 && past[1] == kv_heads && past[3] > 0 &&
                   call.in(4).dims() == past && past[3] <= 4096,
               "a past of another shape");
  const int64_t width = past[3];
  call.require(call.integer(kDoRotary) == 0 || width % 2 == 0, "heads of an odd width");
  const NewHeads fresh = new_heads(call, heads * width, kv_heads * width);
  const int64_t batch = call.in(0).dims()[0];
  const int64_t queries = call.in(0).dims()[1];
  call.require(past[0] == batch && call.in(5).count() == batch && call.in(6).count() == 1,
               "lengths of another shape");
  const int64_t total = *call.in(6).as<int32_t>();
  call.require(total >= queries && total - queries <= past[2], "a past that is too short");
  const Tensor keys = with_room(call, 3, total);
  const Tensor values = with_room(call, 4, total);
  const Tensor::Shared& shared = keys.shared();
  const int64_t room = keys.capacity() != 0 ? keys.capacity() : keys.dims()[2];
  call.require(
      values.capacity() == keys.capacity() && values.shared().positions == shared.positions,
      "keys and values of two capacities");
  const Tensor out = call.out(0, Type::kF32, Dims{batch, queries, heads * width});
  const bool rotates = call.integer(kDoRotary) != 0;
  const bool interleaved = call.integer(kInterleaved) != 0;
  call.require(
      !rotates || (call.has(7) && call.has(8) && call.in(7).dims().rank() == 2 &&
                   call.in(7).dims()[1] == width / 2 && call.in(8).dims() == call.in(7).dims()),
      "rotary tables of another shape");
  const Tensor q(call.run.pool, Type::kF32, Dims{batch, queries, heads * width});
  const int64_t most = shared.positions + room;
  const auto begin_of = [&](int64_t row) {
    const int64_t length = int64_t{call.in(5).as<int32_t>()[row]} + 1;
    const int64_t begin = queries == total ? 0 : length - queries;
    call.require(
        begin >= shared.positions && begin + queries <= most && begin <= past[2] && length <= total,
        "lengths that do not fit the past");
    call.require(!rotates || begin + queries <= call.in(7).dims()[0],
                 "a position behind the rotary tables");
    return begin;
  };
  const Tensor places(call.run.pool, Type::kI64, Dims{batch});
  int64_t* const begins = places.integers();
  for (int64_t row = 0; row < batch; ++row) {
    begins[row] = begin_of(row);
  }
  for_range(call.workers(), batch * queries, 16, [&](int64_t first, int64_t last) {
    for (int64_t at = first; at < last; ++at) {
      const int64_t row = at / queries;
      const int64_t place = begins[row] + at % queries;
      const float* cos = rotates ? call.in(7).floats() + place * width / 2 : nullptr;
      const float* sin = rotates ? call.in(8).floats() + place * width / 2 : nullptr;
      rotate_row(fresh.q + at * fresh.q_row,
                 q.floats() + at * heads * width,
                 heads * width,
                 width,
                 cos,
                 sin,
                 interleaved);
      for (int64_t g = 0; g < kv_heads; ++g) {
        const int64_t to = ((row * kv_heads + g) * room + place - shared.positions) * width;
        const int64_t from = at * fresh.kv_row + g * width;
        rotate_row(fresh.k + from, keys.floats() + to, width, width, cos, sin, interleaved);
        std::copy_n(fresh.v + from, width, values.floats() + to);
      }
    }
  });
  // Rows that share their first keys are one run.
  const int64_t group = shared.data == nullptr ? 1 : shared.rows;
  const Tensor tails(call.run.pool, Type::kI64, Dims{2, batch});  // addresses
  const auto** const tails_k = tails.as<const float*>();
  const auto** const tails_v = tails_k + batch;
  for (int64_t row = 0; row < batch; row += group) {
    AttentionHeads run;
    run.q = q.floats() + row * queries * heads * width;
    run.q_row = heads * width;
    run.k = keys.floats() + row * kv_heads * room * width;
    run.v = values.floats() + row * kv_heads * room * width;
    run.kv_head = room * width;
    run.kv_row = width;
    if (shared.data != nullptr) {
      for (int64_t i = row; i < row + group; ++i) {
        call.require(i < batch && begins[i] == begins[row],
                     "rows of several lengths that share a past");
        tails_k[i - row] = keys.floats() + i * kv_heads * room * width;
        tails_v[i - row] = values.floats() + i * kv_heads * room * width;
      }
      const int64_t image = row / group * kv_heads * shared.room * width;
      run.k = shared.data + image;
      run.v = values.shared().data + image;
      run.kv_head = shared.room * width;
      run.tails_k = tails_k;
      run.tails_v = tails_v;
      run.batch = group;
      run.batch_row = queries * heads * width;
      run.shared = shared.positions;
      run.tail_head = room * width;
      run.tiled = shared.tiled;
    }
    run.out = out.floats() + row * queries * heads * width;
    run.out_row = heads * width;
    run.heads = heads;
    run.kv_heads = kv_heads;
    run.head_dim = width;
    run.queries = queries;
    run.keys = begins[row] + queries;
    run.causal = true;
    run.scale = call.number(kScale) != 0.0F ? call.number(kScale)
                                            : 1.0F / std::sqrt(static_cast<float>(width));
    attend(call, run);
  }
  call.set(1, keys);
  call.set(2, values);
}

// query, key, value [batch, tokens, heads * head_dim], -, -, (attention_bias that broadcasts to [batch,
// heads, tokens, tokens]) -> output
void multi_head_attention(Call& call) {
  const int64_t heads = call.integer(0);
  const Dims& dims = call.in(0).dims();
  call.require(!call.has(3) && !call.has(4), "a bias or a mask of keys");
  call.require(dims.rank() == 3 && heads > 0 && dims[2] % heads == 0, "a query of another shape");
  const Dims& kv = call.in(1).dims();
  call.require(kv.rank() == 3 && kv[0] == dims[0] && kv[2] == dims[2] && call.in(2).dims() == kv,
               "keys or values of another shape");
  const int64_t width = dims[2] / heads;
  const Tensor out = call.out(0, Type::kF32, dims);
  const bool biased = call.has(5);
  Dims bias;
  if (biased) {
    bias = call.in(5).dims();
    call.require(bias.rank() == 4 && (bias[0] == 1 || bias[0] == dims[0]) &&
                     (bias[1] == 1 || bias[1] == heads) && (bias[2] == 1 || bias[2] == dims[1]) &&
                     bias[3] == kv[1],
                 "an attention_bias of another shape");
  }
  for (int64_t row = 0; row < dims[0]; ++row) {
    AttentionHeads run;
    run.q = call.in(0).floats() + row * dims[1] * dims[2];
    run.out = out.floats() + row * dims[1] * dims[2];
    run.q_row = run.out_row = run.kv_row = dims[2];
    run.k = call.in(1).floats() + row * kv[1] * kv[2];
    run.v = call.in(2).floats() + row * kv[1] * kv[2];
    run.kv_head = width;
    run.heads = run.kv_heads = heads;
    run.head_dim = width;
    run.queries = dims[1];
    run.keys = kv[1];
    if (biased) {
      const int64_t matrix = bias[2] * bias[3];
      run.mask = call.in(5).floats() + (bias[0] == 1 ? 0 : row * bias[1] * matrix);
      run.mask_head = bias[1] == 1 ? 0 : matrix;
      run.mask_row = bias[2] == 1 ? 0 : bias[3];
    }
    run.scale =
        call.number(1) != 0.0F ? call.number(1) : 1.0F / std::sqrt(static_cast<float>(width));
    attend(call, run);
  }
}

}  // namespace ops
}  // namespace lorapress::engine
