// Which graph of a folder does which part of a caption, and captions by graphs of two kinds.
#include "runtime/graph_choice.h"

#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/press.h"

#include "golden_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

Manifest press_golden(const fs::path& out,
                      std::vector<std::string> dtypes,
                      int accuracy_level = 4) {
  const Golden golden("base");
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  options.dtypes = std::move(dtypes);
  options.scheme.accuracy_level = accuracy_level;
  export_bundle(options);
  return read_manifest(out);
}

std::string chosen(const Manifest& manifest, const fs::path& folder, const std::string& wish) {
  const GraphChoice choice = choose_graphs(manifest, folder, wish);
  return choice.encoder + " " + choice.prefill + " " + choice.decoder;
}

TEST(GraphChoice, TakesWhatIsNamed) {
  const TempFolder folder;
  const Manifest manifest = press_golden(folder / "out", {"q8", "fp32"});
  const auto choose = [&](const std::string& wish) {
    return chosen(manifest, folder / "out", wish);
  };
  EXPECT_EQ(choose(""), "q8 q8 q8");
  EXPECT_EQ(choose("fp32"), "fp32 fp32 fp32");
  EXPECT_EQ(choose("encoder=fp32"), "fp32 q8 q8");
  EXPECT_EQ(choose("decoder=fp32"), "q8 fp32 fp32");
  EXPECT_EQ(choose("prefill=fp32"), "q8 fp32 q8");
  EXPECT_EQ(choose("decoder=fp32,prefill=q8,encoder=fp32"), "fp32 q8 fp32");
  for (const char* wish : {"vision=q8", "encoder=q8,", "=q8", "encoder=q8,q8", "encoder=q8;"}) {
    const bool form = std::string_view(wish) != "encoder=q8;";
    const std::string said = message_of(form ? ErrorCode::kInvalidArgument : ErrorCode::kNotFound,
                                        [&] { choose(wish); });
    EXPECT_TRUE(contains(said, form ? "encoder=q8,prefill=q8,decoder=q4" : "q8;")) << said;
  }
  for (const char* wish : {"q9", "prefill=q9", "Auto", "auto,encoder"}) {
    EXPECT_TRUE(
        contains(message_of(ErrorCode::kNotFound, [&] { choose(wish); }), "there are: fp32, q8"));
  }
}

struct AutoCase {
  std::vector<std::string> dtypes;
  int accuracy_level;
  const char* wanted;
};

TEST(GraphChoice, AutoTakesWhatMeasuredFastest) {
  for (const AutoCase& row : {AutoCase{{"fp32"}, 0, "fp32 fp32 fp32"},
                              AutoCase{{"fp32", "q4"}, 0, "fp32 q4 q4"},
                              AutoCase{{"q8", "q4"}, 0, "q8 q8 q8"},
                              AutoCase{{"q8", "q4"}, 4, "q8 q8 q4"},
                              AutoCase{{"fp32", "q8", "int8", "q4"}, 4, "int8 int8 q4"},
                              AutoCase{{"fp16", "q4f16"}, 4, "fp16 q4f16 q4f16"}}) {
    const TempFolder folder;
    const Manifest manifest = press_golden(folder / "out", row.dtypes, row.accuracy_level);
    EXPECT_EQ(chosen(manifest, folder / "out", "auto"), row.wanted);
    const Captioner captioner(folder / "out", {"auto", 1});
    const GraphDtypes dtypes = captioner.dtypes();
    EXPECT_EQ(dtypes.encoder + " " + dtypes.prefill + " " + dtypes.decoder, row.wanted);
    EXPECT_FALSE(captioner.caption(Golden("base").image(0)).ids.empty());
  }
}

// A second decoder in the folder of another, as dtype "second".
void add_decoder(const fs::path& folder, const fs::path& file) {
  Json manifest = test::version_1(read_json(folder / kManifestName));
  const std::string name = "onnx/second_decoder.onnx";
  fs::copy_file(file, folder / name);
  manifest["graphs"]["second"]["decoder"] = name;
  manifest["files"].push_back({{"path", name},
                               {"bytes", fs::file_size(folder / name)},
                               {"sha256", {std::string(64, '0')}}});
  fs::remove(folder / kManifestName);
  write_text(folder / kManifestName, manifest.dump(2));
}

fs::path export_decoder(const Golden& golden, const Json& row, const fs::path& out, OpDialect ops) {
  PressOptions options;
  options.source = golden.source(row);
  options.out = out;
  options.ops = ops;
  export_bundle(options);
  return out / "onnx/decoder_model_merged.onnx";
}

// One graph fills the cache and another goes on from it: both float32, so the tokens are those of
// PyTorch, whether the cache lies in place (ort) or one of the two makes it grow (standard).
TEST(TwoDecoders, ShareTheCache) {
  for (const std::string& name : test::golden_names()) {
    const Golden golden(name);
    const Json& row = golden.cases().at(0);
    const TempFolder folder;
    const fs::path model = folder / "model";
    export_decoder(golden, row, model, OpDialect::kOrt);
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(name + (ops == OpDialect::kOrt ? " ort" : " standard"));
      const fs::path other = folder / (ops == OpDialect::kOrt ? "ort" : "standard");
      const fs::path mixed = folder / (ops == OpDialect::kOrt ? "mixed_ort" : "mixed_standard");
      fs::copy(model, mixed, fs::copy_options::recursive);
      add_decoder(mixed, export_decoder(golden, row, other, ops));
      for (const char* wish : {"prefill=second", "prefill=fp32,decoder=second"}) {
        const Captioner captioner(mixed, CaptionerOptions{wish, 1});
        GenerateOptions options;
        options.max_new_tokens = golden.json.at("max_new_tokens");
        std::vector<std::vector<float>> all;
        for (const Json& wanted : row.at("captions")) {
          all.push_back(golden.row("pixel_values", wanted.at("image")));
          EXPECT_EQ(captioner.caption_pixels(all.back(), options).ids, wanted.at("ids").get<Ids>());
        }
        const std::vector<Caption> together = captioner.caption_batch(all, options);
        for (size_t i = 0; i < all.size(); ++i) {
          EXPECT_EQ(together[i].ids, row.at("captions").at(i).at("ids").get<Ids>());
        }
        options.num_beams = 3;
        EXPECT_EQ(captioner.caption_pixels(all[0], options).ids,
                  Captioner(model).caption_pixels(all[0], options).ids);
      }
    }
  }
}

// By ONNX Runtime: the own engine keeps float32, whatever the files say.
TEST(TwoDecoders, OfDifferentCachesAreRefused) {
  const TempFolder folder;
  press_golden(folder / "out", {"fp32", "fp16"});
  const std::string said = message_of(ErrorCode::kMismatch, [&] {
    Captioner(folder / "out", CaptionerOptions{"prefill=fp16,decoder=fp32", 1, "ort"});
  });
  for (const char* part : {"decoder_model_merged_fp16.onnx", "cache", "prefill=q8,decoder=q4"}) {
    EXPECT_TRUE(contains(said, part)) << said;
  }
}

TEST(TwoDecoders, OfDifferentModelsAreRefused) {
  const TempFolder folder;
  press_golden(folder / "out", {"fp32"});
  // A graph that reads other ports.
  add_decoder(folder / "out", folder / "out/onnx/encoder_model.onnx");
  EXPECT_TRUE(contains(
      message_of(ErrorCode::kMismatch,
                 [&] { Captioner(folder / "out", CaptionerOptions{"prefill=second", 1}); }),
      "input_ids"));
}

}  // namespace
}  // namespace lorapress
