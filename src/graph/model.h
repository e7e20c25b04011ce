// An ONNX model whose weights are lazy: what passes rewrite, the checker checks and the writer
// streams. Authored graphs and .onnx files both become one.
#ifndef LORAPRESS_GRAPH_MODEL_H_
#define LORAPRESS_GRAPH_MODEL_H_

#include <string>
#include <unordered_map>

#include "graph/graph.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Contract between reader, passes and writer:
//  - Initializers of the main graph are declared in `proto` by name, data_type and dims. Their bytes
//    are in `weights` under the same name; a declaration without an entry there carries its own data
//    (strings and other types that no Weight has).
//  - A name that is an input of the main graph, too, is that input's default: no constant, since
//    callers may feed something else.
//  - Bodies of If, Loop and Scan read the weights of the main graph by name, as ONNX scoping allows;
//    they have no initializers of their own. Names of values are unique over all graphs of the model.
//  - value_info holds the types that are known; it serves passes and is not written.
struct Model {
  onnx::ModelProto proto;
  std::unordered_map<std::string, WeightPtr> weights;
};

Model to_model(const Graph& graph);

// name, data_type and dims; no data.
onnx::TensorProto declare(const std::string& name, const Weight& weight);

// Version of a domain ("" is ai.onnx) in opset_import; 0 when it is not imported.
int64_t opset_of(const onnx::ModelProto& proto, std::string_view domain);

// What protobuf says of a tensor's type; empty for other types and dtypes that are not in the dtype
// table. A tensor without a shape has no dims and `has_shape` false.
struct DeclaredType {
  TensorType type;
  bool has_shape = false;
};
std::optional<DeclaredType> declared_type(const onnx::TypeProto& type);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_MODEL_H_
