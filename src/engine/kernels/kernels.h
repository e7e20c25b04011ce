// The engine's kernels: one table, a row for each instruction set. Every kernel gives the same bits
// in every set: products of integers are exact, sums of floats have a fixed order that does not
// depend on the width of vectors, multiplications and additions are never fused, and exp, erf and
// tanh are polynomials of this folder. Kernels allocate nothing, throw nothing and call no other
// thread; each computes a range of its output, so that any pool can split it.
#ifndef LORAPRESS_ENGINE_KERNELS_KERNELS_H_
#define LORAPRESS_ENGINE_KERNELS_KERNELS_H_

#include "engine/kernels/linear.h"

namespace lorapress::kernels {

// Attention of `queries` new positions over `keys` positions of a cache, for heads first_head <= h <
// last_head of the queries. Head h reads the head h / (heads / kv_heads) of keys and values. Rotary
// is applied before (KernelSet::rotate), new keys and values lie in the cache.
//   s[j] = (sum over d in order of q[d] * k[j, d]) * scale + mask[j];  p = softmax(s) as KernelSet::softmax;
//   out[d] = sum over j in order of p[j] * v[j, d].
// Query i sees the keys j with
//   first_key <= j,  j <= keys - queries + i where causal,  j > keys - queries + i - window where window > 0.
// A query that sees no key gives zeros.
struct AttentionRun {
  const float* q = nullptr;  // q[i * q_row + h * q_head + d]
  int64_t q_row = 0;
  int64_t q_head = 0;
  const float* k = nullptr;  // k[g * kv_head + j * head_dim + d]: [kv_heads, positions, head_dim]
  const float* v = nullptr;
  int64_t kv_head = 0;
  float* out = nullptr;  // as q
  int64_t out_row = 0;
  int64_t out_head = 0;
  const float* mask = nullptr;  // mask[h * mask_head + i * mask_row + j], added, or null
  int64_t mask_row = 0;         // 0: one row for all queries
  int64_t mask_head = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // 1 to 1024
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t first_key = 0;
  int64_t window = 0;
  bool causal = false;
  float scale = 1.0F;
  int64_t first_head = 0;
  int64_t last_head = 0;
  std::byte* scratch = nullptr;  // attention_scratch_bytes, aligned, for this thread alone
  // Rows of a batch that have the keys j < shared in common, at k and v: row b has its queries at q + b *
  // batch_row, its output at out + b * batch_row, and its keys j >= shared at tails_k[b][g * tail_head + (j -
  // shared) * head_dim + d]. `shared` is a multiple of kTile. Null: one row, all keys are at k and v.
  const float* const* tails_k = nullptr;
  const float* const* tails_v = nullptr;
  int64_t batch = 1;
  int64_t batch_row = 0;
  int64_t shared = 0;
  int64_t tail_head = 0;
  // With tails: key j < shared is at k[g * kv_head + (j / kTile * head_dim + d) * kTile + j % kTile], as tile_keys puts it.
  bool tiled = false;
};
// kTile keys [kTile, head_dim] as a tile [head_dim, kTile] of AttentionRun::tiled, in other memory.
void tile_keys(const float* keys, int64_t head_dim, float* to);
size_t attention_scratch_bytes(int64_t keys, int64_t head_dim);

// Norms of rows [rows, width]; sums have the order of `ordered_sum` (math.h).
//   layer norm: y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * gamma + beta
//   RMS norm:   y = x / sqrt(mean(x^2) + epsilon) * gamma
// With `residual`, x is x + residual, and `sum`, if not null, gets it. y and sum may be x or residual.
struct NormRun {
  const float* x = nullptr;  // [rows, width], as all others
  const float* residual = nullptr;
  float* sum = nullptr;
  float* y = nullptr;
  const float* gamma = nullptr;  // [width]; null: 1
  const float* beta = nullptr;   // [width]; null: 0
  int64_t rows = 0;
  int64_t width = 0;
  float epsilon = 0.0F;
};

// Rotation of heads in place, for a row of positions:
//   halves:      (a, b) = (x[d], x[d + n]),      interleaved: (a, b) = (x[2 d], x[2 d + 1]),   d < n
//   a' = a cos[d] - b sin[d],  b' = b cos[d] + a sin[d];  elements behind 2 n stay.
struct RotaryRun {
  float* x = nullptr;  // x[i * x_row + h * x_head + d]
  int64_t x_row = 0;
  int64_t x_head = 0;
  const float* cos = nullptr;  // [rows, table_row]: the rows of these positions
  const float* sin = nullptr;
  int64_t table_row = 0;
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t half = 0;  // n
  bool interleaved = false;
};

enum class Activation : uint8_t { kGeluErf, kGeluTanh, kQuickGelu, kSilu, kRelu, kTanh, kSigmoid };

// How a set multiplies integers, which decides the form of rows.
enum class Products : uint8_t {
  k8,       // 8 bit by 8 bit into 32: every weight
  k7,       // the same, weights of 0..127
  kPairs8,  // pairs of products in 16 bits: weights of 0..128
  kPairs7,  // in 16 bits, weights of 0..127
  k16,      // 16 bit by 16 bit
};

struct KernelSet {
  const char* name;     // "scalar", "avx2", ...
  bool (*runs_here)();  // what this processor has
  Products products;
  // Rows first <= r < last of x [rows, x_stride] into `quantized`; first is a multiple of 4.
  void (*quantize)(const float* x,
                   int64_t x_stride,
                   const QuantizedRows& quantized,
                   int64_t first,
                   int64_t last);
  void (*run_linear)(const LinearRun& run);
  void (*attention)(const AttentionRun& run);
  void (*layer_norm)(const NormRun& run);
  void (*rms_norm)(const NormRun& run);
  void (*rotate)(const RotaryRun& run);
  // y[i] = activation(x[i]); y may be x.
  void (*activate)(Activation activation, const float* x, float* y, int64_t count);
  // Each row of x [rows, width]: exp(x - max) / sum; y may be x. A row without a number above -inf
  // gives NaN, as ONNX's Softmax does.
  void (*softmax)(const float* x, float* y, int64_t rows, int64_t width);
  // Rows `ids` of a packed table [outputs, inputs], restored: (q - zero) * scale, into y [count, y_stride].
  // REQUIRES: 0 <= ids < outputs.
  void (*gather)(
      const PackedLinear& table, const int64_t* ids, int64_t count, float* y, int64_t y_stride);
  // The first index of the largest number; a NaN is never the largest. 0 where there is none.
  int64_t (*argmax)(const float* x, int64_t count);
};

// All sets that this build has, the slowest (scalar) first.
struct KernelSets {
  const KernelSet* const* sets;
  size_t count;
};
KernelSets kernel_sets();

// The fastest set that runs here.
const KernelSet& best_kernel_set();
// By name; null where this build has none of the name or it does not run here.
const KernelSet* find_kernel_set(const char* name);

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_KERNELS_H_
