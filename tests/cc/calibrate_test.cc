// Activation statistics of the demo model, measured on its own images.
#include "verbs/calibrate.h"

#include <cmath>
#include <gtest/gtest.h>

#include "bundles/bundle.h"
#include "checkpoint/checkpoint.h"
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
    const Checkpoint checkpoint = open_checkpoint(source);
    preprocessing = find_preprocessing(checkpoint, notes);
    const TokenizerFiles tokenizer = find_tokenizer(checkpoint);
    tokens = tokenizer.tokens;
    const BundleRequest request{
        checkpoint, preprocessing, tokenizer, OpDialect::kOrt, 17, 30, "fp32"};
    for (const BundleGraph& made : bundle("transformers.js").graphs(request, notes)) {
      models.push_back(to_model(made.graph));
    }
    notes.clear();
  }

  ActivationStats measure(const fs::path& images, const fs::path& scratch) {
    return calibrate({models.at(0),
                      models.at(1),
                      preprocessing,
                      tokens.decoder_start_token_id,
                      tokens.eos_token_ids,
                      30},
                     {images, scratch, 1, {}},
                     notes);
  }

  std::vector<Model> models;
  Preprocessing preprocessing;
  SpecialTokens tokens;
  std::vector<std::string> notes;
};

TEST(Calibrate, MeasuresEveryLinearLayer) {
  const TempFolder folder;
  Demo demo;
  const ActivationStats stats = demo.measure(source_path("models/demo/images"), folder.path());
  EXPECT_TRUE(contains(demo.notes.at(0), "calibrated with")) << demo.notes.at(0);
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
      const auto& sums = stats.at(node.input(1));
      ASSERT_EQ(std::ssize(sums), shape[node.op_type() == "Gemm" ? 1 : 0]) << node.input(1);
      for (const float sum : sums) {
        ASSERT_TRUE(std::isfinite(sum) && sum >= 0.0F) << node.input(1);
      }
    }
  }
  EXPECT_EQ(stats.size(), matrices);
}

TEST(Calibrate, WantsImages) {
  const TempFolder folder;
  Demo demo;
  write_text(folder / "notes.txt", "no image");
  EXPECT_TRUE(contains(
      message_of(ErrorCode::kNotFound, [&] { demo.measure(folder.path(), folder.path()); }),
      "no image to calibrate with"));
  EXPECT_TRUE(contains(
      message_of(ErrorCode::kNotFound, [&] { demo.measure(folder / "none", folder.path()); }),
      "not a folder"));
}

}  // namespace
}  // namespace lorapress
