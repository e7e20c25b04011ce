#include "rewrite/fold.h"

#include <gtest/gtest.h>

#include "graph/check.h"
#include "graph/read_onnx.h"
#include "onnx_util.h"
#include "rewrite/rewrite.h"

namespace lorapress {
namespace {

using test::add_node;
using test::float_tensor;
using test::OnnxGolden;
using test::port;
using test::relative_error;
using test::small_model;
using test::TempFolder;

std::map<std::string, int> operators(Model& model) {
  std::map<std::string, int> counts;
  Rewriter(model).for_each_node([&](const onnx::NodeProto& node) { ++counts[node.op_type()]; });
  return counts;
}

Model read(const onnx::ModelProto& proto) {
  const TempFolder folder;
  test::save(proto, folder / "m.onnx");
  return read_onnx(folder / "m.onnx");
}

uint64_t weight_bytes(const Model& model) {
  uint64_t total = 0;
  for (const auto& [name, weight] : model.weights) {
    total += weight->bytes();
  }
  return total;
}

TEST(FoldWeights, ChangesNoResult) {
  for (const std::string& name : OnnxGolden::names()) {
    const OnnxGolden golden(name);
    const TempFolder folder;
    Model model = read_onnx(golden.model);
    fold_weights(model);
    model.proto.mutable_graph()->clear_value_info();
    check_model(model);
    test::write_model(model, folder / "m.onnx");
    EXPECT_LT(relative_error(golden.run(folder / "m.onnx"), golden.expected()), 1e-5) << name;
  }
}

TEST(FoldWeights, UnfoldsNoTableTwice) {
  Model model = read_onnx(OnnxGolden("torch_unfolded").model);
  const uint64_t before = weight_bytes(model);
  EXPECT_EQ(operators(model)["Transpose"], 9);  // 5 linear layers, the table, 3 activations
  fold_weights(model);
  const auto after = operators(model);
  EXPECT_EQ(after.at("Transpose"), 3);
  EXPECT_EQ(after.at("Gemm"), 1);  // with the tied table
  EXPECT_LE(weight_bytes(model), before + 64);
}

// Weights of a Transpose, Cast, Reshape and Identity, alone and in a row.
TEST(FoldWeights, FindsTheMatrix) {
  onnx::ModelProto proto = small_model();
  auto* graph = proto.mutable_graph();
  graph->clear_node();
  auto* shape = graph->add_initializer();
  shape->set_name("shape");
  shape->set_data_type(onnx::TensorProto::INT64);
  shape->add_dims(2);
  shape->add_int64_data(0);
  shape->add_int64_data(-1);
  auto* half = graph->add_initializer();
  half->set_name("half");
  half->set_data_type(onnx::TensorProto::FLOAT16);
  half->add_dims(32);
  half->add_dims(16);
  half->add_dims(2);
  half->set_raw_data(std::string(2048, '\x38'));
  add_node(graph, "Identity", {"w"}, {"a"});
  add_node(graph, "Transpose", {"a"}, {"b"});
  add_node(graph, "Transpose", {"b"}, {"c"});
  add_node(graph, "Transpose", {"c"}, {"d"});
  add_node(graph, "MatMul", {"x", "d"}, {"e"});
  add_node(graph, "Reshape", {"half", "shape"}, {"f"});
  add_node(graph, "Transpose", {"f"}, {"g"});
  auto* to = add_node(graph, "Cast", {"g"}, {"h"})->add_attribute();
  to->set_name("to");
  to->set_type(onnx::AttributeProto::INT);
  to->set_i(onnx::TensorProto::FLOAT);
  add_node(graph, "MatMul", {"e", "h"}, {"y"});
  Model model = read(proto);
  const std::vector<float> before = read_all_float32(*transpose(model.weights.at("w")));
  fold_weights(model);
  EXPECT_EQ(operators(model), (std::map<std::string, int>{{"MatMul", 2}}));
  EXPECT_EQ(model.proto.graph().node(0).input(1), "w");  // by its own name
  EXPECT_EQ(read_all_float32(*model.weights.at("w")), before);
  EXPECT_EQ(model.weights.at("half")->dtype(), DType::kF32);
  EXPECT_EQ(model.weights.at("half")->shape(), (Shape{32, 32}));
  EXPECT_EQ(model.weights.size(), 2U);
  check_model(model);
}

// Both branches of an If turn the same weight: it is transposed once.
TEST(FoldWeights, TurnsOnceForAll) {
  onnx::ModelProto proto = small_model();
  auto* graph = proto.mutable_graph();
  graph->clear_node();
  add_node(graph, "Transpose", {"w"}, {"a"});
  add_node(graph, "Transpose", {"w"}, {"b"});
  add_node(graph, "MatMul", {"x", "a"}, {"c"});
  add_node(graph, "MatMul", {"c", "b"}, {"d"});
  add_node(graph, "Transpose", {"b"}, {"e"});  // back again
  add_node(graph, "MatMul", {"d", "e"}, {"y"});
  const onnx::ModelProto original = proto;
  Model model = read(proto);
  fold_weights(model);
  EXPECT_EQ(operators(model)["Transpose"] + operators(model)["Gemm"], 1);
  EXPECT_EQ(model.weights.size(), 1U);
  const TempFolder folder;
  test::save(original, folder / "a.onnx");
  test::write_model(model, folder / "b.onnx");
  std::vector<std::vector<float>> results;
  for (const char* name : {"a.onnx", "b.onnx"}) {
    const OrtSession session(folder / name, 1);
    const OrtTensor x = OrtTensor::floats({2, 32}, test::Random(1).numbers(64));
    const auto y = session.run({{"x", &x}}, {"y"});
    results.emplace_back(y[0].as_floats().begin(), y[0].as_floats().end());
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_NEAR(results[0][i], results[1][i], 1e-3);
  }
}

TEST(FoldWeights, LeavesOutputsAlone) {
  onnx::ModelProto proto = small_model();
  add_node(proto.mutable_graph(), "Identity", {"w"}, {"copy"});
  *proto.mutable_graph()->add_output() = port("copy", {32, 32});
  Model model = read(proto);
  fold_weights(model);
  EXPECT_EQ(operators(model)["Identity"], 1);
}

}  // namespace
}  // namespace lorapress
