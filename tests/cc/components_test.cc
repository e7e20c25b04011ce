// Bundle "components" in native ONNX Runtime, and what its decoders' shared data file rests on.
#include <gtest/gtest.h>

#include "components_util.h"
#include "graph/model.h"
#include "graph/write.h"

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

// Weights are told apart by what they hold, not by their name.
TEST(SharedData, KeepsEqualWeightsOnceAndOthersApart) {
  const TempFolder folder;
  fs::create_directory(folder / "inner");
  SharedData data(folder / "inner/all.onnx_data");
  std::vector<FilePlan> plans;
  std::vector<fs::path> used;
  plans.push_back(data.plan_graph(adder("one", 1.0F), folder / "inner/one.onnx", used));
  plans.push_back(data.plan_graph(adder("same", 1.0F), folder / "same.onnx", used));
  plans.push_back(data.plan_graph(adder("other", 2.0F), folder / "other.onnx", used));
  EXPECT_EQ(used, std::vector<fs::path>(3, folder / "inner/all.onnx_data"));
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
