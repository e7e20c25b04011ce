#include "rewrite/patchify.h"

#include <gtest/gtest.h>

#include "graph/check.h"
#include "graph/write.h"
#include "rewrite/rewrite.h"
#include "runtime/ort/ort.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;

struct ConvCase {
  std::vector<int64_t> strides{4, 2};
  Dims image{"batch", 3, 8, 6};
  bool bias = true;
  bool tokens = false;  // Reshape and Transpose behind it
  Attributes more = {};
};

Model conv_model(const ConvCase& test) {
  Random random(2);
  Graph graph("conv", 17);
  const Value x = graph.input("x", DType::kF32, test.image);
  std::vector<Value> inputs{
      x, graph.initializer("kernel", float_constant({5, 3, 4, 2}, random.numbers(120)))};
  if (test.bias) {
    inputs.push_back(graph.initializer("bias", float_constant({5}, random.numbers(5))));
  }
  Attributes attributes{{"kernel_shape", std::vector<int64_t>{4, 2}}, {"strides", test.strides}};
  attributes.insert(attributes.end(), test.more.begin(), test.more.end());
  Value y = graph.op("Conv", "/Conv", inputs, attributes);
  Dims dims{"batch", 5, Dim(), Dim()};
  if (test.tokens) {
    y = graph.op("Reshape", "/Reshape", {y, graph.integers({0, 5, -1})});
    y = graph.op("Transpose", "/Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
    dims = {"batch", 6, 5};
  }
  graph.output(y, "y", dims);
  return to_model(graph);
}

std::vector<float> run(const Model& model, std::span<const float> image) {
  const TempFolder folder;
  write_files(plan_onnx(model, folder / "m.onnx", false), {});
  const OrtSession session(folder / "m.onnx", 1);
  const OrtTensor x = OrtTensor::floats({2, 3, 8, 6}, image);
  const std::vector<OrtTensor> outputs = session.run({{"x", &x}}, {"y"});
  return {outputs[0].as_floats().begin(), outputs[0].as_floats().end()};
}

size_t count_of(const Model& model, std::string_view op) {
  size_t count = 0;
  for (const auto& node : model.proto.graph().node()) {
    count += node.op_type() == op ? 1 : 0;
  }
  return count;
}

TEST(Patchify, GivesWhatTheConvolutionGave) {
  const std::vector<float> image = Random(1).numbers(2 * 3 * 8 * 6);
  for (const bool bias : {true, false}) {
    for (const bool tokens : {true, false}) {
      const Model before = conv_model({.bias = bias, .tokens = tokens});
      Model after = before;
      convolutions_to_products(after);
      EXPECT_NO_THROW(check_model(after));
      EXPECT_EQ(count_of(after, "Conv"), 0U);
      EXPECT_EQ(count_of(after, "MatMul"), 1U);
      EXPECT_EQ(count_of(after, "Transpose"), tokens ? 1U : 2U);
      EXPECT_EQ(after.weights.count("kernel"), 0U);
      const std::vector<float> expected = run(before, image);
      const std::vector<float> found = run(after, image);
      ASSERT_EQ(expected.size(), found.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(expected[i], found[i], 1e-5F) << i;
      }
    }
  }
}

TEST(Patchify, LeavesOtherConvolutions) {
  const std::vector<ConvCase> others = {
      {.strides = {2, 2}},
      {.image = {"batch", 3, "height", 6}},
      {.image = {"batch", 3, 9, 6}},
      {.more = {{"pads", std::vector<int64_t>{1, 0, 0, 0}}}},
      {.more = {{"dilations", std::vector<int64_t>{1, 2}}}},
      {.more = {{"auto_pad", std::string("SAME_UPPER")}}},
  };
  for (const ConvCase& other : others) {
    Model model = conv_model(other);
    convolutions_to_products(model);
    EXPECT_EQ(count_of(model, "Conv"), 1U);
    EXPECT_EQ(model.weights.count("kernel"), 1U);
  }
}

}  // namespace
}  // namespace lorapress
