// Attention of all heads of one row.
#ifndef LORAPRESS_ENGINE_ATTENTION_H_
#define LORAPRESS_ENGINE_ATTENTION_H_

#include "engine/op.h"

namespace lorapress::engine {

// out[i, h] = softmax(q[i, h] . k[g, j] * scale + mask[h, i, j]) over j, times v[g, j], where g = h /
// (heads / kv_heads). Where causal, query i sees the keys j <= keys - queries + i.
struct AttentionHeads {
  const float* q = nullptr;  // q[i * q_row + h * q_head + d]
  int64_t q_row = 0;
  const float* k = nullptr;  // k[g * kv_head + j * kv_row + d]
  const float* v = nullptr;
  int64_t kv_head = 0;
  int64_t kv_row = 0;
  float* out = nullptr;  // as q
  int64_t out_row = 0;
  int64_t q_head = 0;           // of q and out; 0: head_dim
  const float* mask = nullptr;  // mask[h * mask_head + i * mask_row + j], or null
  int64_t mask_head = 0;
  int64_t mask_row = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  bool causal = false;
  float scale = 1.0F;
  // Of a batch that shares its first keys, as kernels::AttentionRun has it.
  const float* const* tails_k = nullptr;
  const float* const* tails_v = nullptr;
  int64_t batch = 1;
  int64_t batch_row = 0;
  int64_t shared = 0;
  int64_t tail_head = 0;
  bool tiled = false;
};
void attend(const Call& call, const AttentionHeads& heads);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_ATTENTION_H_
