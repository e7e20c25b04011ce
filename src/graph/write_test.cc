// What is written, read back with protobuf.
#include "graph/write.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>

#include "graph/model_proto.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;

std::string content_of(const Weight& weight) {
  std::string bytes(weight.bytes(), '\0');
  read_bytes(weight, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

// Weights of many dtypes and sizes around the limit for external data, some of them views.
Graph graph_with_weights(const std::vector<WeightPtr>& weights) {
  Graph graph("weights", 17);
  const Value x = graph.input("x", DType::kF32, {"n", 4});
  for (size_t i = 0; i < weights.size(); ++i) {
    graph.initializer("w" + std::to_string(i), weights[i]);
  }
  const Value y = graph.op("Add", "/add", {x, graph.scalar(0.5F)});
  const Value z = graph.op("Reshape", "/reshape", {y, graph.integers({-1, 2, 2})});
  graph.output(z, "z", {"n", 2, 2});
  return graph;
}

std::vector<WeightPtr> many_weights() {
  Random random(1);
  std::vector<WeightPtr> weights;
  for (const DTypeRow& row : kDTypes) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{9, 57}, Shape{0, 4}}) {
      weights.push_back(
          constant_weight(row.dtype, shape, random.bytes(zeros(row.dtype, shape)->bytes())));
    }
  }
  const auto size = static_cast<int64_t>(kSmallTensor);
  for (const int64_t bytes : {size - 1, size, size + 1}) {
    weights.push_back(
        constant_weight(DType::kU8, {bytes}, random.bytes(static_cast<size_t>(bytes))));
  }
  weights.push_back(transpose(float_constant({70, 90}, random.numbers(6300))));
  weights.push_back(cast(weights.back(), DType::kF16));
  return weights;
}

onnx::ModelProto parse(const std::filesystem::path& path) {
  onnx::ModelProto model;
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(model.ParseFromIstream(&stream)) << path;
  return model;
}

void write(const std::vector<FilePlan>& plans) {
  write_files(plans, {.hash = false, .threads = 2, .progress = {}});
}

void expect_tensor(const onnx::TensorProto& tensor,
                   const Graph& graph,
                   const Graph::Initializer& wanted) {
  EXPECT_EQ(tensor.name(), graph.value_name(wanted.value));
  EXPECT_EQ(tensor.data_type(), dtype_row(wanted.weight->dtype()).onnx);
  EXPECT_EQ(Shape(tensor.dims().begin(), tensor.dims().end()), wanted.weight->shape());
}

TEST(WriteOnnx, HoldsEveryInitializer) {
  const TempFolder folder;
  const Graph graph = graph_with_weights(many_weights());
  const std::vector<FilePlan> plans = plan_onnx(to_model(graph), folder / "m.onnx", false);
  ASSERT_EQ(plans.size(), 1U);
  write(plans);
  const onnx::ModelProto model = parse(folder / "m.onnx");
  ASSERT_EQ(static_cast<size_t>(model.graph().initializer_size()), graph.initializers().size());
  for (int i = 0; i < model.graph().initializer_size(); ++i) {
    const onnx::TensorProto& tensor = model.graph().initializer(i);
    const Graph::Initializer& wanted = graph.initializers()[static_cast<size_t>(i)];
    expect_tensor(tensor, graph, wanted);
    EXPECT_FALSE(tensor.has_data_location());
    EXPECT_TRUE(tensor.has_raw_data());
    EXPECT_EQ(tensor.raw_data(), content_of(*wanted.weight)) << tensor.name();
  }
  // Without the initializers it is what the checker saw.
  onnx::ModelProto bare = model;
  bare.mutable_graph()->clear_initializer();
  onnx::ModelProto checked = model_proto(graph);
  checked.mutable_graph()->clear_value_info();
  EXPECT_EQ(bare.SerializeAsString(), checked.SerializeAsString());
  EXPECT_EQ(model.SerializeAsString().size(), plans[0].size());
}

TEST(WriteOnnx, PutsLargeWeightsBeside) {
  const TempFolder folder;
  const Graph graph = graph_with_weights(many_weights());
  const std::vector<FilePlan> plans = plan_onnx(to_model(graph), folder / "m.onnx", true);
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[1].path().filename(), "m.onnx_data");
  write(plans);
  const std::string data = read_text(folder / "m.onnx_data");
  const onnx::ModelProto model = parse(folder / "m.onnx");
  size_t external = 0;
  for (int i = 0; i < model.graph().initializer_size(); ++i) {
    const onnx::TensorProto& tensor = model.graph().initializer(i);
    const Weight& weight = *graph.initializers()[static_cast<size_t>(i)].weight;
    expect_tensor(tensor, graph, graph.initializers()[static_cast<size_t>(i)]);
    EXPECT_EQ(tensor.data_location() == onnx::TensorProto::EXTERNAL, weight.bytes() > kSmallTensor);
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) {
      EXPECT_EQ(tensor.raw_data(), content_of(weight));
      continue;
    }
    ++external;
    std::map<std::string, std::string> entries;
    for (const auto& entry : tensor.external_data()) {
      entries[entry.key()] = entry.value();
    }
    const size_t offset = std::stoul(entries.at("offset"));
    EXPECT_EQ(entries.at("location"), "m.onnx_data");
    EXPECT_EQ(entries.at("length"), std::to_string(weight.bytes()));
    EXPECT_EQ(offset % 4096, 0U);  // ONNX Runtime maps only whole pages
    EXPECT_EQ(data.substr(offset, weight.bytes()), content_of(weight));
    EXPECT_FALSE(tensor.has_raw_data());
  }
  EXPECT_GT(external, 5U);
}

Graph graph_of_zeros(const std::vector<int64_t>& mebibytes) {
  std::vector<WeightPtr> weights;
  for (const int64_t count : mebibytes) {
    weights.push_back(zeros(DType::kF32, {count, 512, 512}));
  }
  return graph_with_weights(weights);
}

std::vector<std::string> names_of(const std::vector<FilePlan>& plans) {
  std::vector<std::string> names;
  for (const FilePlan& plan : plans) {
    names.push_back(plan.path().filename().string());
  }
  return names;
}

using Names = std::vector<std::string>;

// Nothing of this is written.
TEST(PlanOnnx, KeepsEveryFileBelow2Gib) {
  const auto names = [](const std::vector<int64_t>& mebibytes) {
    const std::vector<FilePlan> plans =
        plan_onnx(to_model(graph_of_zeros(mebibytes)), "x/m.onnx", false);
    uint64_t total = 0;
    for (const FilePlan& plan : plans) {
      EXPECT_LT(plan.size(), uint64_t{1} << 31);
      total += plan.size();
    }
    uint64_t weights = 0;
    for (const int64_t count : mebibytes) {
      weights += static_cast<uint64_t>(count) << 20;
    }
    EXPECT_GE(total, weights);
    EXPECT_LT(total, weights + (1 << 20));
    return names_of(plans);
  };
  EXPECT_EQ(names({1000, 1000}), Names{"m.onnx"});
  EXPECT_EQ(names({1000, 1046}), Names{"m.onnx"});
  EXPECT_EQ(names({1000, 1048}), (Names{"m.onnx", "m.onnx_data", "m.onnx_data_1"}));
  EXPECT_EQ(names({1500, 600}), (Names{"m.onnx", "m.onnx_data", "m.onnx_data_1"}));
  EXPECT_EQ(names({900, 900, 900, 900, 900}),
            (Names{"m.onnx", "m.onnx_data", "m.onnx_data_1", "m.onnx_data_2"}));
}

// One tensor cannot be split; it has a file of its own, and tensors around it do not join it.
TEST(PlanOnnx, GivesAHugeWeightItsOwnFile) {
  const std::vector<FilePlan> plans =
      plan_onnx(to_model(graph_of_zeros({10, 3000, 10})), "m.onnx", false);
  EXPECT_EQ(names_of(plans), (Names{"m.onnx", "m.onnx_data", "m.onnx_data_1", "m.onnx_data_2"}));
  EXPECT_EQ(plans[2].size(), uint64_t{3000} << 20);
}

TEST(PlanOnnx, NamesNoDataFileWithoutLargeWeights) {
  EXPECT_EQ(names_of(plan_onnx(to_model(graph_with_weights({})), "m.onnx", true)), Names{"m.onnx"});
}

TEST(ModelProto, SaysItsVersions) {
  // ONNX's own table of releases, docs/Versioning.md.
  const std::vector<std::pair<int, int>> ir_versions{
      {17, 8}, {18, 8}, {19, 9}, {20, 9}, {21, 10}, {22, 10}, {23, 11}};
  for (const auto& [opset, ir_version] : ir_versions) {
    Graph graph("g", opset);
    const Value x = graph.input("x", DType::kF16, {"n", Dim(), 3});
    graph.output(graph.op("Sqrt", "/sqrt", {x}), "y", {"n", Dim(), 3});
    onnx::ModelProto model = model_proto(graph);
    EXPECT_EQ(model.ir_version(), ir_version);
    EXPECT_EQ(model.producer_name(), "lorapress");
    EXPECT_EQ(model.producer_version(), LORAPRESS_VERSION);
    ASSERT_EQ(model.opset_import_size(), 1);
    EXPECT_EQ(model.opset_import(0).version(), opset);
    const auto& type = model.graph().input(0).type().tensor_type();
    EXPECT_EQ(type.elem_type(), onnx::TensorProto::FLOAT16);
    EXPECT_EQ(type.shape().dim(0).dim_param(), "n");
    EXPECT_FALSE(type.shape().dim(1).has_dim_param() || type.shape().dim(1).has_dim_value());
    EXPECT_EQ(type.shape().dim(2).dim_value(), 3);
  }
}

TEST(ModelProto, HoldsNodesAndAttributes) {
  Graph graph("g", 17);
  const Value x = graph.input("x", DType::kF32, {1, 2, 8});
  const Value w = graph.initializer("w", zeros(DType::kF32, {8}));
  const auto outputs = graph.ops("SkipSimplifiedLayerNormalization",
                                 "/n",
                                 {x, x, Value{}, w},
                                 {{"epsilon", 0.25F},
                                  {"a", int64_t{-7}},
                                  {"b", std::string("text")},
                                  {"c", std::vector<int64_t>{1, -2}}},
                                 {0, 3});
  graph.output(outputs[1], "y", {1, 2, 8});
  const onnx::ModelProto model = model_proto(graph);
  ASSERT_EQ(model.opset_import_size(), 2);
  EXPECT_EQ(model.opset_import(1).domain(), kMicrosoftDomain);
  EXPECT_EQ(model.opset_import(1).version(), 1);
  const onnx::NodeProto& node = model.graph().node(0);
  EXPECT_EQ(node.domain(), kMicrosoftDomain);
  EXPECT_EQ(Names(node.input().begin(), node.input().end()), (Names{"x", "x", "", "w"}));
  EXPECT_EQ(Names(node.output().begin(), node.output().end()), (Names{"/n/output_0", "", "", "y"}));
  EXPECT_EQ(node.attribute(0).f(), 0.25F);
  EXPECT_EQ(node.attribute(1).i(), -7);
  EXPECT_EQ(node.attribute(2).s(), "text");
  EXPECT_EQ(node.attribute(3).ints(1), -2);
  EXPECT_EQ(node.attribute(3).type(), onnx::AttributeProto::INTS);
}

}  // namespace
}  // namespace lorapress
