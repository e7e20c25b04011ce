// The shape rules of graph/ops.cc against ONNX's own inference, on every graph of every golden.
#include <gtest/gtest.h>
#include <set>

#include "bundles/bundle.h"
#include "golden_util.h"
#include "graph/check.h"
#include "graph/model_proto.h"
#include "onnx/shape_inference/implementation.h"
#include "placeholder_util.h"

namespace lorapress {
namespace {

using test::Golden;

struct Layout {
  std::string bundle = "transformers.js";
  GenerationChoice choice = {};
  bool rules = false;  // of tokens and beams, as a generation_config.json may have them
};

GenerationSettings all_rules() {
  GenerationSettings settings;
  settings.repetition_penalty = 1.5;
  settings.min_new_tokens = 2;
  settings.suppress_tokens = {1};
  settings.begin_suppress_tokens = {2};
  settings.length_penalty = 0.5;
  settings.early_stopping = EarlyStopping::kFirst;
  return settings;
}

// Every graph that press can author.
std::vector<Layout> layouts() {
  return {{},
          {"single", {}},
          {"single", {.num_beams = 3}},
          {"single", {}, true},
          {"single", {.num_beams = 3}, true},
          {"single", {.uint8_input = true, .step = true}},
          {"components", {}},
          {"llava", {}},
          {"genai", {}}};
}

// Those for one checkpoint: the graph crops no images.
std::vector<Layout> layouts_of(const Golden& golden) {
  namespace fs = std::filesystem;
  std::vector<Layout> all = layouts();
  const fs::path file = golden.source(golden.cases().at(0)).checkpoint / "preprocessor_config.json";
  if (fs::exists(file) && read_json(file).at("size").contains("shortest_edge")) {
    std::erase_if(all, [](const Layout& layout) { return layout.choice.uint8_input; });
  }
  return all;
}

std::vector<BundleGraph> graphs_of(const Source& source,
                                   OpDialect ops,
                                   int opset,
                                   const Layout& layout) {
  const Checkpoint checkpoint = open_checkpoint(source);
  std::vector<std::string> notes;
  const Preprocessing preprocessing = find_preprocessing(checkpoint, notes);
  TokenizerFiles tokenizer = find_tokenizer(checkpoint);
  if (layout.rules) {
    tokenizer.generation.settings = all_rules();
  }
  const BundleRequest request{
      checkpoint, preprocessing, tokenizer, ops, opset, 30, "fp32", layout.choice};
  return bundle_for(layout.bundle, checkpoint).graphs(request, notes);
}

std::vector<BundleGraph> graphs_of(const Golden& golden,
                                   OpDialect ops,
                                   int opset,
                                   const Layout& layout = {}) {
  return graphs_of(golden.source(golden.cases().at(0)), ops, opset, layout);
}

// Of a model whose image features replace image tokens, in its own bundle.
std::vector<BundleGraph> graphs_of(const std::string& name, OpDialect ops, int opset) {
  return graphs_of(test::PlaceholderGolden(name).source(), ops, opset, {""});
}

// All weights with their bytes; the goldens are small.
onnx::ModelProto inferred(const Graph& graph) {
  onnx::ModelProto model = model_proto(graph);
  for (const Graph::Initializer& initializer : graph.initializers()) {
    onnx::TensorProto tensor = declare(graph.value_name(initializer.value), *initializer.weight);
    tensor.set_raw_data(test::bytes_of(*initializer.weight));
    *model.mutable_graph()->add_initializer() = tensor;
  }
  const onnx::ShapeInferenceOptions options{
      /*check_type=*/true, /*strict_mode=*/1, /*data_propagation=*/true};
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), options);
  return model;
}

void expect_agreement(const TensorType& ours,
                      const onnx::TypeProto::Tensor& theirs,
                      const std::string& name) {
  EXPECT_EQ(dtype_row(ours.dtype).onnx, theirs.elem_type()) << name;
  if (!theirs.has_shape()) {
    return;
  }
  ASSERT_EQ(ours.dims.size(), static_cast<size_t>(theirs.shape().dim_size()))
      << name << " " << to_string(ours);
  for (size_t i = 0; i < ours.dims.size(); ++i) {
    const auto& dim = theirs.shape().dim(static_cast<int>(i));
    if (ours.dims[i].known() && dim.has_dim_value()) {
      EXPECT_EQ(ours.dims[i].value, dim.dim_value()) << name << " " << to_string(ours);
    }
  }
}

// Values that ONNX could type. Those behind an operator of com.microsoft it cannot.
size_t compare(const Graph& graph) {
  std::map<std::string, int> ids;
  for (const Graph::Node& node : graph.nodes()) {
    for (const int id : node.outputs) {
      if (id >= 0) {
        ids[graph.value_name(id)] = id;
      }
    }
  }
  const onnx::ModelProto model = inferred(graph);
  size_t compared = 0;
  for (const auto& info : model.graph().value_info()) {
    const auto found = ids.find(info.name());
    if (found != ids.end() && info.type().has_tensor_type()) {
      expect_agreement(graph.value_type(found->second), info.type().tensor_type(), info.name());
      ++compared;
    }
  }
  return compared;
}

TEST(GoldenGraphs, HaveTheShapesThatOnnxInfers) {
  for (const std::string& name : test::golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    for (const int opset : {17, 18, 21, 23}) {
      for (const BundleGraph& made : graphs_of(golden, OpDialect::kStandard, opset)) {
        EXPECT_FALSE(made.graph.uses_microsoft_domain());
        EXPECT_GT(compare(made.graph) + made.graph.outputs().size() + 1, made.graph.nodes().size())
            << made.role;
        EXPECT_NO_THROW(check_model(to_model(made.graph)));
      }
    }
    for (const BundleGraph& made : graphs_of(golden, OpDialect::kOrt, 17)) {
      EXPECT_TRUE(made.graph.uses_microsoft_domain());
      EXPECT_GT(compare(made.graph), 0U) << made.role;
    }
  }
}

TEST(GoldenGraphs, WithCrossAttentionHaveTheShapesThatOnnxInfers) {
  for (const std::string& name : test::cross_golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden = test::cross_golden(name);
    for (const int opset : {17, 18, 23}) {
      for (const BundleGraph& made : graphs_of(golden, OpDialect::kStandard, opset)) {
        EXPECT_FALSE(made.graph.uses_microsoft_domain());
        EXPECT_GT(compare(made.graph), made.graph.nodes().size() / 2) << made.role;
        EXPECT_NO_THROW(check_model(to_model(made.graph)));
      }
    }
    for (const BundleGraph& made : graphs_of(golden, OpDialect::kOrt, 17)) {
      EXPECT_GT(compare(made.graph), 0U) << made.role;
    }
  }
}

TEST(GoldenGraphs, OfEveryBundleHaveTheShapesThatOnnxInfers) {
  for (const std::string name : {"base", "odd"}) {
    const Golden golden(name);
    for (const Layout& layout : layouts()) {
      SCOPED_TRACE(name + " " + layout.bundle);
      for (const int opset : {17, 18, 23}) {
        for (const BundleGraph& made : graphs_of(golden, OpDialect::kStandard, opset, layout)) {
          EXPECT_FALSE(made.graph.uses_microsoft_domain());
          EXPECT_GT(compare(made.graph), 0U) << made.role;
          EXPECT_NO_THROW(check_model(to_model(made.graph))) << made.role;
        }
      }
      for (const BundleGraph& made : graphs_of(golden, OpDialect::kOrt, 17, layout)) {
        EXPECT_NO_THROW(check_model(to_model(made.graph))) << made.role;
      }
    }
  }
}

TEST(GoldenGraphs, OfPlaceholderModelsHaveTheShapesThatOnnxInfers) {
  for (const std::string& name : test::kPlaceholderGoldens) {
    SCOPED_TRACE(name);
    for (const int opset : {17, 18, 21, 23}) {
      for (const BundleGraph& made : graphs_of(name, OpDialect::kStandard, opset)) {
        EXPECT_FALSE(made.graph.uses_microsoft_domain());
        EXPECT_GT(compare(made.graph), 0U) << made.role;
        EXPECT_NO_THROW(check_model(to_model(made.graph))) << made.role;
      }
    }
    for (const BundleGraph& made : graphs_of(name, OpDialect::kOrt, 17)) {
      EXPECT_NO_THROW(check_model(to_model(made.graph))) << made.role;
    }
  }
}

void collect(const std::vector<GraphNode>& nodes, std::set<std::string_view>& names) {
  for (const GraphNode& node : nodes) {
    names.insert(node.op->name);
    for (const Attribute& attribute : node.attributes) {
      if (const auto* body = std::get_if<BodyPtr>(&attribute.value)) {
        collect((*body)->nodes, names);
      }
    }
  }
}

// A row of the table that nothing emits is unused; one that is missing would have thrown. Conv is
// for graphs that tests author.
TEST(GoldenGraphs, EmitEveryOperatorOfTheTable) {
  std::set<std::string_view> emitted;
  for (const std::string& name : test::golden_names()) {
    const Golden golden(name);
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      for (const Layout& layout : layouts_of(golden)) {
        for (const BundleGraph& made : graphs_of(golden, ops, 17, layout)) {
          collect(made.graph.nodes(), emitted);
        }
      }
    }
  }
  for (const std::string& name : test::kPlaceholderGoldens) {
    for (const BundleGraph& made : graphs_of(name, OpDialect::kStandard, 17)) {
      collect(made.graph.nodes(), emitted);
    }
  }
  for (const OpRow& row : op_table()) {
    EXPECT_TRUE(emitted.contains(row.name) || row.name == "Conv") << row.name;
  }
}

// The decoder's weights and names do not depend on the dialect; tied tables are there once.
TEST(GoldenGraphs, StoreEveryTensorOnce) {
  for (const std::string& name : test::golden_names()) {
    for (const BundleGraph& made : graphs_of(Golden(name), OpDialect::kOrt, 17)) {
      std::set<std::string> names;
      size_t tables = 0;
      for (const Graph::Initializer& initializer : made.graph.initializers()) {
        const std::string& tensor = made.graph.value_name(initializer.value);
        EXPECT_TRUE(names.insert(tensor).second) << tensor;
        const bool gpt2 = test::contains(tensor, ".wte.");
        tables += gpt2 || test::contains(tensor, "embed_tokens") ? 1 : 0;
      }
      EXPECT_EQ(tables, made.role == "decoder" ? 1U : 0U) << name;
    }
  }
}

}  // namespace
}  // namespace lorapress
