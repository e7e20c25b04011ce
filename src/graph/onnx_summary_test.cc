#include "graph/onnx_summary.h"

#include <gtest/gtest.h>

#include "graph/write.h"
#include "onnx/onnx-ml.pb.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

void write_graph(const std::filesystem::path& path, bool external) {
  Graph graph("g", 18);
  const Value x = graph.input("x", DType::kF32, {"n", 40});
  const Value w = graph.initializer("w", zeros(DType::kF32, {40, 50}));
  const Value h = graph.initializer("h", zeros(DType::kF16, {3, 700}));
  const Value y = graph.op("MatMul", "/product", {x, w});
  const Value z = graph.op(
      "FastGelu",
      "/gelu",
      {graph.op("MatMul",
                "/again",
                {y, graph.op("Transpose", "/t", {w}, {{"perm", std::vector<int64_t>{1, 0}}})})});
  graph.output(z, "z", {"n", 40});
  graph.output(h, "halves", {3, Dim()});
  write_files(plan_onnx(to_model(graph), path, external),
              {.hash = false, .threads = 1, .progress = {}});
}

TEST(OnnxSummary, SaysWhatAFileHolds) {
  for (const bool external : {false, true}) {
    const TempFolder folder;
    write_graph(folder / "m.onnx", external);
    const OnnxSummary summary = summarise_onnx(folder / "m.onnx");
    EXPECT_EQ(summary.ir_version, 8);
    EXPECT_EQ(summary.producer, std::string("lorapress ") + LORAPRESS_VERSION);
    EXPECT_EQ(summary.opsets,
              (std::map<std::string, int64_t>{{"ai.onnx", 18}, {"com.microsoft", 1}}));
    EXPECT_EQ(summary.operators,
              (std::map<std::string, uint64_t>{
                  {"MatMul", 2}, {"Transpose", 1}, {"com.microsoft.FastGelu", 1}}));
    ASSERT_EQ(summary.inputs.size(), 1U);
    EXPECT_EQ(summary.inputs[0].name, "x");
    EXPECT_EQ(summary.inputs[0].type, "float32[n, 40]");
    ASSERT_EQ(summary.outputs.size(), 2U);
    EXPECT_EQ(summary.outputs[1].type, "float16[3, ?]");
    EXPECT_EQ(summary.parameters, 2000U + 2100U);
    EXPECT_EQ(summary.dtype_bytes,
              (std::map<std::string, uint64_t>{{"float32", 8000}, {"float16", 4200}}));
    EXPECT_EQ(summary.external_files, external ? 1U : 0U);
  }
}

TEST(OnnxSummary, RefusesACutFile) {
  const TempFolder folder;
  write_graph(folder / "m.onnx", true);
  const std::string whole = read_text(folder / "m.onnx");
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto path = folder / "cut.onnx";
    std::filesystem::remove(path);
    write_text(path, whole.substr(0, size));
    message_of(ErrorCode::kInvalidFile, [&] { summarise_onnx(path); });
  }
}

onnx::ModelProto foreign_model() {
  onnx::ModelProto model;
  model.set_ir_version(9);
  model.set_producer_name("other");
  model.add_opset_import()->set_version(20);
  auto* node = model.mutable_graph()->add_node();
  node->set_op_type("If");
  auto* branch = node->add_attribute();
  branch->set_name("then_branch");
  branch->set_type(onnx::AttributeProto::GRAPH);
  branch->mutable_g()->add_node()->set_op_type("Relu");
  return model;
}

OnnxSummary summary_of(const onnx::ModelProto& model) {
  const TempFolder folder;
  write_text(folder / "m.onnx", model.SerializeAsString());
  return summarise_onnx(folder / "m.onnx");
}

TEST(OnnxSummary, ReadsFilesOfOthers) {
  onnx::ModelProto model = foreign_model();
  auto* tensor = model.mutable_graph()->add_initializer();
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->add_dims(3);
  tensor->add_float_data(1.0F);
  tensor->add_float_data(2.0F);
  tensor->add_float_data(3.0F);
  tensor = model.mutable_graph()->add_initializer();
  tensor->set_data_type(onnx::TensorProto::FLOAT8E4M3FN);
  tensor->add_dims(5);
  auto* sequence = model.mutable_graph()->add_input();
  sequence->mutable_type()->mutable_sequence_type();
  const OnnxSummary summary = summary_of(model);
  EXPECT_EQ(summary.producer, "other");
  EXPECT_EQ(summary.operators, (std::map<std::string, uint64_t>{{"If", 1}, {"Relu", 1}}));
  EXPECT_EQ(summary.parameters, 8U);
  EXPECT_EQ(summary.dtype_bytes.at("float32"), 12U);
  EXPECT_EQ(summary.dtype_bytes.size(), 2U);
  EXPECT_EQ(summary.inputs.at(0).type, "not a tensor");
}

// Exporters that do not know raw_data write numbers one by one; those are weights just the same.
TEST(OnnxSummary, SkipsContentsOfAnyKind) {
  onnx::ModelProto model = foreign_model();
  auto* tensor = model.mutable_graph()->add_initializer();
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  constexpr int64_t kCount = 17 << 20;  // 68 MiB, more than a message may have
  tensor->add_dims(kCount);
  tensor->mutable_float_data()->Resize(kCount, 0.5F);
  EXPECT_EQ(summary_of(model).parameters, static_cast<uint64_t>(kCount));
}

TEST(OnnxSummary, RefusesWhatIsNoModel) {
  const TempFolder folder;
  const std::vector<std::string> bad{
      "",
      "hello world",
      "{\"a\": 1}",
      std::string(100, '\0'),
      std::string(100, '\xff'),
      "\x08\x08",                                              // an ir_version and no more
      "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",          // a graph of 2^64 - 1 bytes
      "\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  // a number of 12 bytes
      onnx::ModelProto().SerializeAsString(),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    const auto path = folder / std::to_string(i);
    write_text(path, bad[i]);
    message_of(ErrorCode::kInvalidFile, [&] { summarise_onnx(path); });
  }
  message_of(ErrorCode::kNotFound, [&] { summarise_onnx(folder / "none"); });
}

TEST(OnnxSummary, RefusesImpossibleShapes) {
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{-1}, {INT64_MAX, 2}, {INT64_MAX}, {int64_t{1} << 62}}) {
    onnx::ModelProto model = foreign_model();
    for (int i = 0; i < 3; ++i) {  // three of 2^62 numbers are too many together
      auto* tensor = model.mutable_graph()->add_initializer();
      tensor->set_data_type(onnx::TensorProto::FLOAT);
      tensor->mutable_dims()->Assign(dims.begin(), dims.end());
    }
    const std::string text = message_of(ErrorCode::kInvalidFile, [&] { summary_of(model); });
    EXPECT_TRUE(contains(text, "impossible shape")) << text;
  }
}

}  // namespace
}  // namespace lorapress
