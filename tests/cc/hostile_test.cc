// What broken input does to the library where the program cannot show it: tests/hostile runs the
// program itself.

#include <cstring>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/merge.h"
#include "lorapress/press.h"

#include "checkpoint/adapter.h"
#include "onnx/onnx-ml.pb.h"
#include "runtime/ort/ort.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::source_path;
using test::TempFolder;

PressOptions press_options(const test::fs::path& out) {
  PressOptions options;
  options.source.checkpoint = source_path("tests/goldens/checkpoints/base");
  options.out = out;
  return options;
}

TEST(HostileGraphs, OnlyTensorsGoInAndOut) {
  const TempFolder folder;
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  auto* graph = model.mutable_graph();
  graph->set_name("sequence");
  auto* node = graph->add_node();
  node->set_op_type("Identity");
  node->add_input("in");
  node->add_output("out");
  for (auto* port : {graph->add_input(), graph->add_output()}) {
    port->set_name(port == &graph->input(0) ? "in" : "out");
    auto* element = port->mutable_type()->mutable_sequence_type()->mutable_elem_type();
    element->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  }
  write_text(folder / "x.onnx", model.SerializeAsString());
  const std::string message =
      message_of(ErrorCode::kUnsupported, [&] { OrtSession(folder / "x.onnx", 1); });
  EXPECT_TRUE(contains(message, "x.onnx") && contains(message, "not a tensor")) << message;
}

TEST(HostileGraphs, FloatsAreNotReadFromOtherTypes) {
  const OrtTensor half(DType::kF16, {4});
  message_of(ErrorCode::kUnsupported, [&] { static_cast<void>(half.as_floats()); });
}

TEST(HostileCaption, PixelsMustFillTheImage) {
  const TempFolder folder;
  export_bundle(press_options(folder / "out"));
  const Captioner captioner(folder / "out");
  for (const size_t count : {size_t{0}, size_t{1}, size_t{3 * 32 * 32 - 1}, size_t{1 << 20}}) {
    const std::vector<float> pixels(count);
    message_of(ErrorCode::kInvalidArgument, [&] { captioner.caption_pixels(pixels); });
  }
  GenerateOptions endless;
  endless.max_new_tokens = INT64_MAX;
  const std::vector<float> pixels(size_t{3} * 32 * 32);
  message_of(ErrorCode::kInvalidArgument, [&] { captioner.caption_pixels(pixels, endless); });
}

// Whatever a progress callback throws comes out, in every phase, and nothing stays.
TEST(HostileProgress, CancelsInEveryPhase) {
  struct Cancelled {};
  for (const std::string phase : {"check", "write", "caption"}) {
    const TempFolder folder;
    PressOptions options = press_options(folder / "a/out");
    bool seen = false;
    options.progress = [&](const Progress& progress) {
      if (progress.phase == phase && (phase != "caption" || progress.done == 1)) {
        seen = true;
        throw Cancelled();
      }
    };
    EXPECT_THROW(press(options), Cancelled) << phase;
    EXPECT_TRUE(seen) << phase;
    EXPECT_TRUE(folder.names().empty()) << phase;
  }
}

TEST(HostileProgress, ManyThreadsAreNoMoreThanTheWork) {
  const TempFolder folder;
  MergeOptions options;
  options.source = press_options("").source;
  options.out = folder / "out";
  options.threads = UINT32_MAX;
  EXPECT_EQ(merge(options).merged, 8U);
}

// A second checkpoint fills gaps; its adapters are not for the tensors of the first.
TEST(HostileBase, AdaptersOfABaseStayWithItsTensors) {
  const TempFolder folder;
  MergeOptions options;
  options.source = press_options("").source;
  options.out = folder / "merged";
  merge(options);
  options.source.bases = {options.source.checkpoint};
  options.source.checkpoint = folder / "merged";
  options.out = folder / "again";
  const MergeReport report = merge(options);
  EXPECT_EQ(report.merged, 0U);
  ASSERT_FALSE(report.notes.empty());
  EXPECT_TRUE(contains(report.notes[0], "8 adapter modules")) << report.notes[0];
  EXPECT_EQ(read_text(folder / "merged/model.safetensors"),
            read_text(folder / "again/model.safetensors"));
}

TEST(HostileAdapter, PatternsCountInFileOrder) {
  Adapter adapter;
  adapter.where = "x";
  adapter.config = parse_adapter_config(
      R"({"r": 8, "lora_alpha": 8, "alpha_pattern": {"layers.0.q_proj": 2, ".*q_proj": 4}})", "x");
  const AdapterModule first{zeros(DType::kF32, {8, 4}),
                            zeros(DType::kF32, {4, 8}),
                            nullptr,
                            nullptr,
                            "model.layers.0.q_proj"};
  AdapterModule second = first;
  second.relative_module = "model.layers.1.q_proj";
  EXPECT_EQ(adapter.scaling(first), 0.25);
  EXPECT_EQ(adapter.scaling(second), 0.5);
}

// A pattern that takes a backtracking engine minutes.
TEST(HostileAdapter, PatternsCannotHang) {
  Adapter adapter;
  adapter.config =
      parse_adapter_config(R"({"r": 8, "alpha_pattern": {"(a*)*(a*)*(a*)*b": 2}})", "x");
  const AdapterModule module{zeros(DType::kF32, {8, 4}),
                             zeros(DType::kF32, {4, 8}),
                             nullptr,
                             nullptr,
                             std::string(100'000, 'a')};
  try {  // either it fails early or it is refused, within the limit of steps
    EXPECT_EQ(adapter.scaling(module), 1.0);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
}

TEST(HostileWeights, TransposeWritesAtAnyAddress) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const WeightPtr turned = transpose(float_constant({2, 3}, values));
  std::vector<std::byte> buffer(turned->bytes() + 1);
  turned->read({0, 3, 0, 2}, std::span(buffer).subspan(1));
  std::vector<float> read(values.size());
  std::memcpy(read.data(), buffer.data() + 1, turned->bytes());
  EXPECT_EQ(read, (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

}  // namespace
}  // namespace lorapress
