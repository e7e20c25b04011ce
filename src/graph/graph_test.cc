#include "graph/graph.h"

#include <gtest/gtest.h>

#include "onnx/onnx-ml.pb.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

Dims dims(std::initializer_list<Dim> list) {
  return list;
}

TEST(Graph, TakesOpsets17To23) {
  for (int opset = 17; opset <= 23; ++opset) {
    EXPECT_EQ(Graph("g", opset).opset(), opset);
  }
  for (const int opset : {-1, 0, 16, 24, 1000}) {
    message_of(ErrorCode::kUnsupported, [&] { Graph("g", opset); });
  }
}

TEST(Graph, UsesEveryNameOnce) {
  Graph graph("g", 17);
  const Value x = graph.input("x", DType::kF32, {2});
  const Value w = graph.initializer("w", zeros(DType::kF32, {2}));
  const Value y = graph.op("Add", "/add", {x, w});
  graph.output(y, "y", {2});
  for (const std::string name : {"x", "w", "y", "/add", "/add/output_0"}) {
    message_of(ErrorCode::kInvalidArgument, [&] { graph.input(name, DType::kF32, {}); });
    message_of(ErrorCode::kInvalidArgument,
               [&] { graph.initializer(name, zeros(DType::kF32, {})); });
    message_of(ErrorCode::kInvalidArgument, [&] { graph.op("Add", name, {x, w}); });
    message_of(ErrorCode::kInvalidArgument, [&] { graph.output(w, name, {2}); });
  }
  EXPECT_EQ(graph.nodes().size(), 1U);
  EXPECT_EQ(graph.inputs().size(), 1U);
  EXPECT_EQ(graph.initializers().size(), 1U);
  EXPECT_EQ(graph.outputs().size(), 1U);
}

TEST(Graph, NamesItsOutputs) {
  Graph graph("g", 17);
  const Value x = graph.input("x", DType::kF32, {"n", 4});
  const Value y = graph.op("Sqrt", "/sqrt", {x});
  EXPECT_EQ(graph.value_name(y.id), "/sqrt/output_0");
  EXPECT_EQ(to_string(y.type), "float32[n, 4]");
  graph.output(y, "result", {"m", 4});
  EXPECT_EQ(graph.value_name(y.id), "result");
  EXPECT_EQ(to_string(graph.value_type(y.id)), "float32[m, 4]");
  EXPECT_EQ(graph.outputs(), std::vector<int>{y.id});
}

TEST(Graph, StoresConstantsOnce) {
  Graph graph("g", 17);
  EXPECT_EQ(graph.integers({1, 2}).id, graph.integers({1, 2}).id);
  EXPECT_EQ(graph.integer(3).id, graph.integer(3).id);
  EXPECT_EQ(graph.scalar(0.5F).id, graph.scalar(0.5F).id);
  EXPECT_EQ(graph.initializers().size(), 3U);
  // All of these differ.
  graph.integers({3});
  graph.integers({12});
  graph.integers({2, 1});
  graph.integers({});
  graph.scalar(3.0F);
  graph.scalar(0.0F);
  graph.scalar(-0.0F);
  graph.scalar(0.1F);
  graph.scalar(std::nextafter(0.1F, 1.0F));
  EXPECT_EQ(graph.initializers().size(), 12U);
  const Graph::Initializer& last = graph.initializers().back();
  EXPECT_EQ(read_all_float32(*last.weight), std::vector<float>{std::nextafter(0.1F, 1.0F)});
  EXPECT_EQ(graph.integer(3).type.dims, Dims{});
  EXPECT_EQ(graph.integers({}).type.dims, dims({int64_t{0}}));
}

TEST(Graph, LeavesOutUnwantedOutputs) {
  Graph graph("g", 17);
  const Value x = graph.input("x", DType::kF32, {1, 2, 8});
  const Value w = graph.initializer("w", zeros(DType::kF32, {8}));
  const std::vector<Value> outputs =
      graph.ops("SkipSimplifiedLayerNormalization", "/norm", {x, x, w}, {}, {0, 3});
  const Graph::Node& node = graph.nodes().back();
  EXPECT_EQ(node.outputs, (std::vector<int>{outputs[0].id, -1, -1, outputs[1].id}));
  EXPECT_EQ(graph.value_name(outputs[1].id), "/norm/output_3");
  EXPECT_TRUE(graph.uses_microsoft_domain());
}

TEST(Graph, SaysWhichNodeIsWrong) {
  Graph graph("g", 17);
  const Value x = graph.input("x", DType::kF32, {2, 3});
  const std::string text =
      message_of(ErrorCode::kInvalidArgument, [&] { graph.op("MatMul", "/here", {x, x}); });
  EXPECT_TRUE(contains(text, "graph g: /here (MatMul)")) << text;
  EXPECT_TRUE(contains(text, "float32[2, 3]")) << text;
  message_of(ErrorCode::kUnsupported, [&] { graph.op("Scan", "/scan", {x}); });
  message_of(ErrorCode::kInvalidArgument, [&] { graph.op("Add", "/add", {x}); });
  message_of(ErrorCode::kInvalidArgument, [&] { graph.op("Add", "/add", {x, Value{}}); });
  EXPECT_TRUE(graph.nodes().empty());
}

TEST(Dim, ComparesNumbersAndSymbols) {
  EXPECT_EQ(Dim(3), Dim(3));
  EXPECT_NE(Dim(3), Dim(4));
  EXPECT_EQ(Dim("n"), Dim("n"));
  EXPECT_NE(Dim("n"), Dim("m"));
  EXPECT_NE(Dim(), Dim("n"));
  EXPECT_TRUE(Dim(int64_t{0}).known() && !Dim("n").known() && !Dim().known());
  EXPECT_EQ(to_string({DType::kI64, {Dim(), Dim("n"), Dim(5)}}), "int64[?, n, 5]");
  EXPECT_EQ(to_string({DType::kBool, {}}), "bool[]");
}

TEST(DTypeTable, AgreesWithOnnx) {
  const std::vector<std::pair<DType, int>> pairs{{DType::kF32, onnx::TensorProto::FLOAT},
                                                 {DType::kF16, onnx::TensorProto::FLOAT16},
                                                 {DType::kBF16, onnx::TensorProto::BFLOAT16},
                                                 {DType::kF64, onnx::TensorProto::DOUBLE},
                                                 {DType::kI64, onnx::TensorProto::INT64},
                                                 {DType::kI32, onnx::TensorProto::INT32},
                                                 {DType::kI16, onnx::TensorProto::INT16},
                                                 {DType::kI8, onnx::TensorProto::INT8},
                                                 {DType::kU8, onnx::TensorProto::UINT8},
                                                 {DType::kBool, onnx::TensorProto::BOOL}};
  EXPECT_EQ(pairs.size(), kDTypes.size());
  for (const auto& [dtype, number] : pairs) {
    EXPECT_EQ(dtype_row(dtype).onnx, number) << dtype_name(dtype);
  }
}

}  // namespace
}  // namespace lorapress
