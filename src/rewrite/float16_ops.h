// How single operators behave in float16: the lists of operators.
#ifndef LORAPRESS_REWRITE_FLOAT16_OPS_H_
#define LORAPRESS_REWRITE_FLOAT16_OPS_H_

#include <string_view>

#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// True for operators of ai.onnx.
bool is_standard(const onnx::NodeProto& node);
// Operators with a float16 form that every runtime has. The others are the block list of
// onnxruntime/python/tools/transformers/float16.py (DEFAULT_OP_BLOCK_LIST) and operators that
// quantize.
bool has_half_form(const onnx::NodeProto& node);
// Elementwise arithmetic, comparisons, products, and operators that move or select values.
bool is_simple(const onnx::NodeProto& node);
// Powers, sums, means, roots and exponentials.
bool is_statistic(const onnx::NodeProto& node);
// Add, Sub, Mul and Div, which join a statistic with the values it was computed from.
bool is_arithmetic(const onnx::NodeProto& node);
// Operators that read the type or the shape, or convert.
bool takes_any_type(const onnx::NodeProto& node);
// Operators that only move values: the output holds input values in another shape or order.
bool only_moves(const onnx::NodeProto& node);
// Products and convolutions, which sum many weights, and lookups, which read rows.
bool is_product(const onnx::NodeProto& node);
// Comparisons of two values.
bool compares(const onnx::NodeProto& node);
// True if an output is never float, whatever the inputs are.
bool gives_no_float(const onnx::NodeProto& node, int output);

// Inputs and outputs that are float32 by the operator's definition, whatever the other types are.
bool input_stays_float(const onnx::NodeProto& node, int input);
bool output_stays_float(const onnx::NodeProto& node, int output);
// Operators that only move, select, bound or add values, through which a large negative fill
// passes.
bool carries_fill(const onnx::NodeProto& node);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_FLOAT16_OPS_H_
