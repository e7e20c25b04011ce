// A Graph as an ONNX ModelProto without the bytes of its weights.
#ifndef LORAPRESS_GRAPH_MODEL_PROTO_H_
#define LORAPRESS_GRAPH_MODEL_PROTO_H_

#include "graph/graph.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// ir_version, opset_import, producer, nodes, inputs and outputs; no initializers.
onnx::ModelProto model_proto(const Graph& graph);
// name, data_type and dims; no data.
onnx::TensorProto tensor_proto(const Graph& graph, const Graph::Initializer& initializer);
void set_type(const TensorType& type, onnx::TypeProto* proto);

// Weights up to this size are written inside the graph whatever else is external: ONNX Runtime
// cannot parse shapes and axes from external data.
inline constexpr uint64_t kSmallTensor = 1024;

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_MODEL_PROTO_H_
