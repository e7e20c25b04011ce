// The folder that press() writes: its manifest, what it leaves behind, what it refuses.
#include <gtest/gtest.h>

#include "lorapress/inspect.h"
#include "lorapress/press.h"

#include "base/sha256.h"
#include "bundles/manifest.h"
#include "golden_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;

PressOptions options_of(const std::string& name, const fs::path& out) {
  const Golden golden(name);
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  return options;
}

TEST(PressedFolder, IsWhatItsManifestSays) {
  const TempFolder folder;
  PressOptions options = options_of("base", folder / "out");
  options.external_data = true;
  options.max_new_tokens = 7;
  const PressReport report = press(options);
  const Manifest manifest = read_manifest(folder / "out");
  EXPECT_EQ(manifest.max_new_tokens, 7);
  EXPECT_LE(report.caption->ids.size(), 7U);
  std::vector<std::string> listed{kManifestName};
  for (const ManifestFile& file : manifest.files) {
    const std::string content = read_text(folder.path() / "out" / file.path);
    EXPECT_EQ(content.size(), file.bytes) << file.path;
    const std::string digest = sha256_hex(std::as_bytes(std::span(content)));
    EXPECT_EQ(file.sha256, std::vector<std::string>{digest}) << file.path;
    listed.push_back(file.path);
  }
  std::ranges::sort(listed);
  std::vector<std::string> found;
  for (const OutputFileInfo& file : report.files) {
    if (file.path != kManifestName) {
      EXPECT_EQ(fs::file_size(folder.path() / "out" / file.path), file.bytes) << file.path;
    }
    found.push_back(file.path);
  }
  EXPECT_EQ(found, listed);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"out"});
}

TEST(PressedFolder, HasTheFilesOfTransformersJs) {
  const TempFolder folder;
  PressOptions options = options_of("ropescale", folder / "out");
  options.external_data = true;
  export_bundle(options);
  const Json config = read_json(folder / "out/config.json");
  EXPECT_EQ(config.at("model_type"), "vision-encoder-decoder");
  EXPECT_EQ(config.at("decoder").at("n_head"), 2);  // key heads: the client sizes the cache by them
  EXPECT_EQ(config.at("decoder").at("n_embd"), 32);  // key heads times head_dim
  EXPECT_EQ(config.at("eos_token_id"), 2);
  const Json external = config.at("transformers.js_config").at("use_external_data_format");
  EXPECT_EQ(external.at("decoder_model_merged.onnx"), 1);
  const Json generation = read_json(folder / "out/generation_config.json");
  EXPECT_EQ(generation.at("eos_token_id"), Json::array({2, 0}));
  EXPECT_EQ(generation.at("max_new_tokens"), 30);
  EXPECT_EQ(read_json(folder / "out/preprocessor_config.json").at("size").at("height"), 32);
}

// The client sizes its caches by the decoder that it finds there.
TEST(PressedFolder, NamesItsOwnDecoder) {
  const TempFolder folder;
  for (const std::string& name : test::golden_names()) {
    PressOptions options = options_of(name, folder / name);
    const Json made = read_json(options.source.checkpoint / "config.json");  // by transformers
    const Json& model_type = made.at("text_config").at("model_type");
    options.bundle = "llava";
    export_bundle(options);
    const Json config = read_json(options.out / "config.json");
    EXPECT_EQ(config.at("text_config").at("model_type"), model_type);
    const Json model = read_json(options.out / kManifestName).at("model");
    EXPECT_EQ(model.at("text_model_type"), model_type);
    EXPECT_EQ(model.at("model_type"), "prefix_conditioning_vlm");
  }
}

// Dtypes that are written together share what they read, and are what each is by itself.
TEST(PressedFolder, HasTheSameFilesTogetherAndAlone) {
  const TempFolder folder;
  for (const std::string name : {"dora", "demo"}) {
    PressOptions options = options_of("dora", folder / name);
    if (name == "demo") {
      options.source = {};
      options.source.checkpoint = test::source_path("models/demo");
    }
    options.dtypes = {"q4", "fp32", "q8", "q4f16", "fp16", "uint8", "bnb4"};
    export_bundle(options);
    for (const std::string& dtype : std::vector(options.dtypes)) {
      options.dtypes = {dtype};
      options.out = folder / (name + "-" + dtype);
      export_bundle(options);
      const Manifest alone = read_manifest(options.out);
      for (const auto& [role, file] : alone.graphs.at(dtype)) {
        EXPECT_EQ(read_text(folder.path() / name / file), read_text(options.out / file))
            << name << " " << file;
      }
    }
  }
}

// The same input gives the same bytes, on any number of threads.
TEST(PressedFolder, IsReproducible) {
  const TempFolder folder;
  for (const unsigned threads : {1U, 4U}) {
    PressOptions options = options_of("dora", folder / std::to_string(threads));
    options.threads = threads;
    export_bundle(options);
  }
  for (const ManifestFile& file : read_manifest(folder / "1").files) {
    EXPECT_TRUE(read_text(folder.path() / "1" / file.path) ==
                read_text(folder.path() / "4" / file.path))
        << file.path;
  }
  EXPECT_EQ(read_text(folder.path() / "1" / kManifestName),
            read_text(folder.path() / "4" / kManifestName));
}

TEST(PressedFolder, LeavesNothingWhenItIsCancelled) {
  for (const std::string phase : {"write", "caption"}) {
    const TempFolder folder;
    PressOptions options = options_of("dora", folder / "out");
    bool reached = false;
    options.progress = [&](const Progress& progress) {
      if (progress.phase == phase && progress.done == progress.total) {
        reached = true;
        throw std::range_error("stop");
      }
    };
    EXPECT_THROW(press(options), std::range_error) << phase;
    EXPECT_TRUE(reached && folder.names().empty()) << phase;
  }
}

TEST(PressedFolder, IsReplacedOnlyByForce) {
  const TempFolder folder;
  PressOptions options = options_of("dora", folder / "out");
  export_bundle(options);
  write_text(folder / "out/stale", "x");
  message_of(ErrorCode::kExists, [&] { export_bundle(options); });
  EXPECT_TRUE(fs::exists(folder / "out/stale"));
  options.force = true;
  export_bundle(options);
  EXPECT_FALSE(fs::exists(folder / "out/stale"));
}

TEST(Press, RefusesWrongOptions) {
  const TempFolder folder;
  const auto press_with = [&](const auto& change) {
    return [&, change] {
      PressOptions options = options_of("dora", folder / "out");
      change(options);
      press(options);
    };
  };
  using Options = PressOptions;
  message_of(ErrorCode::kUnsupported, press_with([](Options& o) { o.bundle = "coreml"; }));
  message_of(ErrorCode::kUnsupported, press_with([](Options& o) { o.opset = 16; }));
  message_of(ErrorCode::kUnsupported, press_with([](Options& o) { o.opset = 24; }));
  message_of(ErrorCode::kUnsupported, press_with([](Options& o) { o.dtypes = {"q3"}; }));
  message_of(ErrorCode::kInvalidArgument, press_with([](Options& o) { o.max_new_tokens = -1; }));
  message_of(ErrorCode::kNotFound, press_with([](Options& o) { o.source.checkpoint = "/none"; }));
  EXPECT_TRUE(folder.names().empty());
}

TEST(Press, MakesADecoderAloneIntoABundleOfTextAlone) {
  const TempFolder folder;
  MergeOptions merging;
  const Golden golden("base");
  merging.source = golden.source(golden.cases().at(0));
  merging.out = folder / "merged";
  merge(merging);
  PressOptions options;
  options.source.checkpoint = folder / "merged/language_model";
  options.out = folder / "out";
  options.bundle = "transformers.js";
  const std::string text = message_of(ErrorCode::kMismatch, [&] { press(options); });
  EXPECT_TRUE(contains(text, "decoder alone")) << text;
  options.bundle.clear();
  EXPECT_EQ(press(options).bundle, "text-generation");
  options.out = folder / "whole";
  // The merged checkpoint itself is one, and gives the caption of the original.
  options.source.checkpoint = folder / "merged";
  const auto merged = press(options).caption;
  options = options_of("base", folder / "direct");
  EXPECT_EQ(press(options).caption->ids, merged->ids);
}

TEST(Caption, RefusesWhatDoesNotFit) {
  const TempFolder folder;
  export_bundle(options_of("dora", folder / "out"));
  const Captioner captioner(folder / "out");
  std::vector<float> pixels(static_cast<size_t>(3 * captioner.height() * captioner.width()));
  GenerateOptions options;
  options.max_new_tokens = 1;
  EXPECT_NO_THROW(captioner.caption_pixels(pixels, options));
  const GenerateOptions short_one = options;
  for (const int64_t most : {int64_t{512 - 15}, INT64_MAX}) {
    options.max_new_tokens = most;
    message_of(ErrorCode::kInvalidArgument, [&] { captioner.caption_pixels(pixels, options); });
  }
  for (const size_t count : {pixels.size() - 1, pixels.size() + 1, size_t{0}}) {
    const std::vector<float> wrong(count);
    message_of(ErrorCode::kInvalidArgument, [&] { captioner.caption_pixels(wrong, short_one); });
  }
  message_of(ErrorCode::kNotFound, [&] { captioner.caption(folder / "none.png"); });
  message_of(ErrorCode::kNotFound, [&] { Captioner other(folder / "out", {"fp16", 1}); });
  message_of(ErrorCode::kNotFound, [&] { Captioner other(folder / "none"); });
}

TEST(Inspect, KnowsEveryKind) {
  const TempFolder folder;
  export_bundle(options_of("adapter", folder / "out"));
  const fs::path golden = test::checkpoints_folder() / "adapter";
  const auto kind = [](const fs::path& path) { return parse_json(inspect(path), "x").at("kind"); };
  EXPECT_EQ(kind(folder / "out"), "bundle");
  EXPECT_EQ(kind(folder / "out/onnx/encoder_model.onnx"), "onnx");
  EXPECT_EQ(kind(golden / "base"), "checkpoint");
  EXPECT_EQ(kind(golden / "adapter"), "adapter");
  EXPECT_EQ(kind(golden / "base/model.safetensors"), "safetensors");
  message_of(ErrorCode::kUnsupported, [&] { inspect(golden / "base/config.json"); });
  message_of(ErrorCode::kNotFound, [&] { inspect(golden / "none"); });
  message_of(ErrorCode::kNotFound, [&] { inspect(golden / "golden"); });
  const Json decoder = parse_json(inspect(folder / "out/onnx/decoder_model_merged.onnx"), "x");
  EXPECT_EQ(decoder.at("opsets").at("ai.onnx"), 17);
  EXPECT_EQ(decoder.at("operators").at("com.microsoft.GroupQueryAttention"), 2);
  const Json checkpoint = parse_json(inspect(test::checkpoints_folder() / "dora"), "x");
  EXPECT_EQ(checkpoint.at("adapters").at(0).at("dora"), true);
  EXPECT_EQ(checkpoint.at("vision").at("image_tokens"), 16);
}

}  // namespace
}  // namespace lorapress
