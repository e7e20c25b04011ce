// The layers of the reference forward: what torch.nn and transformers compute, on Rows.
#ifndef LORAPRESS_VERIFY_REFERENCE_MATH_H_
#define LORAPRESS_VERIFY_REFERENCE_MATH_H_

#include <string>

#include "checkpoint/checkpoint.h"
#include "verify/reference.h"

namespace lorapress::reference {

struct Linear {
  std::string name;  // without ".weight"
  WeightPtr weight;  // [out_features, in_features]; a convolution's further dimensions are columns
  WeightPtr bias;    // [out_features] or null
};
Linear take_linear(WeightTaker& weights,
                   const std::string& name,
                   int64_t out_features,
                   int64_t in_features,
                   bool biased);

struct Norm {
  WeightPtr weight;
  WeightPtr bias;  // null for RMSNorm
  double eps = 0.0;
};

// Whom to tell and how to compute; shared by both towers.
struct Context {
  unsigned threads = 0;
  std::function<void()> on_layer;
  LinearInputFn listener;

  void layer_done() const {
    if (on_layer) {
      on_layer();
    }
  }
};

// torch.nn.Linear: x W^T + b.
Rows linear(const Context& context, const Linear& layer, const Rows& x);
// torch.nn.LayerNorm over the columns.
Rows layer_norm(const Norm& norm, const Rows& x);
// LlamaRMSNorm: w * x / sqrt(mean(x^2) + eps).
Rows rms_norm(const Norm& norm, const Rows& x);
// x += y
void add(Rows& x, const Rows& y);
// torch.nn.GELU(approximate="tanh") and the exact one, in place.
void gelu_tanh(const Context& context, Rows& x);
void gelu_erf(const Context& context, Rows& x);
// silu(gate) * up, into gate.
void silu_times(const Context& context, Rows& gate, const Rows& up);

// One sequence's part of the matrices of an attention layer; heads lie side by side in a row.
struct AttentionPart {
  const float* query = nullptr;  // [rows, heads * head_dim]
  const float* key = nullptr;    // [total, kv_heads * head_dim]
  const float* value = nullptr;  // the same
  float* out = nullptr;          // [rows, heads * head_dim]
  int64_t rows = 0;
  int64_t total = 0;
};
struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // query head h reads key head h / (heads / kv_heads): repeat_kv
  int64_t head_dim = 0;
  bool causal =
      false;  // the rows are the last of the total positions; each sees those up to itself
};
// softmax(q k^T / sqrt(head_dim)) v, in float32 (eager_attention_forward).
void attend(const Context& context,
            const AttentionShape& shape,
            const std::vector<AttentionPart>& parts);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_MATH_H_
