// Bundle "components" in native ONNX Runtime, and what its decoders' shared data file rests on.
#include <gtest/gtest.h>

#include "graph/model.h"
#include "graph/write.h"
#include "single_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Ids;
using test::TempFolder;
namespace fs = std::filesystem;

class Components {
 public:
  explicit Components(const fs::path& folder)
      : manifest_(read_manifest(folder)),
        vision_(open(folder, "vision_encoder")),
        projection_(open(folder, "projection")),
        prefix_init_(open(folder, "prefix_init")),
        language_model_(open(folder, "language_model")) {}

  [[nodiscard]] Ids caption(const std::vector<float>& image, int64_t most) const {
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels = OrtTensor::floats({1, 3, size.height, size.width}, image);
    const auto hidden = vision_.run({{"pixel_values", &pixels}}, {"vision_hidden_states"});
    const auto prefix =
        projection_.run({{"vision_hidden_states", &hidden[0]}}, {"projected_prefix"});
    std::vector<std::string> wanted{"logits"};
    std::vector<std::string> past;
    for (int64_t layer = 0; layer < manifest_.num_hidden_layers; ++layer) {
      for (const std::string which : {".key", ".value"}) {
        wanted.push_back("present." + std::to_string(layer) + which);
        past.push_back("past_key_values." + std::to_string(layer) + which);
      }
    }
    std::vector<OrtTensor> outputs = prefix_init_.run({{"prefix_embeddings", &prefix[0]}}, wanted);
    Ids ids;
    for (;;) {
      const auto logits = outputs[0].as_floats();
      ids.push_back(std::ranges::max_element(logits) - logits.begin());
      if (std::ssize(ids) == most || std::ranges::count(manifest_.eos_token_ids, ids.back()) != 0) {
        return ids;
      }
      const OrtTensor next = OrtTensor::integers({1, 1}, std::span(ids).last(1));
      std::vector<OrtSession::Feed> feeds{{"input_ids", &next}};
      for (size_t i = 0; i < past.size(); ++i) {
        feeds.push_back({past[i], &outputs[i + 1]});
      }
      outputs = language_model_.run(feeds, wanted);
    }
  }

 private:
  OrtSession open(const fs::path& folder, const std::string& role) {
    return {folder / manifest_.graphs.at("fp32").at(role), 1};
  }
  Manifest manifest_;
  OrtSession vision_;
  OrtSession projection_;
  OrtSession prefix_init_;
  OrtSession language_model_;
};

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
  plans.push_back(data.plan_graph(adder("one", 1.0F), folder / "inner/one.onnx"));
  plans.push_back(data.plan_graph(adder("same", 1.0F), folder / "same.onnx"));
  plans.push_back(data.plan_graph(adder("other", 2.0F), folder / "other.onnx"));
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
