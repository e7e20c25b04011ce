// Small ONNX models: those of tests/goldens/onnx with what ONNX Runtime computes from them
// (tests/oracle/make_onnx.py), and models made of protobuf messages.
#ifndef LORAPRESS_TESTS_CC_ONNX_UTIL_H_
#define LORAPRESS_TESTS_CC_ONNX_UTIL_H_

#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "graph/model.h"
#include "graph/write.h"
#include "runtime/ort/ort.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress::test {

using Floats = std::map<std::string, std::vector<float>>;

struct OnnxGolden {
  explicit OnnxGolden(const std::string& golden)
      : name(golden), tensors(open_safetensors(folder() / (golden + ".safetensors"))) {
    std::string stem = golden;
    if (stem.ends_with("_first")) {  // the same model with other inputs
      stem.resize(stem.size() - std::string_view("_first").size());
    }
    model = folder() / (stem + ".onnx");
  }
  static fs::path folder() { return source_path("tests/goldens/onnx"); }
  static std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder())) {
      if (entry.path().extension() == ".safetensors") {
        found.push_back(entry.path().stem().string());
      }
    }
    std::ranges::sort(found);
    return found;
  }

  [[nodiscard]] Floats expected() const {
    Floats outputs;
    for (const auto& [port, tensor] : tensors) {
      if (port.starts_with("out.")) {
        outputs[port.substr(4)] = read_all_float32(*tensor);
      }
    }
    return outputs;
  }
  // What the model at `path` gives for the golden's inputs. Inputs that it lost are left out.
  [[nodiscard]] Floats run(const fs::path& path) const {
    const OrtSession session(path, 1);
    std::vector<OrtTensor> values;
    std::vector<std::string> fed;
    for (const auto& [port, tensor] : tensors) {
      if (port.starts_with("in.")) {
        fed.push_back(port.substr(3));
        OrtTensor value = OrtTensor::of(*tensor);
        const auto input = std::ranges::find(session.inputs(), fed.back(), &OrtPort::name);
        const bool half = input != session.inputs().end() && input->dtype == DType::kF16;
        values.push_back(half ? value.converted(DType::kF16) : std::move(value));
      }
    }
    std::vector<OrtSession::Feed> feeds;
    for (size_t i = 0; i < fed.size(); ++i) {
      feeds.push_back({fed[i], &values[i]});
    }
    std::vector<std::string> wanted;
    for (const OrtPort& port : session.outputs()) {
      wanted.push_back(port.name);
    }
    Floats outputs;
    const std::vector<OrtTensor> found = session.run(feeds, wanted);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const OrtTensor floats = found[i].converted(DType::kF32);  // a float16 cache, too
      const auto content = floats.as_floats();
      outputs[wanted[i]].assign(content.begin(), content.end());
    }
    return outputs;
  }

  std::string name;
  fs::path model;
  TensorMap tensors;
};

// Root mean square of the difference over that of the expected values; infinite where outputs do
// not correspond.
inline double relative_error(const Floats& found, const Floats& expected) {
  double difference = 0.0;
  double total = 0.0;
  for (const auto& [port, values] : expected) {
    const auto other = found.find(port);
    if (other == found.end() || other->second.size() != values.size()) {
      return std::numeric_limits<double>::infinity();
    }
    for (size_t i = 0; i < values.size(); ++i) {
      const double step = static_cast<double>(other->second[i]) - values[i];
      difference += step * step;
      total += static_cast<double>(values[i]) * values[i];
    }
  }
  return found.size() == expected.size() ? std::sqrt(difference / total)
                                         : std::numeric_limits<double>::infinity();
}

inline void write_model(const Model& model, const fs::path& path, bool external = false) {
  write_files(plan_onnx(model, path, external), {});
}

inline void save(const onnx::ModelProto& proto, const fs::path& path) {
  fs::remove(path);
  write_text(path, proto.SerializeAsString());
}

inline onnx::ValueInfoProto port(const std::string& name, const std::vector<int64_t>& dims) {
  onnx::ValueInfoProto info;
  info.set_name(name);
  auto* type = info.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape();  // a scalar has one, too
  for (const int64_t dim : dims) {
    type->mutable_shape()->add_dim()->set_dim_value(dim);
  }
  return info;
}

inline onnx::TensorProto float_tensor(const std::string& name, const std::vector<int64_t>& dims) {
  onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  size_t count = 1;
  for (const int64_t dim : dims) {
    tensor.add_dims(dim);
    count *= static_cast<size_t>(dim);
  }
  const std::vector<float> values = Random(static_cast<uint32_t>(count)).numbers(count);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

inline onnx::NodeProto* add_node(onnx::GraphProto* graph,
                                 const std::string& type,
                                 const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs) {
  onnx::NodeProto* node = graph->add_node();
  node->set_op_type(type);
  node->mutable_input()->Assign(inputs.begin(), inputs.end());
  node->mutable_output()->Assign(outputs.begin(), outputs.end());
  return node;
}

inline onnx::GraphProto* add_body(onnx::NodeProto* node, const std::string& name) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::GRAPH);
  attribute->mutable_g()->set_name(name);
  return attribute->mutable_g();
}

// x [2, 32] -- MatMul w [32, 32] -- y
inline onnx::ModelProto small_model() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto* graph = model.mutable_graph();
  graph->set_name("small");
  *graph->add_input() = port("x", {2, 32});
  *graph->add_output() = port("y", {2, 32});
  *graph->add_initializer() = float_tensor("w", {32, 32});
  add_node(graph, "MatMul", {"x", "w"}, {"y"});
  return model;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_ONNX_UTIL_H_
