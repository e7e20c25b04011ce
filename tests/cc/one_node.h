// Graphs of one node, run by the project's own engine and by ONNX Runtime.
#ifndef LORAPRESS_TESTS_CC_ONE_NODE_H_
#define LORAPRESS_TESTS_CC_ONE_NODE_H_

#include <gtest/gtest.h>

#include "engine_util.h"
#include "onnx_util.h"

namespace lorapress::test {

struct Operand {
  EngineInput input;
  bool constant = false;
  bool absent = false;
};

// A graph of one node.
class OneNode {
 public:
  explicit OneNode(std::string op, std::string domain = "") {
    node_.set_op_type(std::move(op));
    node_.set_domain(std::move(domain));
    node_.set_name("node");
  }
  OneNode& feed(EngineInput input) { return add({std::move(input), false, false}); }
  OneNode& constant(EngineInput input) { return add({std::move(input), true, false}); }
  OneNode& skip() { return add({{}, false, true}); }
  OneNode& integers(const std::vector<int64_t>& values) {
    EngineInput input{DType::kI64, {std::ssize(values)}, {}};
    input.values.assign(values.begin(), values.end());
    return constant(std::move(input));
  }
  OneNode& set(const std::string& name, int64_t value) {
    onnx::AttributeProto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
    return *this;
  }
  OneNode& set(const std::string& name, float value) {
    onnx::AttributeProto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
    return *this;
  }
  OneNode& set(const std::string& name, const std::vector<int64_t>& values) {
    onnx::AttributeProto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    for (const int64_t value : values) {
      attribute.add_ints(value);
    }
    return *this;
  }

  // `outputs` of the node; "" for one that is left out.
  void expect_equal(double tolerance, const std::vector<std::string>& outputs = {"y0"}) {
    SCOPED_TRACE(node_.op_type());
    const TempFolder folder;
    const auto file = folder.path() / "model.onnx";
    onnx::ModelProto model;
    model.set_ir_version(8);
    auto* opset = model.add_opset_import();
    opset->set_version(17);
    opset = model.add_opset_import();
    opset->set_domain("com.microsoft");
    opset->set_version(1);
    onnx::GraphProto& graph = *model.mutable_graph();
    graph.set_name("graph");
    *graph.mutable_initializer() = initializers_;
    *graph.mutable_input() = ports_;
    for (const std::string& name : outputs) {
      node_.add_output(name);
      if (!name.empty()) {
        graph.add_output()->set_name(name);
      }
    }
    *graph.add_node() = node_;
    save(model, file);
    const auto expected = run_ort(file, feeds_);
    expect_close(run_native(file, feeds_), expected, tolerance);
    expect_close(run_native(file, feeds_, 3), expected, tolerance);
  }

 private:
  OneNode& add(const Operand& operand) {
    const std::string name = "x" + std::to_string(node_.input_size());
    node_.add_input(operand.absent ? "" : name);
    if (operand.absent) {
      return *this;
    }
    if (operand.constant) {
      onnx::TensorProto& tensor = *initializers_.Add();
      tensor.set_name(name);
      tensor.set_data_type(dtype_row(operand.input.dtype).onnx);
      for (const int64_t size : operand.input.shape) {
        tensor.add_dims(size);
      }
      const std::vector<std::byte> bytes = to_bytes(operand.input);
      tensor.set_raw_data(bytes.data(), bytes.size());
      return *this;
    }
    onnx::ValueInfoProto& info = *ports_.Add();
    info.set_name(name);
    auto* type = info.mutable_type()->mutable_tensor_type();
    type->set_elem_type(dtype_row(operand.input.dtype).onnx);
    auto* shape = type->mutable_shape();
    for (size_t axis = 0; axis < operand.input.shape.size(); ++axis) {
      shape->add_dim()->set_dim_param(name + "_" + std::to_string(axis));
    }
    feeds_[name] = operand.input;
    return *this;
  }

  onnx::NodeProto node_;
  google::protobuf::RepeatedPtrField<onnx::TensorProto> initializers_;
  google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> ports_;
  std::map<std::string, EngineInput> feeds_;
};

class EngineNodes : public ::testing::Test {
 protected:
  EngineInput floats(const Shape& shape, double scale = 1.0) {
    return random_input(random_, shape, scale);
  }
  EngineInput integers(const Shape& shape, int64_t low, int64_t high, DType dtype = DType::kI64) {
    return random_integers(random_, dtype, shape, low, high);
  }
  EngineInput bools(const Shape& shape) { return integers(shape, 0, 1, DType::kBool); }

  std::mt19937 random_{7};
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_ONE_NODE_H_
