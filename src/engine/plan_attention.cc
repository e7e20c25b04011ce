// Attention and rotary embeddings as plans have them, of what the standard dialect composes.
#include <algorithm>

#include "engine/attention.h"
#include "engine/linear.h"

namespace lorapress::engine {
namespace {

// q [batch, heads, rows, width], k and v [batch, heads, keys, width], (mask that broadcasts to [batch, heads,
// rows, keys]) -> as q. The rows of a head may be those of several query heads.
void run_attention(Call& call) {
  const Dims& q = call.in(0).dims();
  const Dims& k = call.in(1).dims();
  call.require(q.rank() == 4 && k.rank() == 4 && call.in(2).dims() == k && k[0] == q[0] &&
                   k[1] == q[1] && k[3] == q[3],
               "queries, keys and values of shapes that do not belong together");
  const Tensor out = call.out(0, Type::kF32, q);
  Dims mask{1, 1, 1, k[2]};
  if (call.has(3)) {
    mask = call.in(3).dims();
    call.require(mask.rank() <= 4, "a mask of more than 4 dimensions");
    while (mask.rank() < 4) {
      mask.insert(0, 1);
    }
    for (int axis = 0; axis < 3; ++axis) {
      call.require(mask[axis] == 1 || mask[axis] == q[axis], "a mask of another shape");
    }
    call.require(mask[3] == k[2], "a mask of another shape");
  }
  const int64_t matrix = mask[2] * mask[3];
  for (int64_t row = 0; row < q[0]; ++row) {
    AttentionHeads run;
    run.q = call.in(0).floats() + row * q[1] * q[2] * q[3];
    run.out = out.floats() + row * q[1] * q[2] * q[3];
    run.q_row = run.out_row = run.kv_row = q[3];
    run.q_head = q[2] * q[3];
    run.k = call.in(1).floats() + row * k[1] * k[2] * k[3];
    run.v = call.in(2).floats() + row * k[1] * k[2] * k[3];
    run.kv_head = k[2] * k[3];
    run.heads = run.kv_heads = q[1];
    run.head_dim = q[3];
    run.queries = q[2];
    run.keys = k[2];
    if (call.has(3)) {
      run.mask = call.in(3).floats() + (mask[0] == 1 ? 0 : row * mask[1] * matrix);
      run.mask_head = mask[1] == 1 ? 0 : matrix;
      run.mask_row = mask[2] == 1 ? 0 : mask[3];
    }
    run.scale = call.number(0);
    attend(call, run);
  }
}

// x [batch, positions, heads, width], cos and sin [(batch), positions, 1, half].
void run_rotary(Call& call) {
  const Tensor& x = call.in(0);
  const Dims& dims = x.dims();
  const Dims& table = call.in(1).dims();
  call.require(dims.rank() == 4 && table.rank() >= 3 && table == call.in(2).dims() &&
                   table.back(2) == 1 && 2 * table.back() <= dims[3],
               "rotary tables of another shape");
  const int64_t half = table.back();
  const bool each = table.rank() == 4 && table[0] == dims[0];
  call.require(table.count() == (each ? dims[0] : 1) * dims[1] * half,
               "rotary tables of another number of positions");
  const Tensor out = call.out(0, Type::kF32, dims);
  const int64_t width = dims[2] * dims[3];
  for_range(call.workers(), dims[0] * dims[1], 16, [&](int64_t first, int64_t last) {
    std::copy_n(x.floats() + first * width, (last - first) * width, out.floats() + first * width);
    for (int64_t row = first; row < last; ++row) {
      kernels::RotaryRun run;
      run.x = out.floats() + row * width;
      run.x_row = width;
      run.x_head = dims[3];
      const int64_t at = (each ? row : row % dims[1]) * half;
      run.cos = call.in(1).floats() + at;
      run.sin = call.in(2).floats() + at;
      run.table_row = half;
      run.rows = 1;
      run.heads = dims[2];
      run.half = half;
      call.run.kernels->rotate(run);
    }
  });
}

}  // namespace

const OpRow kAttentionRow{"engine",
                          "Attention",
                          3,
                          4,
                          1,
                          {kFloats},
                          OutputTypes::kFirst,
                          {{"scale", AttributeKind::kNumber, 0, 1.0F}},
                          run_attention};
const OpRow kRotaryRow{"engine", "Rotary", 3, 3, 1, {kFloats}, OutputTypes::kFirst, {}, run_rotary};

}  // namespace lorapress::engine
