#include "graph/read_onnx.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "graph/check.h"
#include "onnx_util.h"

namespace lorapress {
namespace {

using test::add_body;
using test::add_node;
using test::contains;
using test::float_tensor;
using test::message_of;
using test::port;
using test::save;
using test::small_model;
namespace fs = std::filesystem;
using test::TempFolder;

class ReadOnnx : public testing::Test {
 protected:
  Model read(const onnx::ModelProto& proto) {
    save(proto, path_);
    return read_onnx(path_);
  }
  void refuse(const onnx::ModelProto& proto,
              const std::vector<std::string>& words,
              ErrorCode code = ErrorCode::kInvalidFile) {
    save(proto, path_);
    const std::string text = message_of(code, [&] { read_onnx(path_); });
    EXPECT_TRUE(contains(text, path_.string())) << text;
    for (const std::string& word : words) {
      EXPECT_TRUE(contains(text, word)) << text;
    }
  }

  TempFolder folder_;
  fs::path path_ = folder_ / "m.onnx";
};

std::vector<float> floats(const Model& model, const std::string& name) {
  return read_all_float32(*model.weights.at(name));
}

TEST_F(ReadOnnx, FindsWeightsWhereTheyAre) {
  const onnx::ModelProto proto = small_model();
  const Model model = read(proto);
  ASSERT_EQ(model.weights.size(), 1U);
  const WeightPtr weight = model.weights.at("w");
  EXPECT_TRUE(weight->extent().has_value());
  EXPECT_EQ(weight->shape(), (Shape{32, 32}));
  std::string bytes(weight->bytes(), '\0');
  read_bytes(*weight, 0, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(bytes, proto.graph().initializer(0).raw_data());
  EXPECT_EQ(model.proto.graph().initializer(0).ByteSizeLong(),
            declare("w", *weight).ByteSizeLong());
}

TEST_F(ReadOnnx, ReadsTypedFields) {
  onnx::ModelProto proto = small_model();
  auto* graph = proto.mutable_graph();
  const auto tensor = [&](const std::string& name, int type, int64_t count) {
    auto* made = graph->add_initializer();
    made->set_name(name);
    made->set_data_type(type);
    made->add_dims(count);
    return made;
  };
  constexpr int64_t kMany = 1000;  // packed, and too many to stay in the graph
  auto* single = tensor("single", onnx::TensorProto::FLOAT, kMany);
  auto* twice = tensor("double", onnx::TensorProto::DOUBLE, kMany);
  for (int i = 0; i < kMany; ++i) {
    single->add_float_data(static_cast<float>(i));
    twice->add_double_data(i);
  }
  auto* half = tensor("half", onnx::TensorProto::FLOAT16, 2);
  half->add_int32_data(0x3c00);  // 1
  half->add_int32_data(0xc000);  // -2
  tensor("byte", onnx::TensorProto::INT8, 1)->add_int32_data(-3);
  tensor("long", onnx::TensorProto::INT64, 1)->add_int64_data(-4);
  tensor("none", onnx::TensorProto::FLOAT, 0);
  const Model model = read(proto);
  EXPECT_TRUE(model.weights.at("single")->extent().has_value());
  EXPECT_EQ(floats(model, "single")[999], 999.0F);
  EXPECT_EQ(floats(model, "double")[7], 7.0F);
  EXPECT_EQ(floats(model, "half"), (std::vector<float>{1.0F, -2.0F}));
  std::array<std::byte, 1> byte{};
  read_bytes(*model.weights.at("byte"), 0, byte);
  EXPECT_EQ(static_cast<int8_t>(byte[0]), -3);
  EXPECT_EQ(model.weights.at("none")->bytes(), 0U);
  EXPECT_EQ(model.weights.at("long")->dtype(), DType::kI64);
}

TEST_F(ReadOnnx, KeepsTypesThatNoWeightHas) {
  onnx::ModelProto proto = small_model();
  auto* tensor = proto.mutable_graph()->add_initializer();
  tensor->set_name("packed");
  tensor->set_data_type(onnx::TensorProto::UINT4);
  tensor->add_dims(4001);
  tensor->set_raw_data(std::string(2001, '\x21'));
  auto* text = proto.mutable_graph()->add_initializer();
  text->set_name("text");
  text->set_data_type(onnx::TensorProto::STRING);
  text->add_dims(1);
  text->add_string_data("hello");
  const Model model = read(proto);
  EXPECT_EQ(model.weights.size(), 1U);
  EXPECT_EQ(model.proto.graph().initializer(1).raw_data(), std::string(2001, '\x21'));
  EXPECT_EQ(model.proto.graph().initializer(2).string_data(0), "hello");
  tensor->add_dims(2);
  refuse(proto, {"tensor packed", "2001 bytes"});
}

TEST_F(ReadOnnx, MakesConstantsWeights) {
  onnx::ModelProto proto = small_model();
  auto* graph = proto.mutable_graph();
  *graph->add_output() = port("given", {32});
  const auto constant = [&](const std::string& name, const onnx::TensorProto& tensor) {
    auto* attribute = add_node(graph, "Constant", {}, {name})->add_attribute();
    attribute->set_name("value");
    attribute->set_type(onnx::AttributeProto::TENSOR);
    *attribute->mutable_t() = tensor;
  };
  constant("bias", float_tensor("", {32}));
  constant("given", float_tensor("", {32}));
  onnx::TensorProto shape;
  shape.set_data_type(onnx::TensorProto::INT64);
  shape.add_dims(1);
  shape.add_int64_data(-1);
  constant("shape", shape);
  add_node(graph, "Add", {"y", "bias"}, {"z"});
  const Model model = read(proto);
  EXPECT_TRUE(model.weights.contains("bias"));
  EXPECT_TRUE(model.weights.contains("given_value"));
  std::vector<std::string> types;
  for (const auto& node : model.proto.graph().node()) {
    types.push_back(node.op_type());
  }
  EXPECT_EQ(types, (std::vector<std::string>{"MatMul", "Identity", "Constant", "Add"}));
  EXPECT_NO_THROW(check_model(model));
}

// Two bodies with equal names for their own values and weights, one of them shadowing the graph.
onnx::ModelProto branches() {
  onnx::ModelProto proto = small_model();
  auto* graph = proto.mutable_graph();
  *graph->add_input() = port("c", {});
  graph->mutable_input(1)->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::BOOL);
  auto* node = add_node(graph, "If", {"c"}, {"r", "s", "t"});
  for (const std::string name : {"then_branch", "else_branch"}) {
    auto* body = add_body(node, name);
    *body->add_initializer() = float_tensor("w", {32, name == "then_branch" ? 5 : 6});
    *body->add_initializer() = float_tensor("b", {4});
    add_node(body, "MatMul", {"x", "w"}, {"h"});
    for (const std::string output : {"h", "b", "y"}) {  // own, a weight, of the main graph
      body->add_output()->set_name(output);
    }
  }
  return proto;
}

TEST_F(ReadOnnx, HoistsBodies) {
  const Model model = read(branches());
  EXPECT_EQ(model.weights.size(), 5U);
  const auto& node = model.proto.graph().node(1);
  std::set<std::string> names;
  for (const auto& attribute : node.attribute()) {
    const onnx::GraphProto& body = attribute.g();
    EXPECT_EQ(body.initializer_size(), 0);
    ASSERT_EQ(body.node_size(), 3);
    const std::string& weight = body.node(0).input(1);
    EXPECT_NE(weight, "w");
    EXPECT_EQ(model.weights.at(weight)->shape()[1], attribute.name() == "then_branch" ? 5 : 6);
    EXPECT_EQ(body.output(0).name(), body.node(0).output(0));
    EXPECT_EQ(body.node(1).op_type(), "Identity");
    EXPECT_TRUE(model.weights.contains(body.node(1).input(0)));
    EXPECT_EQ(body.output(1).name(), body.node(1).output(0));
    EXPECT_EQ(body.node(2).input(0), "y");
    for (const auto& inner : body.node()) {
      EXPECT_TRUE(names.insert(inner.output(0)).second) << inner.output(0);
    }
  }
  // Types of values inside bodies are known to passes.
  std::set<std::string> typed;
  for (const auto& info : model.proto.graph().value_info()) {
    typed.insert(info.name());
  }
  EXPECT_TRUE(std::ranges::includes(typed, names));
  EXPECT_NO_THROW(check_model(model));
}

TEST_F(ReadOnnx, TakesInputsWithValuesAsConstants) {
  onnx::ModelProto proto = small_model();
  proto.set_ir_version(3);
  *proto.mutable_graph()->add_input() = port("w", {32, 32});
  const Model model = read(proto);
  EXPECT_EQ(model.proto.graph().input_size(), 1);
  EXPECT_GE(model.proto.ir_version(), 4);
}

TEST_F(ReadOnnx, RefusesNamesThatDoNotAddUp) {
  onnx::ModelProto proto = small_model();
  proto.mutable_graph()->mutable_node(0)->set_input(1, "v");
  refuse(proto, {"MatMul", "reads v", "nothing produces"});
  proto = small_model();
  proto.mutable_graph()->mutable_output(0)->set_name("v");
  refuse(proto, {"an output reads v"});
  proto = small_model();
  add_node(proto.mutable_graph(), "Relu", {"x"}, {"w"})->set_name("twin");
  refuse(proto, {"node twin (Relu) gives w again"});
  proto = small_model();
  *proto.mutable_graph()->add_initializer() = float_tensor("w", {1});
  refuse(proto, {"an initializer gives w again"});
  proto = small_model();
  *proto.mutable_graph()->add_input() = port("x", {2, 32});
  refuse(proto, {"two inputs x"});
  proto = small_model();  // a cycle
  proto.mutable_graph()->mutable_node(0)->set_input(0, "z");
  add_node(proto.mutable_graph(), "Relu", {"y"}, {"z"});
  refuse(proto, {"reads z, which comes later"});
  proto = branches();
  auto* body = proto.mutable_graph()->mutable_node(1)->mutable_attribute(0)->mutable_g();
  body->mutable_node(0)->set_input(0, "r");  // what the If itself gives
  refuse(proto, {"MatMul reads r, which comes later"});
}

TEST_F(ReadOnnx, RefusesBytesThatDoNotFit) {
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{32, 33}, {31, 32}, {32, 32, 0}, {2}, {-1, 32}, {INT64_MAX, 4}}) {
    onnx::ModelProto proto = small_model();
    auto* tensor = proto.mutable_graph()->mutable_initializer(0);
    tensor->mutable_dims()->Assign(dims.begin(), dims.end());
    refuse(proto, {"tensor w"});
  }
  onnx::ModelProto proto = small_model();
  proto.mutable_graph()->mutable_initializer(0)->clear_raw_data();
  refuse(proto, {"tensor w", "takes 4096 bytes, but there are 0"});
}

TEST_F(ReadOnnx, RefusesVersionsThatItDoesNotKnow) {
  for (const int64_t opset : {int64_t{0}, int64_t{6}, int64_t{99}, int64_t{-1}, INT64_MAX}) {
    onnx::ModelProto proto = small_model();
    proto.mutable_opset_import(0)->set_version(opset);
    refuse(proto, {fmt::format("opset {}", opset), "expected 7 to"}, ErrorCode::kUnsupported);
  }
  onnx::ModelProto proto = small_model();
  proto.set_ir_version(1000);
  refuse(proto, {"IR version 1000"}, ErrorCode::kUnsupported);
}

TEST_F(ReadOnnx, RefusesEndlessFunctions) {
  onnx::ModelProto proto = small_model();
  proto.add_opset_import()->set_domain("local");
  proto.mutable_opset_import(1)->set_version(1);
  const auto function = [&](const std::string& name, const std::string& calls) {
    auto* made = proto.add_functions();
    made->set_domain("local");
    made->set_name(name);
    made->add_input("a");
    made->add_output("c");
    *made->mutable_opset_import() = proto.opset_import();
    for (const auto& [from, to] : {std::pair("a", "b"), std::pair("b", "c")}) {
      auto* node = made->add_node();
      node->set_op_type(calls);
      node->set_domain(calls == "Relu" ? "" : "local");
      node->add_input(from);
      node->add_output(to);
    }
  };
  add_node(proto.mutable_graph(), "f0", {"x"}, {"z"})->set_domain("local");
  function("f0", "f0");
  refuse(proto, {"function f0 calls itself"}, ErrorCode::kUnsupported);
  proto.clear_functions();
  for (int i = 0; i < 19; ++i) {  // 2^20 nodes
    function("f" + std::to_string(i), "f" + std::to_string(i + 1));
  }
  function("f19", "Relu");
  refuse(proto, {"more than 1000000 nodes"}, ErrorCode::kUnsupported);
  proto.clear_functions();
  function("f0", "f1");
  function("f1", "Relu");
  const Model model = read(proto);
  EXPECT_EQ(model.proto.functions_size(), 0);
  EXPECT_EQ(model.proto.graph().node_size(), 1 + 4);
}

TEST_F(ReadOnnx, RefusesBodiesWithoutEnd) {
  onnx::ModelProto proto = small_model();
  onnx::GraphProto* graph = proto.mutable_graph();
  for (int i = 0; i < 32; ++i) {
    graph = add_body(add_node(graph, "If", {"x"}, {}), "then_branch");
  }
  refuse(proto, {"nested too deep"});
}

// A tensor cannot point at other tensors' bytes by the mark that the reader uses itself.
TEST_F(ReadOnnx, IgnoresDocumentation) {
  onnx::ModelProto proto = small_model();
  proto.mutable_graph()->mutable_initializer(0)->set_doc_string("7");
  *proto.mutable_graph()->add_initializer() = float_tensor("b", {2});
  proto.mutable_graph()->mutable_initializer(1)->set_doc_string("0");
  const Model model = read(proto);
  EXPECT_EQ(floats(model, "b").size(), 2U);
}

class ExternalData : public ReadOnnx {
 protected:
  // The weight of small_model() in another file.
  onnx::ModelProto external(const std::string& location,
                            const std::string& offset = "4",
                            const std::string& length = "4096") {
    onnx::ModelProto proto = small_model();
    auto* tensor = proto.mutable_graph()->mutable_initializer(0);
    content_ = tensor->raw_data();
    tensor->clear_raw_data();
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", location},
                                     {"offset", offset},
                                     {"length", length}}) {
      if (!value.empty()) {
        auto* entry = tensor->add_external_data();
        entry->set_key(key);
        entry->set_value(value);
      }
    }
    return proto;
  }
  void write_data(const fs::path& path) {
    fs::create_directories(path.parent_path());
    write_text(path, "1234" + content_ + "more");
  }
  std::string content_;
};

TEST_F(ExternalData, IsReadFromItsFolder) {
  for (const std::string location : {"data.bin", "./data.bin", "deep/er/data.bin"}) {
    for (const std::string length : {"4096", ""}) {
      const onnx::ModelProto proto = external(location, "4", length);
      fs::remove(folder_ / location);
      write_data(folder_ / location);
      std::string bytes(4096, '\0');
      read_bytes(*read(proto).weights.at("w"), 0, std::as_writable_bytes(std::span(bytes)));
      EXPECT_EQ(bytes, content_);
    }
  }
  std::vector<fs::path> files;
  read_onnx(path_, &files);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_TRUE(fs::equivalent(files[1], folder_ / "deep/er/data.bin"));
}

TEST_F(ExternalData, MustFit) {
  refuse(external("data.bin"), {"tensor w", "data.bin is missing"}, ErrorCode::kNotFound);
  write_data(folder_ / "data.bin");
  refuse(external("data.bin", "4", "4000"), {"tensor w", "4096 bytes, but there are 4000"});
  refuse(external("data.bin", "100"), {"tensor w", "ends at byte 4196"});
  refuse(external("data.bin", "100", ""), {"tensor w", "4096 bytes, but there are 4004"});
  refuse(external("data.bin", "18446744073709551615"), {"tensor w", "ends at byte"});
  refuse(external("data.bin", "4", "18446744073709551615"), {"tensor w", "ends at byte"});
  refuse(external("data.bin", "-4"), {"offset", "expected a number"});
  refuse(external("data.bin", "4 "), {"offset", "expected a number"});
}

TEST_F(ExternalData, StaysInTheFolder) {
  const TempFolder elsewhere;
  external("");
  write_data(elsewhere / "data.bin");
  for (const std::string& location : {(elsewhere / "data.bin").string(),
                                      std::string("../data.bin"),
                                      std::string("a/../../data.bin"),
                                      std::string("a\\b"),
                                      std::string("data.bin/"),
                                      std::string("."),
                                      std::string("a\0b", 3),
                                      std::string()}) {
    refuse(external(location), {"tensor w", "expected a path inside"});
  }
  fs::create_symlink(elsewhere / "data.bin", folder_ / "link.bin");
  refuse(external("link.bin"), {"a link that leaves"});
  fs::create_directory_symlink(elsewhere.path(), folder_ / "folder");
  refuse(external("folder/data.bin"), {"a link that leaves"});
}

// As the Hugging Face cache lays files out: both the model and its data are links into one folder.
TEST_F(ExternalData, MayBeALinkBesideALink) {
  const TempFolder blobs;
  const onnx::ModelProto proto = external("data.bin");
  write_data(blobs / "0123");
  save(proto, blobs / "4567");
  fs::create_symlink(blobs / "0123", folder_ / "data.bin");
  fs::create_symlink(blobs / "4567", path_);
  EXPECT_EQ(read_onnx(path_).weights.size(), 1U);
}

}  // namespace
}  // namespace lorapress
