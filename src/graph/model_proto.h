// A Graph as an ONNX ModelProto without the bytes of its weights.
#ifndef LORAPRESS_GRAPH_MODEL_PROTO_H_
#define LORAPRESS_GRAPH_MODEL_PROTO_H_

#include "graph/graph.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// ir_version, opset_import, producer, nodes, inputs, outputs and value_info; no initializers.
onnx::ModelProto model_proto(const Graph& graph);
void set_type(const TensorType& type, onnx::TypeProto* proto);
// Not for bodies, whose nodes refer to values of a graph.
void set_attribute(const Attribute& attribute, onnx::AttributeProto* proto);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_MODEL_PROTO_H_
