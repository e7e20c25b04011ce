// Self-attention: bidirectional for encoders, causal with grouped heads and a cache for decoders.
#ifndef LORAPRESS_BLOCKS_ATTENTION_H_
#define LORAPRESS_BLOCKS_ATTENTION_H_

#include <map>
#include <optional>
#include <span>
#include <string>

#include "blocks/decoder.h"
#include "blocks/linear.h"
#include "blocks/norm.h"
#include "blocks/padded_rows.h"
#include "blocks/rope.h"

namespace lorapress {

struct AttentionWeights {
  std::string name;  // of the module
  LinearWeights q;
  LinearWeights k;
  LinearWeights v;
  LinearWeights out;
  // q, k and v where they are stored as one: the rows of q, then those of k, then those of v.
  std::optional<LinearWeights> packed = {};
  NormWeights q_norm = {};  // where it has a weight: RMSNorm of each query head, [head_dim]
  NormWeights k_norm = {};  // and of each key head
};

// Which tokens of an encoder are padding, which no token sees.
struct PaddingMask {
  Value none;    // bool scalar: there is no padding, and the mask need not be added
  Value scores;  // float32 [batch, 1, 1, tokens]: 0, or the lowest float for padding
};

// x [batch, tokens, hidden] -> [batch, tokens, hidden], every token sees every token but `padding`.
Value encoder_attention(const Builder& b,
                        const std::string& scope,
                        const Value& x,
                        const AttentionWeights& weights,
                        int64_t num_heads,
                        const PaddingMask& padding = {});

struct CausalHeads {
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
};

// How one layer of a decoder sees positions. A query sees itself and, of the positions before it,
// all or the last window - 1 (transformers masking_utils.py, sliding_window_overlay).
struct CausalLayer {
  bool rotated = true;  // queries and keys, by the context's Rope
  int64_t window = 0;   // 0: all
  double scale = 0.0;   // of the scores; 0: 1 / sqrt(head_dim)
};

// Values that all layers of a decoder share in one call, for the positions [past, total). Which of
// them there are depends on the dialect and on the layers that the context was made for: "fused"
// are full layers of the fused dialect, "standard" all others.
struct CausalContext {
  CausalHeads heads;
  bool fused = false;    // full layers are
  PaddedRows rows;       // of a call with a mask; else absent
  RopeTables rope;       // fused, where whole heads are rotated: of all positions
  Value seqlens_k;       // fused: int32 [batch], total - 1
  Value total_length;    // fused: int32 scalar
  RopeTables call_rope;  // else: of this call's positions, for_heads()
  // standard, by window: float32 [group * sequence, total], with a mask [batch, 1, group * sequence,
  // total]; 0 or the lowest float
  std::map<int64_t, Value> mask;
};

// `hidden_states` [batch, sequence, hidden] and `past_key` [batch, kv_heads, past, head_dim] give
// the lengths; both are read with Shape. `rope` is needed where a layer is rotated. `layers` are
// those of all calls of causal_attention() with this context; empty means full layers only.
// `attention_mask` int64 [batch, total] says which positions are padding (blocks/padded_rows.h); absent:
// none. With it the hidden states are those of call_tokens(), and all layers are of one kind: standard
// where one is.
CausalContext causal_context(const Builder& b,
                             const std::string& scope,
                             const Value& hidden_states,
                             const Value& past_key,
                             const CausalHeads& heads,
                             const Rope& rope = {},
                             std::span<const CausalLayer> layers = {},
                             const Value& attention_mask = {});

// x [batch, sequence, n] in the order in which the context's layers want the tokens of a call.
Value call_tokens(const Builder& b,
                  const std::string& name,
                  const Value& x,
                  const CausalContext& context);
// The last token of each row, [batch, 1, n], of x [batch, sequence, n] in that order.
Value last_token(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const CausalContext& context);

struct CausalOutput {
  Value attended;    // [batch, sequence, num_attention_heads * head_dim], before the out projection
  KeyValue present;  // past and this call's positions, keys rotated where the layer is
};

// Full layers are GroupQueryAttention in the fused dialect. Windows are standard nodes in either:
// ONNX Runtime's local_window_size changed its meaning between versions. Heads of which a part is
// rotated are rotated in front of the node: WebGPU in onnxruntime-web's JavaScript (rotary-embedding.ts)
// takes the width of the node's tables for that of the heads.
CausalOutput causal_attention(const Builder& b,
                              const std::string& scope,
                              const Value& x,
                              const AttentionWeights& weights,
                              const KeyValue& past,
                              const CausalContext& context,
                              const CausalLayer& layer = {});

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_ATTENTION_H_
