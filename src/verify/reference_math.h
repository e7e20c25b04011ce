// The layers of the reference forward: what torch.nn and transformers compute, on Rows of float or
// double; the weights are float32 either way.
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

// The listener and the arithmetic, shared by both towers.
struct Context {
  unsigned threads = 0;
  std::function<void()> on_layer;
  LinearInputFn listener;   // of the float forward
  bool as_float16 = false;  // linear layers round weights, inputs and outputs; float forward only

  void layer_done() const {
    if (on_layer) {
      on_layer();
    }
  }
};

// torch.nn.Linear: x W^T + b.
template <typename T>
BasicRows<T> linear(const Context& context, const Linear& layer, const BasicRows<T>& x);
// torch.nn.LayerNorm over the columns.
template <typename T>
BasicRows<T> layer_norm(const Norm& norm, const BasicRows<T>& x);
// LlamaRMSNorm: w * x / sqrt(mean(x^2) + eps).
template <typename T>
BasicRows<T> rms_norm(const Norm& norm, const BasicRows<T>& x);
// x += y
template <typename T>
void add(BasicRows<T>& x, const BasicRows<T>& y);
// torch.nn.GELU(approximate="tanh") and the exact one, in place.
template <typename T>
void gelu_tanh(const Context& context, BasicRows<T>& x);
template <typename T>
void gelu_erf(const Context& context, BasicRows<T>& x);
// transformers' QuickGELUActivation: x sigmoid(1.702 x), in place.
template <typename T>
void gelu_quick(const Context& context, BasicRows<T>& x);
// silu(gate) * up, into gate.
template <typename T>
void silu_times(const Context& context, BasicRows<T>& gate, const BasicRows<T>& up);

// One sequence's part of the matrices of an attention layer; heads lie side by side in a row.
template <typename T>
struct AttentionPart {
  const T* query = nullptr;  // [rows, heads * head_dim]
  const T* key = nullptr;    // [total, kv_heads * head_dim]
  const T* value = nullptr;  // as key
  T* out = nullptr;          // [rows, heads * head_dim]
  int64_t rows = 0;
  int64_t total = 0;
};
struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // query head h reads key head h / (heads / kv_heads): repeat_kv
  int64_t head_dim = 0;
  bool causal =
      false;           // the rows are the last of the total positions; each sees those up to itself
  int64_t window = 0;  // causal: of which the last so many; 0: all
};
// softmax(q k^T / sqrt(head_dim)) v (eager_attention_forward).
template <typename T>
void attend(const Context& context,
            const AttentionShape& shape,
            const std::vector<AttentionPart<T>>& parts);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_MATH_H_
