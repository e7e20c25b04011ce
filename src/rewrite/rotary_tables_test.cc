#include "rewrite/rotary_tables.h"

#include <cmath>
#include <gtest/gtest.h>

#include "graph/write.h"
#include "rewrite/rewrite.h"
#include "runtime/ort/ort.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;

constexpr int64_t kPositions = 700;

struct Tables {
  std::vector<float> cosines;
  std::vector<float> sines;
};

Tables tables_of(const std::vector<float>& frequencies) {
  Tables tables;
  for (int64_t position = 0; position < kPositions; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      tables.cosines.push_back(std::cos(angle));
      tables.sines.push_back(std::sin(angle));
    }
  }
  return tables;
}

//  x, positions, tables ── RotaryEmbedding ── y
Model rotary_model(const Tables& tables) {
  Graph graph("rotary", 17);
  graph.output(graph.op("Sigmoid", "/Sigmoid", {graph.input("x", DType::kF32, {1, 2, 3, 16})}),
               "y",
               {1, 2, 3, 16});
  Model model = to_model(graph);
  const Shape shape{kPositions, 8};
  Rewriter rewriter(model);
  rewriter.add_weight("cos_cache", float_constant(shape, tables.cosines));
  rewriter.add_weight("sin_cache", float_constant(shape, tables.sines));
  const std::vector<int64_t> last{kPositions - 3};
  const std::string positions = rewriter.integers(last);
  rewriter.rewrite([&](const onnx::NodeProto& node, NodeList& nodes) {
    nodes.push_back(make_node("RotaryEmbedding",
                              "/Rotary",
                              {node.input(0), positions, "cos_cache", "sin_cache"},
                              {node.output(0)},
                              {},
                              kMicrosoftDomain));
    return true;
  });
  rewriter.require_opset(std::string(kMicrosoftDomain), 1);
  return model;
}

std::vector<float> run(const Model& model) {
  const TempFolder folder;
  write_files(plan_onnx(model, folder / "m.onnx", false), {});
  const OrtSession session(folder / "m.onnx", 1);
  const OrtTensor x = OrtTensor::floats({1, 2, 3, 16}, Random(1).numbers(96));
  const auto outputs = session.run({{"x", &x}}, {"y"});
  return {outputs[0].as_floats().begin(), outputs[0].as_floats().end()};
}

TEST(RotaryTables, AreWorkedOutByTheRuntime) {
  // Radians per position from one to nearly none, as bases from 10 to 10 million give them.
  const Tables tables = tables_of({1.0F, 0.9F, 0.31622776F, 0.1F, 0.0123F, 1e-3F, 1e-5F, 1e-7F});
  const Model before = rotary_model(tables);
  Model after = before;
  compute_rotary_tables(after);
  EXPECT_EQ(after.weights.count("cos_cache") + after.weights.count("sin_cache"), 0U);
  const std::vector<float> expected = run(before);
  const std::vector<float> found = run(after);
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(expected[i], found[i], 2e-4F) << i;
  }
}

TEST(RotaryTables, StayWhereTheyAreNoPlainRotation) {
  Tables tables = tables_of({1.0F, 0.9F, 0.5F, 0.1F, 0.01F, 1e-3F, 1e-4F, 1e-5F});
  tables.cosines[8 * 500 + 3] += 0.01F;
  Model bent = rotary_model(tables);
  compute_rotary_tables(bent);
  EXPECT_EQ(bent.weights.count("cos_cache"), 1U);
  for (float& value : tables.sines) {
    value *= 1.2F;
  }
  Model scaled = rotary_model(tables);
  compute_rotary_tables(scaled);
  EXPECT_EQ(scaled.weights.count("sin_cache"), 1U);
}

}  // namespace
}  // namespace lorapress
