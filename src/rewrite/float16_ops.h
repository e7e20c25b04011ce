// What float16 means for single operators: one place for the lists of them.
#ifndef LORAPRESS_REWRITE_FLOAT16_OPS_H_
#define LORAPRESS_REWRITE_FLOAT16_OPS_H_

#include <string_view>

#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Of ai.onnx.
bool is_standard(const onnx::NodeProto& node);
// Operators with a float16 form that every runtime has. The others are the block list of
// onnxruntime/python/tools/transformers/float16.py (DEFAULT_OP_BLOCK_LIST) and what quantizes.
bool has_half_form(const onnx::NodeProto& node);
// Arithmetic of single values, comparisons, products, and what moves or selects.
bool is_simple(const onnx::NodeProto& node);
// Powers, sums, means, roots and exponentials.
bool is_statistic(const onnx::NodeProto& node);
// Those that join a statistic with the values it was taken of.
bool is_arithmetic(const onnx::NodeProto& node);
// Read the type or the shape, or convert.
bool takes_any_type(const onnx::NodeProto& node);
// Only move values: what goes in comes out, in another shape.
bool only_moves(const onnx::NodeProto& node);
// Products, convolutions and lookups: of a sum of many weights, or of rows.
bool is_product(const onnx::NodeProto& node);
// True or false by the order of two values.
bool compares(const onnx::NodeProto& node);
// Whether an output is never float, whatever comes in.
bool gives_no_float(const onnx::NodeProto& node, int output);

// Inputs and outputs that are float32 by the operator's definition, whatever the others are.
bool input_stays_float(const onnx::NodeProto& node, int input);
bool output_stays_float(const onnx::NodeProto& node, int output);
// Operators that only move, select, bound or add values, through which a large negative fill
// passes.
bool carries_fill(const onnx::NodeProto& node);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_FLOAT16_OPS_H_
