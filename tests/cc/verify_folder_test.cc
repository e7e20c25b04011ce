// verify on folders that were tampered with: graphs, numbers, tokens, dtypes, images.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bundles/manifest.h"
#include "graph/ports.h"
#include "onnx_edit.h"
#include "runtime/graph_choice.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_json;
using test::contains;
using test::Golden;
using test::options_of;
using test::source_of;
using test::TempFolder;
using test::write_bundle;
namespace fs = std::filesystem;

// One pressed folder per test, to be spoilt.
class VerifyFolder : public ::testing::Test {
 protected:
  VerifyFolder() { write_bundle(source_, model_); }
  [[nodiscard]] fs::path decoder() const { return model_ / "onnx/decoder_model_merged.onnx"; }
  [[nodiscard]] fs::path encoder() const { return model_ / "onnx/encoder_model.onnx"; }
  [[nodiscard]] VerifyReport run() const { return verify(options_of(source_, model_)); }
  // A second dtype: copies of both graphs, to be changed.
  void add_dtype(const std::string& dtype) {
    const Json names = {{"encoder", "onnx/encoder_model_" + dtype + ".onnx"},
                        {"decoder", "onnx/decoder_model_merged_" + dtype + ".onnx"}};
    fs::copy_file(encoder(), model_ / names["encoder"].get<std::string>());
    fs::copy_file(decoder(), model_ / names["decoder"].get<std::string>());
    change_json(model_ / kManifestName, [&](Json& json) {
      json = test::version_1(json);  // which says nothing of the changed graphs
      json["graphs"][dtype] = names;
      for (const Json& name : names) {
        json["files"].push_back({{"path", name}, {"bytes", 1}, {"sha256", {std::string(64, '0')}}});
      }
    });
  }
  [[nodiscard]] fs::path file_of(const std::string& dtype, const std::string& role) const {
    return graph_file(read_manifest(model_), model_, dtype, role);
  }

  TempFolder folder_;
  fs::path model_ = folder_ / "model";
  Source source_ = source_of("base");
};

TEST_F(VerifyFolder, AdapterLeftOut) {
  const Golden golden("adapter");
  const Source with = golden.source(golden.cases().at(1));
  ASSERT_FALSE(with.adapters.empty());
  Source without = with;
  without.adapters.clear();
  const TempFolder other;
  write_bundle(without, other / "model");
  const VerifyReport report = verify(options_of(with, other / "model"));
  EXPECT_FALSE(report.passed);
  EXPECT_LT(report.dtypes[0].forced.match(), 1.0);
  EXPECT_LT(report.dtypes[0].captions_equal, 6);
}

TEST_F(VerifyFolder, LogitsOfEveryImagePosition) {
  const auto layer = std::to_string(read_manifest(model_).num_hidden_layers - 1);
  test::edit_onnx(decoder(), [&](onnx::GraphProto& graph) {
    for (const char* which : {"last_attended", "last_stream"}) {
      onnx::NodeProto& node =
          test::node_of(graph, fmt::format("/decoder/layers.{}/{}/Gather", layer, which));
      node.set_op_type("Identity");
      node.clear_attribute();
      node.mutable_input()->RemoveLast();
    }
    test::node_of(graph, "/decoder/lm_head/Unflatten")
        .set_input(1, test::add_integers(graph, "all_positions", {1, -1, 320}));
    for (onnx::ValueInfoProto& output : *graph.mutable_output()) {
      if (output.name() == kLogits) {
        output.mutable_type()
            ->mutable_tensor_type()
            ->mutable_shape()
            ->mutable_dim(1)
            ->set_dim_param("positions");
      }
    }
  });
  const VerifyReport report = run();
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(
      contains(all_faults(report), "logits for 16 positions in its first call (16 of the image)"))
      << all_faults(report);
}

TEST_F(VerifyFolder, LogitsOfTheWrongPosition) {
  const auto layer = std::to_string(read_manifest(model_).num_hidden_layers - 1);
  test::edit_onnx(decoder(), [&](onnx::GraphProto& graph) {
    const std::string first = test::add_integers(graph, "first_position", {0});
    for (const char* which : {"last_attended", "last_stream"}) {
      test::node_of(graph, fmt::format("/decoder/layers.{}/{}/Gather", layer, which))
          .set_input(1, first);
    }
  });
  const VerifyReport report = run();  // later calls have one position alone, which is right
  EXPECT_FALSE(report.passed);
  EXPECT_LT(report.dtypes[0].captions_equal, 3);
  EXPECT_LT(report.dtypes[0].forced.match(), 1.0);
  for (const ImageParity& image : report.dtypes[0].images) {
    EXPECT_GT(image.kl[0], 1e-3);
    EXPECT_LT(image.kl[1], 1e-9);
  }
}

TEST_F(VerifyFolder, WrongPreprocessingNumbers) {
  struct Row {
    const char* file;
    std::function<void(Json&)> change;
    const char* says;
  };
  const auto manifest = [](const char* key, const Json& value) {
    return [key, value](Json& json) { json["preprocessing"][key] = value; };
  };
  const auto own = [](const char* key, const Json& value) {
    return [key, value](Json& json) { json[key] = value; };
  };
  const std::vector<Row> rows{
      {kManifestName, manifest("image_mean", {0.5, 0.5, 0.4}), "lorapress.json: image_mean is"},
      {kManifestName, manifest("image_std", {0.5, 0.25, 0.5}), "lorapress.json: image_std is"},
      {kManifestName, manifest("rescale_factor", 1.0), "lorapress.json: rescale_factor is 1"},
      {kManifestName, manifest("resample", "bilinear"), "lorapress.json: resample is bilinear"},
      {"preprocessor_config.json", own("image_mean", {0, 0, 0}), "config.json: image_mean is"},
      {"preprocessor_config.json", own("image_std", {1, 1, 1}), "config.json: image_std is"},
      {"preprocessor_config.json", own("rescale_factor", 0.5), "config.json: rescale_factor is"},
      {"preprocessor_config.json", own("resample", 2), "config.json: resample is bilinear"},
      {"preprocessor_config.json", own("resample", 9), "resample 9 is not supported"},
      {"preprocessor_config.json", own("do_normalize", false), "\"do_normalize\" is false"},
      {"preprocessor_config.json", own("size", {{"height", 64}, {"width", 64}}), "64 x 64"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.says);
    const std::string good = read_text(model_ / row.file);
    change_json(model_ / row.file, row.change);
    const VerifyReport report = run();
    EXPECT_FALSE(report.passed);
    EXPECT_TRUE(contains(all_faults(report), row.says)) << all_faults(report);
    if (row.file == std::string(kManifestName)) {  // what the graphs were fed with here
      EXPECT_GT(report.images[0].pixel_difference, 1e-3);
      EXPECT_FALSE(report.dtypes[0].passed);
    }
    fs::remove(model_ / row.file);
    write_text(model_ / row.file, good);
  }
}

TEST_F(VerifyFolder, OtherTokens) {
  change_json(model_ / kManifestName,
              [](Json& json) { json["generation"]["eos_token_id"] = {268}; });
  VerifyReport report = run();
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), "eos_token_id is [268], expected [0]"));
  change_json(model_ / kManifestName, [](Json& json) { json["generation"]["eos_token_id"] = {0}; });
  fs::remove(model_ / "tokenizer.json");
  fs::copy_file(test::checkpoints_folder() / "odd/tokenizer.json", model_ / "tokenizer.json");
  const std::string ours = read_text(test::checkpoints_folder() / "base/tokenizer.json");
  if (read_text(model_ / "tokenizer.json") != ours) {
    report = run();
    EXPECT_EQ(report.passed, report.faults.empty());
    EXPECT_FALSE(report.faults.empty() && report.notes.empty());
  }
}

// Half-precision ports, as fp16 files have them; the arithmetic between them is exact.
TEST_F(VerifyFolder, HalfPrecisionPorts) {
  add_dtype("fp16");
  test::edit_onnx(file_of("fp16", "encoder"),
                  [](onnx::GraphProto& graph) { test::make_half_ports(graph, "pixel_values"); });
  test::edit_onnx(file_of("fp16", "decoder"),
                  [](onnx::GraphProto& graph) { test::make_half_ports(graph, ""); });
  VerifyOptions options = options_of(source_, model_);
  options.layers = true;
  options.engine = "ort";  // the own engine computes them in float32
  const VerifyReport report = verify(options);
  ASSERT_EQ(report.dtypes.size(), 2U);
  EXPECT_EQ(report.dtypes[0].dtype, "fp32");  // the folder's default stands first
  EXPECT_TRUE(report.dtypes[0].passed);
  const DtypeParity& half = report.dtypes[1];
  EXPECT_GT(half.forced.relative_error, 1e-5);
  EXPECT_LT(half.forced.relative_error, 1e-2);
  EXPECT_GT(half.prefix_error, 1e-5);
  EXPECT_LT(half.prefix_error, 1e-3);
  EXPECT_EQ(half.required_match, 1.0);
  EXPECT_EQ(half.layers.size(), report.dtypes[0].layers.size());
}

TEST_F(VerifyFolder, MinMatch) {
  add_dtype("q4");
  // The head sees the last norm's weight as zeros: every logit is 0.
  test::edit_onnx(file_of("q4", "decoder"), [](onnx::GraphProto& graph) {
    for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
      if (tensor.name() == "language_model.model.norm.weight") {
        std::ranges::fill(*tensor.mutable_raw_data(), '\0');
      }
    }
  });
  VerifyOptions options = options_of(source_, model_);
  VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);  // only measured
  EXPECT_EQ(report.dtypes[1].required_match, 0.0);
  EXPECT_LT(report.dtypes[1].forced.match(), 0.1);
  EXPECT_EQ(report.dtypes[1].captions_equal, 0);
  EXPECT_GT(report.dtypes[1].forced.kl_mean, 0.1);
  options.min_match = 0.5;
  report = verify(options);
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(report.dtypes[0].passed);
  EXPECT_TRUE(contains(all_faults(report), "50.00 % are required")) << all_faults(report);
  options.dtypes = {"fp32"};
  report = verify(options);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.dtypes.size(), 1U);
  options.dtypes = {"q8"};
  EXPECT_TRUE(contains(test::message_of(ErrorCode::kNotFound, [&] { verify(options); }),
                       "no dtype \"q8\" (there are: fp32, q4)"));
}

TEST_F(VerifyFolder, LogitsThatAreNoNumbers) {
  test::edit_onnx(decoder(), [](onnx::GraphProto& graph) {
    for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
      if (tensor.name() == "language_model.model.norm.weight") {
        std::ranges::fill(*tensor.mutable_raw_data(), '\xFF');
      }
    }
  });
  VerifyOptions options = options_of(source_, model_);
  options.layers = true;
  options.min_match = 0.0;
  const VerifyReport report = verify(options);
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), "logits are not finite")) << all_faults(report);
  EXPECT_TRUE(report.dtypes[0].images[0].ids.empty());
}

TEST_F(VerifyFolder, OfAnotherModel) {
  const std::string text =
      test::message_of(ErrorCode::kMismatch, [&] { verify(options_of(source_of("odd"), model_)); });
  EXPECT_TRUE(contains(text, "is not the model of")) << text;
}

TEST_F(VerifyFolder, Images) {
  fs::create_directory(folder_ / "images");
  VerifyOptions options = options_of(source_, model_);
  options.images = folder_ / "images";
  test::message_of(ErrorCode::kInvalidArgument, [&] { verify(options); });
  const Golden golden("base");
  options.max_new_tokens = golden.json.at("max_new_tokens");
  fs::copy_file(golden.image(1), folder_ / "images/b.png");
  fs::copy_file(golden.image(0), folder_ / "images/a.PNG");
  write_text(folder_ / "images/notes.txt", "none");
  VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  ASSERT_EQ(report.images.size(), 2U);
  EXPECT_EQ(report.images[0].name, "a.PNG");
  EXPECT_EQ(report.images[0].ids,
            golden.cases().at(0).at("captions").at(0).at("ids").get<std::vector<int64_t>>());
  EXPECT_TRUE(contains(fmt::format("{}", fmt::join(report.notes, " ")), "notes.txt"));
  write_text(folder_ / "images/broken.jpg", "no picture");
  report = verify(options);
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.unreadable_images, 1);
  EXPECT_TRUE(contains(report.images[2].error, "broken.jpg"));
  EXPECT_EQ(report.dtypes[0].images.size(), 2U);
  EXPECT_TRUE(report.dtypes[0].passed);
  fs::remove(folder_ / "images/a.PNG");
  fs::remove(folder_ / "images/b.png");
  test::message_of(ErrorCode::kInvalidArgument, [&] { verify(options); });
}

TEST_F(VerifyFolder, TokensAndCancelling) {
  VerifyOptions options = options_of(source_, model_);
  options.max_new_tokens = 3;
  const VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.dtypes[0].forced.tokens, 18);
  options.max_new_tokens = 512;
  test::message_of(ErrorCode::kInvalidArgument, [&] { verify(options); });
  options.max_new_tokens = 0;
  options.html = folder_ / "page.html";
  options.progress = [](const Progress& progress) {
    if (progress.phase == "fp32") {
      throw Error(ErrorCode::kIo, "interrupted");
    }
  };
  test::message_of(ErrorCode::kIo, [&] { verify(options); });
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"model"});
}

}  // namespace
}  // namespace lorapress
