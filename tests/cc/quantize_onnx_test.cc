// `quantize` over files of torch, optimum and onnx, in every dtype that there is.
#include <gtest/gtest.h>

#include "lorapress/quantize.h"

#include "graph/check.h"
#include "graph/read_onnx.h"
#include "onnx_util.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::OnnxGolden;
using test::relative_error;
using test::TempFolder;

namespace fs = std::filesystem;

class Golden : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(OnnxFiles,
                         Golden,
                         testing::ValuesIn(OnnxGolden::names()),
                         [](const auto& info) { return info.param; });

// Reading, hoisting and writing change no number.
TEST_P(Golden, IsReadAndWritten) {
  const OnnxGolden golden(GetParam());
  const TempFolder folder;
  const Model model = read_onnx(golden.model);
  check_model(model);
  for (const bool external : {false, true}) {
    const fs::path path = folder / (external ? "external.onnx" : "whole.onnx");
    test::write_model(model, path, external);
    EXPECT_LT(relative_error(golden.run(path), golden.expected()), 1e-5);
    // A second reading finds the same weights.
    const Model again = read_onnx(path);
    ASSERT_EQ(again.weights.size(), model.weights.size());
    for (const auto& [name, weight] : model.weights) {
      const WeightPtr other = again.weights.at(name);
      ASSERT_EQ(other->bytes(), weight->bytes()) << name;
      std::vector<std::byte> left(weight->bytes());
      std::vector<std::byte> right(weight->bytes());
      read_bytes(*weight, 0, left);
      read_bytes(*other, 0, right);
      EXPECT_EQ(left, right) << name;
    }
  }
}

// What names, graphs and weights promise (graph/model.h).
TEST_P(Golden, KeepsTheContract) {
  const Model model = read_onnx(OnnxGolden(GetParam()).model);
  std::set<std::string> values;
  std::set<std::string> known;
  const std::function<void(const onnx::GraphProto&, bool)> visit =
      [&](const onnx::GraphProto& graph, bool main) {
        for (const auto& input : graph.input()) {
          EXPECT_TRUE(values.insert(input.name()).second) << input.name();
        }
        for (const auto& tensor : graph.initializer()) {
          EXPECT_TRUE(main) << tensor.name();
          const bool is_default =
              std::ranges::find(graph.input(), tensor.name(), &onnx::ValueInfoProto::name) !=
              graph.input().end();
          EXPECT_TRUE(values.insert(tensor.name()).second || is_default) << tensor.name();
        }
        for (const auto& node : graph.node()) {
          for (const auto& attribute : node.attribute()) {
            if (attribute.has_g()) {
              visit(attribute.g(), false);
            }
          }
          for (const auto& output : node.output()) {
            EXPECT_TRUE(output.empty() || values.insert(output).second) << output;
          }
        }
      };
  visit(model.proto.graph(), true);
  for (const auto& [name, weight] : model.weights) {
    EXPECT_TRUE(values.contains(name));
  }
}

// The weights here are random numbers, which no rounding treats well: what is checked is that the
// right weights were rounded, and none twice.
double tolerance(std::string_view dtype) {
  constexpr double kExact = 1e-5;
  constexpr double kHalf = 5e-3;
  constexpr double kEightBits = 0.08;
  constexpr double kFourBits = 0.5;
  if (dtype == "fp32") {
    return kExact;
  }
  if (dtype == "fp16") {
    return kHalf;
  }
  return contains(dtype, "4") ? kFourBits : kEightBits;
}

TEST_P(Golden, RunsInEveryDtype) {
  const OnnxGolden golden(GetParam());
  const TempFolder folder;
  for (const Scheme& scheme : schemes()) {
    QuantizeOptions options;
    options.model = golden.model;
    options.dtype = scheme.name;
    options.out = folder / (std::string(scheme.name) + ".onnx");
    const QuantizeReport report = quantize(options);
    ASSERT_EQ(report.files.size(), 1U);
    EXPECT_EQ(report.files[0].bytes, fs::file_size(options.out));
    EXPECT_LT(relative_error(golden.run(options.out), golden.expected()), tolerance(scheme.name))
        << scheme.name;
    const bool is_half = scheme.name == "fp16" && golden.name == "halves";  // already
    EXPECT_EQ(scheme.name == "fp32" || is_half, report.operators.empty()) << scheme.name;
  }
}

class QuantizeFiles : public testing::Test {
 protected:
  QuantizeFiles() {
    options_.model = folder_ / "in.onnx";
    options_.out = folder_ / "out.onnx";
    options_.dtype = "fp32";
    test::save(test::small_model(), options_.model);
  }
  void refuse(ErrorCode code, const std::string& words) {
    const std::vector<std::string> before = folder_.names();
    const std::string text = message_of(code, [&] { quantize(options_); });
    EXPECT_TRUE(contains(text, words)) << text;
    EXPECT_EQ(folder_.names(), before);
  }

  TempFolder folder_;
  QuantizeOptions options_;
};

TEST_F(QuantizeFiles, WritesExternalDataBesideTheModel) {
  options_.external_data = true;
  const QuantizeReport report = quantize(options_);
  EXPECT_EQ(report.files.size(), 2U);
  EXPECT_EQ(folder_.names(), (std::vector<std::string>{"in.onnx", "out.onnx", "out.onnx_data"}));
  EXPECT_EQ(report.bytes_in, fs::file_size(options_.model));
  // The result is input for the next run, and counts its data.
  QuantizeOptions again = options_;
  again.model = options_.out;
  again.out = folder_ / "new/deep/whole.onnx";
  again.external_data = false;
  EXPECT_GT(quantize(again).bytes_in, fs::file_size(folder_ / "out.onnx_data"));
  EXPECT_EQ(fs::file_size(again.out), fs::file_size(options_.model));
}

TEST_F(QuantizeFiles, ReplacesOnlyWithForce) {
  quantize(options_);
  refuse(ErrorCode::kExists, "out.onnx: exists already; pass options.force");
  options_.force = true;
  EXPECT_NO_THROW(quantize(options_));
  options_.out = folder_.path();
  refuse(ErrorCode::kExists, "is no file");
  for (const std::string name : {"", ".", "x/", "x/.."}) {
    options_.out = name;
    refuse(ErrorCode::kInvalidArgument, "OUT");
  }
}

TEST_F(QuantizeFiles, NeverReplacesWhatItReads) {
  options_.force = true;
  options_.out = options_.model;
  refuse(ErrorCode::kInvalidArgument, "is what is read");
  fs::create_hard_link(options_.model, folder_ / "same.onnx");
  options_.out = folder_ / "same.onnx";
  refuse(ErrorCode::kInvalidArgument, "is what is read");
  // Data that the new model would be written over.
  options_.out = folder_ / "split.onnx";
  options_.external_data = true;
  quantize(options_);
  fs::rename(folder_ / "split.onnx", folder_ / "other.onnx");
  options_.model = folder_ / "other.onnx";
  refuse(ErrorCode::kInvalidArgument, "split.onnx_data: is what is read");
  options_.force = false;
  refuse(ErrorCode::kExists, "split.onnx_data");
}

TEST_F(QuantizeFiles, LeavesNothingWhenCancelled) {
  options_.out = folder_ / "new/out.onnx";
  options_.progress = [](const Progress&) { throw Error(ErrorCode::kIo, "cancelled"); };
  refuse(ErrorCode::kIo, "cancelled");
}

TEST_F(QuantizeFiles, ChecksOptionsFirst) {
  options_.model = folder_ / "none.onnx";
  options_.dtype = "q3";
  refuse(ErrorCode::kUnsupported, "q3");
  options_.dtype = "fp32";
  refuse(ErrorCode::kNotFound, "none.onnx");
  options_.scheme.block_size = 33;
  refuse(ErrorCode::kInvalidArgument, "options.block_size 33");
}

TEST_F(QuantizeFiles, NamesWhatItLeaves) {
  onnx::ModelProto proto = test::small_model();
  onnx::GraphProto* graph = proto.mutable_graph();
  *graph->add_initializer() = test::float_tensor("left", {256, 2});
  *graph->add_initializer() = test::float_tensor("kept", {32, 32});
  *graph->add_output() = test::port("z", {256, 32});
  *graph->add_output() = test::port("k", {2, 32});
  test::add_node(graph, "MatMul", {"left", "x"}, {"z"})->set_name("/z");
  test::add_node(graph, "MatMul", {"x", "kept"}, {"k"})->set_name("/k");
  test::save(proto, options_.model);
  options_.dtype = "int8";
  options_.scheme.exclude = {"/k"};
  const QuantizeReport report = quantize(options_);
  EXPECT_EQ(report.quantized_matrices, 1);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_EQ(report.notes[0],
            "2 of 3 matrices not in 8 bit: /k (options.exclude); /z (the constant is on the left)");
  ASSERT_EQ(report.kept.size(), 2U);
  EXPECT_EQ(report.kept[0].name, "/k");
}

TEST_F(QuantizeFiles, RefusesToDoNothing) {
  options_.scheme.exclude = {"w"};
  for (const Scheme& scheme : schemes()) {
    options_.dtype = scheme.name;
    if (scheme.name == "fp32" || scheme.name == "fp16") {
      continue;
    }
    refuse(ErrorCode::kUnsupported, "nothing in it is quantized to");
  }
  options_.allow_unquantized = true;
  const QuantizeReport report = quantize(options_);
  EXPECT_EQ(report.notes,
            std::vector<std::string>{"nothing in it is quantized to 4 bit: w (options.exclude)"});
}

// From IR version 4 on a caller may feed another matrix; before, every initializer is an input.
TEST_F(QuantizeFiles, LeavesTheDefaultsOfInputs) {
  onnx::ModelProto proto = test::small_model();
  *proto.mutable_graph()->add_input() = test::port("w", {32, 32});
  options_.dtype = "q8";
  test::save(proto, options_.model);
  refuse(ErrorCode::kUnsupported, "w (inputs that callers may feed, unless options.freeze_inputs)");
  options_.freeze_inputs = true;
  EXPECT_EQ(quantize(options_).quantized_matrices, 1);
  options_.freeze_inputs = false;
  options_.force = true;
  proto.set_ir_version(3);
  test::save(proto, options_.model);
  EXPECT_EQ(quantize(options_).quantized_matrices, 1);
}

// ONNX's strict rules refuse this graph, ONNX Runtime runs it.
TEST_F(QuantizeFiles, SaysWhenTheInputDoesNotPassTheChecker) {
  onnx::ModelProto proto = test::small_model();
  *proto.mutable_graph()->mutable_output(0) = test::port("y", {2, 33});
  test::save(proto, options_.model);
  const QuantizeReport report = quantize(options_);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_TRUE(contains(report.notes[0], "not checked")) << report.notes[0];
}

}  // namespace
}  // namespace lorapress
