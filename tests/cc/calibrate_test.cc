// What calibration learns of the demo model and of files that images can be run through, and what
// `quantize --calibrate` makes of it.
#include "calibration/calibrate.h"

#include <gtest/gtest.h>

#include "lorapress/press.h"
#include "lorapress/quantize.h"

#include "bundles/bundle.h"
#include "checkpoint/checkpoint.h"
#include "golden_util.h"
#include "graph/read_onnx.h"
#include "onnx_util.h"
#include "quant/error_feedback.h"
#include "rewrite/rewrite.h"
#include "test_util.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

using test::contains;
using test::message_of;
using test::source_path;
using test::TempFolder;

struct Demo {
  Demo() {
    Source source;
    source.checkpoint = source_path("models/demo");
    std::vector<std::string> notes;
    const Checkpoint checkpoint = open_checkpoint(source);
    preprocessing = find_preprocessing(checkpoint, notes);
    const TokenizerFiles tokenizer = find_tokenizer(checkpoint);
    tokens = tokenizer.tokens;
    const BundleRequest request{
        checkpoint, preprocessing, tokenizer, OpDialect::kOrt, 17, 30, "fp32"};
    for (const BundleGraph& made : bundle("transformers.js").graphs(request, notes)) {
      models.push_back(to_model(made.graph));
    }
  }

  ActivationStats measure(const fs::path& images, const fs::path& scratch) {
    return calibrate({models.at(0),
                      models.at(1),
                      preprocessing,
                      tokens.decoder_start_token_id,
                      tokens.eos_token_ids,
                      30},
                     {images, scratch, 1, {}},
                     report);
  }

  std::vector<Model> models;
  Preprocessing preprocessing;
  SpecialTokens tokens;
  CalibrationReport report;
};

TEST(Calibrate, MeasuresEveryLinearLayer) {
  const TempFolder folder;
  Demo demo;
  const ActivationStats stats = demo.measure(source_path("models/demo/images"), folder.path());
  EXPECT_TRUE(contains(demo.report.notes.at(0), "calibrated with")) << demo.report.notes.at(0);
  EXPECT_TRUE(fs::is_empty(folder.path()));
  size_t matrices = 0;
  for (const Model& model : demo.models) {
    for (const auto& node : model.proto.graph().node()) {
      const auto weight = model.weights.find(node.input_size() > 1 ? node.input(1) : "");
      if ((node.op_type() != "MatMul" && node.op_type() != "Gemm") ||
          weight == model.weights.end()) {
        continue;
      }
      ++matrices;
      const Shape& shape = weight->second->shape();
      ASSERT_EQ(static_cast<int64_t>(stats.at(node.input(1))->size()),
                shape[node.op_type() == "Gemm" ? 1 : 0])
          << node.input(1);
    }
  }
  EXPECT_EQ(stats.size(), matrices);
  EXPECT_EQ(demo.report.images, 10);
}

TEST(Calibrate, WantsImages) {
  const TempFolder folder;
  Demo demo;
  write_text(folder / "notes.txt", "no image");
  EXPECT_TRUE(contains(
      message_of(ErrorCode::kNotFound, [&] { demo.measure(folder.path(), folder.path()); }),
      "no image to calibrate with"));
}

class QuantizeCalibrated : public testing::Test {
 protected:
  QuantizeCalibrated() {
    options_.dtype = "q4";
    options_.out = folder_ / "out.onnx";
    options_.scheme.rounding = Rounding::kSearch;
    options_.scheme.block_size = 16;
    options_.calibrate = source_path("models/demo/images");
  }

  void refuse(ErrorCode code, const std::string& words) {
    const std::string text = message_of(code, [&] { quantize(options_); });
    EXPECT_TRUE(contains(text, words)) << text;
    EXPECT_FALSE(fs::exists(options_.out));
  }

  TempFolder folder_;
  QuantizeOptions options_;
};

TEST_F(QuantizeCalibrated, TakesAGraphWhoseInputIsAnImage) {
  const test::OnnxGolden golden("torch_vision");
  fs::copy_file(golden.model, folder_ / "in.onnx");
  options_.model = folder_ / "in.onnx";
  const QuantizeReport report = quantize(options_);
  EXPECT_EQ(report.calibration_images, 10);
  EXPECT_GT(report.calibrated_weights, 0);
  ASSERT_EQ(report.notes.size(), 3U);
  EXPECT_TRUE(contains(report.notes[1], "calibrated with 10 images"));
  EXPECT_TRUE(contains(report.notes[2], "/depth/Conv (read by Conv)")) << report.notes[2];
  EXPECT_TRUE(contains(report.notes[0], "no preprocessor_config.json")) << report.notes[0];
  const std::string plain_bytes = read_text(options_.out);
  // Other normalisation, other statistics, other integers.
  write_text(folder_ / "preprocessor_config.json",
             R"({"size": {"height": 16, "width": 16}, "image_mean": [0, 0, 0.9],
                 "image_std": [0.1, 3, 3]})");
  options_.force = true;
  EXPECT_EQ(quantize(options_).notes.size(), 2U);
  const std::string other = read_text(options_.out);
  EXPECT_EQ(other.size(), plain_bytes.size());
  EXPECT_NE(other, plain_bytes);
  fs::remove(options_.out);
  fs::remove(folder_ / "preprocessor_config.json");
  write_text(folder_ / "preprocessor_config.json", R"({"size": {"height": 16, "width": 32}})");
  refuse(ErrorCode::kMismatch, "size is 32 x 16, input pixels expects 16 x 16");
}

TEST_F(QuantizeCalibrated, RunsTheFolderAroundADecoder) {
  PressOptions press_options;
  press_options.source.checkpoint = source_path("models/demo");
  press_options.out = folder_ / "pressed";
  press_options.dtypes = {"fp32", "q4"};
  press_options.scheme = options_.scheme;
  press_options.calibrate = options_.calibrate;
  export_bundle(press_options);
  const fs::path onnx = folder_ / "pressed/onnx";
  for (const std::string name : {"vision_encoder", "encoder_model", "decoder_model_merged"}) {
    if (!fs::exists(onnx / (name + ".onnx"))) {
      continue;
    }
    SCOPED_TRACE(name);
    options_.model = onnx / (name + ".onnx");
    options_.out = folder_ / (name + ".onnx");
    const QuantizeReport report = quantize(options_);
    EXPECT_EQ(report.uncalibrated_weights, 0);
    EXPECT_GT(report.calibrated_weights, 10);
    // The weights of the press itself. An encoder that is observed rounds a little differently from
    // one that only runs, so a few integers may be others.
    const Model pressed = read_onnx(onnx / (name + "_q4.onnx"));
    const Model quantized = read_onnx(options_.out);
    size_t compared = 0;
    for (const auto& [weight, values] : pressed.weights) {
      if (weight.ends_with("_Q4")) {
        ++compared;
        const std::string left = test::bytes_of(*values);
        const std::string right = test::bytes_of(*quantized.weights.at(weight));
        ASSERT_EQ(left.size(), right.size());
        size_t equal = 0;
        for (size_t i = 0; i < left.size(); ++i) {
          equal += left[i] == right[i] ? 1 : 0;
        }
        EXPECT_GT(equal * 100, left.size() * 98) << weight;
      }
    }
    EXPECT_EQ(static_cast<int64_t>(compared), report.calibrated_weights);
  }
  // Outside of its folder nothing says how to feed it.
  fs::copy_file(onnx / "decoder_model_merged.onnx", folder_ / "alone.onnx");
  options_.model = folder_ / "alone.onnx";
  options_.out = folder_ / "none.onnx";
  refuse(ErrorCode::kUnsupported, "options.calibrate takes a graph whose one input is an image");
}

TEST_F(QuantizeCalibrated, SaysWhatItTakes) {
  const auto with = [&](const std::string& name) { options_.model = test::OnnxGolden(name).model; };
  with("torch_traced");
  refuse(ErrorCode::kUnsupported, "options.calibrate takes a graph whose one input is an image");
  with("torch_vision");
  options_.scheme.rounding = Rounding::kNearest;
  refuse(ErrorCode::kInvalidArgument, "options.calibrate needs options.rounding search");
  options_.scheme.rounding = Rounding::kSearch;
  options_.dtype = "q8";
  refuse(ErrorCode::kInvalidArgument,
         "options.calibrate applies to q4 and q4f16, options.dtype is q8");
  options_.dtype = "q4f16";
  options_.calibrate = folder_ / "none";
  refuse(ErrorCode::kNotFound, "not a folder");
  options_.calibrate = folder_.path();
  refuse(ErrorCode::kNotFound, "no image to calibrate with");
}

// A body of If multiplies by a matrix that nothing in the main graph reads.
TEST_F(QuantizeCalibrated, CountsWhatItCannotSee) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  auto* opset = proto.add_opset_import();
  opset->set_domain("");
  opset->set_version(17);
  auto* graph = proto.mutable_graph();
  graph->set_name("g");
  *graph->add_input() = test::port("pixels", {1, 3, 16, 16});
  *graph->add_output() = test::port("y", {1, 3, 16, 32});
  const std::vector<float> numbers = test::Random(3).numbers(16 * 32 + 32 * 32);
  const auto add_weight = [&](const std::string& name, int64_t rows, size_t first) {
    auto* tensor = graph->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    tensor->add_dims(rows);
    tensor->add_dims(32);
    for (size_t i = 0; i < static_cast<size_t>(rows) * 32; ++i) {
      tensor->add_float_data(numbers[first + i]);
    }
  };
  add_weight("w", 16, 0);
  add_weight("hidden", 32, 16 * 32);
  auto* flag = graph->add_initializer();
  flag->set_name("flag");
  flag->set_data_type(onnx::TensorProto::BOOL);
  flag->add_int32_data(1);
  *graph->add_node() = make_node("MatMul", "/one", {"pixels", "w"}, {"h"});
  onnx::NodeProto branch = make_node("If", "/If", {"flag"}, {"y"});
  for (const std::string name : {"then_branch", "else_branch"}) {
    auto* attribute = branch.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::GRAPH);
    auto* body = attribute->mutable_g();
    body->set_name(name);
    *body->add_node() = make_node("MatMul", "/" + name, {"h", "hidden"}, {name + "_y"});
    *body->add_output() = test::port(name + "_y", {1, 3, 16, 32});
  }
  *graph->add_node() = branch;
  options_.model = folder_ / "in.onnx";
  test::save(proto, options_.model);
  const QuantizeReport report = quantize(options_);
  EXPECT_EQ(report.calibrated_weights, 1);
  EXPECT_EQ(report.uncalibrated_weights, 1);
}

}  // namespace
}  // namespace lorapress
