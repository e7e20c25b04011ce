#include "rewrite/observe.h"

#include <gtest/gtest.h>

#include "graph/check.h"
#include "graph/write.h"
#include "runtime/ort/ort.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::TempFolder;

// x [2, 3] times two matrices, then Gemm with a transposed one; the last weight is read twice.
Graph three_layers(int opset) {
  Graph graph("layers", opset);
  const Value x = graph.input("x", DType::kF32, {"n", 3});
  const auto matrix = [&](const char* name, const Shape& shape) {
    const std::vector<float> ones(static_cast<size_t>(shape[0] * shape[1]), 1.0F);
    return graph.initializer(name, float_constant(shape, ones));
  };
  const Value a = graph.op("MatMul", "/a", {x, matrix("wa", {3, 2})});
  const Value b = graph.op("MatMul", "/b", {x, matrix("wb", {3, 2})});
  const Value sum = graph.op("Add", "/sum", {a, b});
  const Value transposed = matrix("wc", {4, 2});
  const Value c = graph.op("Gemm", "/c", {sum, transposed}, {{"transB", int64_t{1}}});
  graph.output(c, "y", {"n", 4});
  return graph;
}

TEST(Observe, GivesOutEveryInput) {
  for (const int opset : {17, 18, 21}) {
    const TempFolder folder;
    Model model = to_model(three_layers(opset));
    const auto outputs = observe_linear_inputs(model);
    ASSERT_EQ(outputs.size(), 3U);
    EXPECT_EQ(outputs.at("wa").output, outputs.at("wb").output);
    EXPECT_NE(outputs.at("wa").output, outputs.at("wc").output);
    EXPECT_EQ(outputs.at("wa").size, 3U);
    EXPECT_EQ(outputs.at("wc").size, 2U);
    check_model(model);
    write_files(plan_onnx(model, folder / "m.onnx", false),
                {.hash = false, .threads = 1, .progress = {}});
    const OrtSession session(folder / "m.onnx", 1);
    const std::vector<float> pixels{1, 2, 3, 4, 5, 6};
    const OrtTensor x = OrtTensor::floats({2, 3}, pixels);
    const auto result =
        session.run({{"x", &x}}, {outputs.at("wa").output, outputs.at("wc").output});
    const auto of_x = result[0].as_floats();
    EXPECT_EQ(std::vector<float>(of_x.begin(), of_x.end()), pixels);
    // Rows of x sum to 6 and 15, so sum is 12 and 30 in both columns.
    const auto of_sum = result[1].as_floats();
    EXPECT_EQ(std::vector<float>(of_sum.begin(), of_sum.end()),
              (std::vector<float>{12, 12, 30, 30}));
    EXPECT_EQ(result[1].shape(), (Shape{2, 2}));
  }
}

TEST(Observe, LeavesOtherProductsAlone) {
  Graph graph("other", 17);
  const Value x = graph.input("x", DType::kF32, {2, 2});
  graph.output(graph.op("MatMul", "/square", {x, x}), "y", {2, 2});
  Model model = to_model(graph);
  EXPECT_TRUE(observe_linear_inputs(model).empty());
  EXPECT_EQ(model.proto.graph().output_size(), 1);
}

}  // namespace
}  // namespace lorapress
