// Edits of written .onnx files, for tests that plant a fault or another dtype.
#ifndef LORAPRESS_TESTS_CC_ONNX_EDIT_H_
#define LORAPRESS_TESTS_CC_ONNX_EDIT_H_

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress::test {

inline void edit_onnx(const std::filesystem::path& path,
                      const std::function<void(onnx::GraphProto&)>& change) {
  onnx::ModelProto model;
  if (!model.ParseFromString(read_text(path))) {
    throw std::runtime_error(path.string() + " does not parse");
  }
  change(*model.mutable_graph());
  std::filesystem::remove(path);
  write_text(path, model.SerializeAsString());
}

inline onnx::NodeProto& node_of(onnx::GraphProto& graph, const std::string& name) {
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (node.name() == name) {
      return node;
    }
  }
  throw std::runtime_error("no node " + name);
}

// A new int64 constant [n]; returns its name.
inline std::string add_integers(onnx::GraphProto& graph,
                                const std::string& name,
                                const std::vector<int64_t>& values) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (const int64_t value : values) {
    tensor.add_int64_data(value);
  }
  return name;
}

// Every float input and output of the graph becomes float16, but those in `kept`, with casts
// inside; the arithmetic between stays float32.
inline void make_half_ports(onnx::GraphProto& graph, const std::string& kept) {
  const auto add_cast = [](const std::string& from, const std::string& to, int type) {
    onnx::NodeProto cast;
    cast.set_op_type("Cast");
    cast.set_name("/half/" + to);
    cast.add_input(from);
    cast.add_output(to);
    onnx::AttributeProto& attribute = *cast.add_attribute();
    attribute.set_name("to");
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(type);
    return cast;
  };
  const auto is_float = [&](const onnx::ValueInfoProto& port) {
    return port.type().tensor_type().elem_type() == onnx::TensorProto::FLOAT && port.name() != kept;
  };
  const auto rename = [&](const std::string& from, const std::string& to) {
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      for (std::string& input : *node.mutable_input()) {
        input = input == from ? to : input;
      }
      for (std::string& output : *node.mutable_output()) {
        output = output == from ? to : output;
      }
    }
  };
  std::vector<onnx::NodeProto> first;
  std::vector<onnx::NodeProto> last;
  for (onnx::ValueInfoProto& port : *graph.mutable_input()) {
    if (is_float(port)) {
      rename(port.name(), port.name() + "/float");
      first.push_back(add_cast(port.name(), port.name() + "/float", onnx::TensorProto::FLOAT));
      port.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT16);
    }
  }
  for (onnx::ValueInfoProto& port : *graph.mutable_output()) {
    if (is_float(port)) {
      rename(port.name(), port.name() + "/float");
      last.push_back(add_cast(port.name() + "/float", port.name(), onnx::TensorProto::FLOAT16));
      port.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT16);
    }
  }
  std::vector<onnx::NodeProto> between(graph.node().begin(), graph.node().end());
  graph.clear_node();
  for (const auto* part : {&first, &between, &last}) {
    for (const onnx::NodeProto& node : *part) {
      *graph.add_node() = node;
    }
  }
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_ONNX_EDIT_H_
