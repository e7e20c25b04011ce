#include "graph/check.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

// x [b, 4] times a weight of 4 by `width`, large enough to stand in as an input.
Value product(Graph& graph, int64_t width) {
  const Value x = graph.input("x", DType::kF32, {"b", 4});
  return graph.op(
      "MatMul", "/product", {x, graph.initializer("w", zeros(DType::kF32, {4, width}))});
}

TEST(CheckGraph, TakesAValidGraph) {
  for (int opset = 17; opset <= 23; ++opset) {
    Graph graph("valid", opset);
    graph.output(product(graph, 500), "y", {"b", 500});
    EXPECT_NO_THROW(check_model(to_model(graph)));
  }
}

TEST(CheckGraph, TakesMicrosoftsOperatorsAsTheyAre) {
  Graph graph("fused", 17);
  graph.output(graph.op("FastGelu", "/gelu", {product(graph, 8)}), "y", {"b", 8});
  EXPECT_NO_THROW(check_model(to_model(graph)));
}

TEST(CheckGraph, DoesNotReadLargeWeights) {
  Graph graph("large", 17);
  const int64_t width = int64_t{1} << 40;
  graph.output(product(graph, width), "y", {"b", width});
  EXPECT_NO_THROW(check_model(to_model(graph)));
}

void expect_refused(const Graph& graph, const std::string& part) {
  const std::string text = message_of(ErrorCode::kRuntime, [&] { check_model(to_model(graph)); });
  EXPECT_TRUE(contains(text, "graph wrong")) << text;
  EXPECT_TRUE(contains(text, part)) << text;
}

TEST(CheckGraph, RefusesAWrongDeclaration) {
  Graph graph("wrong", 17);
  graph.output(product(graph, 8), "y", {"b", 9});
  expect_refused(graph, "9");
}

TEST(CheckGraph, RefusesShapesThatDoNotMeet) {
  Graph graph("wrong", 17);
  const Value y = product(graph, 8);
  const Value z = graph.input("z", DType::kF32, {"b", 3, 8});
  graph.output(graph.op("Concat", "/concat", {z, y}, {{"axis", int64_t{0}}}), "c", {Dim(), 3, 8});
  expect_refused(graph, "/concat");
}

TEST(CheckGraph, RefusesAnUnknownAttribute) {
  Graph graph("wrong", 17);
  graph.output(
      graph.op("Softmax", "/softmax", {product(graph, 8)}, {{"axes", int64_t{1}}}), "y", {"b", 8});
  expect_refused(graph, "axes");
}

TEST(CheckGraph, RefusesAWrongType) {
  Graph graph("wrong", 17);
  const Value ids = graph.input("ids", DType::kI64, {2});
  graph.output(graph.op("Sigmoid", "/sigmoid", {ids}), "y", {2});
  expect_refused(graph, "Sigmoid");
}

// Axes became an input in opset 18; ONNX Runtime would only say so when it loads the file.
TEST(CheckGraph, RefusesAnAttributeThatMoved) {
  Graph graph("wrong", 18);
  const Value mean =
      graph.op("ReduceMean", "/mean", {product(graph, 8)}, {{"axes", std::vector<int64_t>{-1}}});
  graph.output(mean, "y", {"b", 1});
  expect_refused(graph, "axes");
}

}  // namespace
}  // namespace lorapress
