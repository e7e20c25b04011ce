// Bundle "components" in native ONNX Runtime, and what its decoders' shared data file rests on.
#include <gtest/gtest.h>

#include "components_util.h"
#include "counted_weight.h"
#include "graph/model.h"
#include "graph/write.h"
#include "parsed_model.h"
#include "schemes/q4.h"

namespace lorapress {
namespace {

using test::Components;
using test::Golden;
using test::Ids;
using test::TempFolder;
namespace fs = std::filesystem;

TEST(Components, CaptionsAsTransformers) {
  for (const std::string name : {"base", "odd", "ropescale"}) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      const Golden golden(name);
      const TempFolder folder;
      PressOptions options;
      options.bundle = "components";
      options.ops = ops;
      options.out = folder / "out";
      options.source = golden.source(golden.cases().at(0));
      press(options);
      const Components components(options.out);
      for (const Json& caption : golden.cases().at(0).at("captions")) {
        EXPECT_EQ(components.caption(golden.row("pixel_values", caption.at("image")),
                                     golden.json.at("max_new_tokens")),
                  caption.at("ids").get<Ids>());
      }
    }
  }
}

// x [4] + w -> y; w is 512 values, all of them `value`.
Model adder(const std::string& name, float value) {
  Graph graph(name, 17);
  const Value x = graph.input("x", DType::kF32, {512});
  const std::vector<float> values(512, value);
  const Value w = graph.initializer("w", float_constant({512}, values));
  graph.output(graph.op("Add", "/add", {x, w}), "y", {512});
  return to_model(graph);
}

float first_of(const fs::path& graph) {
  const OrtTensor x(DType::kF32, {512});
  return OrtSession(graph, 1).run({{"x", &x}}, {"y"})[0].as_floats()[0];
}

// Two graphs over one matrix, each quantized by itself as press does: the matrix is in the file once,
// and is read once for it.
TEST(SharedData, QuantizesOnceWhatGraphsShare) {
  for (const auto apply : {apply_q4, apply_q4f16}) {
    const TempFolder folder;
    const auto matrix = test::counted({256, 256}, DType::kF32, 1);
    SharedData data(folder / "all.onnx_data");
    std::vector<FilePlan> plans;
    for (const std::string name : {"one.onnx", "two.onnx"}) {
      Model model = test::parsed_model(
          "g (float[n,256] x) => (float[n,256] y) { y = MatMul(x, w) }", {{"w", matrix}});
      apply(model, {SchemeOptions()});
      plans.push_back(data.plan_graph(model, folder / name));
    }
    EXPECT_EQ(matrix->values_read, 0U);
    for (FilePlan& plan : data.take()) {
      plans.push_back(std::move(plan));
    }
    write_files(plans, {.hash = false, .threads = 1, .progress = {}});
    EXPECT_EQ(matrix->values_read, matrix->values());
    const uint64_t packed = 256 * 256 / 2;
    const uint64_t scales = 256 * 256 / 32 * (apply == apply_q4 ? 4 : 2);
    const uint64_t begin = fs::file_size(folder / "all.onnx_data") - packed - scales;
    EXPECT_LE(begin, 4096U * 2);  // and alignment
    EXPECT_NO_THROW(OrtSession(folder / "one.onnx", 1));
    EXPECT_NO_THROW(OrtSession(folder / "two.onnx", 1));
  }
}

// Weights are told apart by what they hold, not by their name.
TEST(SharedData, KeepsEqualWeightsOnceAndOthersApart) {
  const TempFolder folder;
  fs::create_directory(folder / "inner");
  SharedData data(folder / "inner/all.onnx_data");
  std::vector<FilePlan> plans;
  plans.push_back(data.plan_graph(adder("one", 1.0F), folder / "inner/one.onnx"));
  plans.push_back(data.plan_graph(adder("same", 1.0F), folder / "same.onnx"));
  plans.push_back(data.plan_graph(adder("other", 2.0F), folder / "other.onnx"));
  EXPECT_EQ(data.take_used(), std::set<fs::path>{folder / "inner/all.onnx_data"});
  for (FilePlan& plan : data.take()) {
    plans.push_back(std::move(plan));
  }
  EXPECT_EQ(plans.size(), 4U);
  write_files(plans, {});
  EXPECT_EQ(fs::file_size(folder / "inner/all.onnx_data"), 4096U + 2048U);
  EXPECT_EQ(first_of(folder / "inner/one.onnx"), 1.0F);
  EXPECT_EQ(first_of(folder / "same.onnx"), 1.0F);
  EXPECT_EQ(first_of(folder / "other.onnx"), 2.0F);
}

}  // namespace
}  // namespace lorapress
