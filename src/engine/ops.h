// The functions of the operators; ops.cc has the table. Each is as onnx/docs/Operators.md or
// onnxruntime/docs/ContribOperators.md describes it.
#ifndef LORAPRESS_ENGINE_OPS_H_
#define LORAPRESS_ENGINE_OPS_H_

#include "engine/op.h"

namespace lorapress::engine::ops {

// ops_elementwise.cc
void add(Call& call);
void sub(Call& call);
void mul(Call& call);
void div(Call& call);
void mod(Call& call);
void max(Call& call);
void min(Call& call);
void pow(Call& call);
void equal(Call& call);
void greater(Call& call);
void less(Call& call);
void less_or_equal(Call& call);
void logical_and(Call& call);
void logical_or(Call& call);
void where(Call& call);

// ops_unary.cc
void abs(Call& call);
void cast(Call& call);
void clip(Call& call);
void cos(Call& call);
void erf(Call& call);
void fast_gelu(Call& call);
void floor(Call& call);
void gelu(Call& call);
void logical_not(Call& call);
void quick_gelu(Call& call);
void relu(Call& call);
void sigmoid(Call& call);
void sin(Call& call);
void sqrt(Call& call);
void tanh(Call& call);

// ops_shape.cc
void concat(Call& call);
void expand(Call& call);
void range(Call& call);
void reshape(Call& call);
void shape(Call& call);
void slice(Call& call);
void split(Call& call);
void squeeze(Call& call);
void transpose(Call& call);
void unsqueeze(Call& call);

// ops_gather.cc
void gather(Call& call);
void gather_elements(Call& call);
void gather_nd(Call& call);
void non_zero(Call& call);
void scatter_elements(Call& call);
void top_k(Call& call);

// ops_reduce.cc
void arg_max(Call& call);
void cum_sum(Call& call);
void layer_normalization(Call& call);
void log_softmax(Call& call);
void reduce_max(Call& call);
void reduce_mean(Call& call);
void reduce_min(Call& call);
void reduce_sum(Call& call);
void skip_rms_norm(Call& call);
void softmax(Call& call);

// ops_product.cc
void dynamic_quantize(Call& call);
void gemm(Call& call);
void matmul(Call& call);
void matmul_bnb4(Call& call);
void matmul_integer(Call& call);
void matmul_nbits(Call& call);

// ops_attention.cc
void group_query_attention(Call& call);
void multi_head_attention(Call& call);

// steps.cc
void if_else(Call& call);
void loop(Call& call);

}  // namespace lorapress::engine::ops

#endif  // LORAPRESS_ENGINE_OPS_H_
