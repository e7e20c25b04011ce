// Pressed folders run by the project's own engine: token for token what transformers' generate() gives, in
// both dialects; in other dtypes close to what ONNX Runtime computes from the same files.
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/generate.h"
#include "lorapress/press.h"

#include "cross_util.h"
#include "placeholder_util.h"
#include "runtime/engines.h"
#include "search_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::PlaceholderGolden;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

const CaptionerOptions kNative{"", 2, "native"};

class EngineGolden : public testing::TestWithParam<OpDialect> {
 protected:
  [[nodiscard]] fs::path press_to(PressOptions options) const {
    options.out =
        temp_ / std::to_string(fs::exists(temp_.path())
                                   ? std::distance(fs::directory_iterator(temp_.path()), {})
                                   : 0);
    options.ops = GetParam();
    export_bundle(options);
    return options.out;
  }
  TempFolder temp_;
};

TEST_P(EngineGolden, CaptionsBeamsAndBatchesWithAPrefix) {
  for (const std::string& name : test::golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const Json& row = golden.cases().at(0);
    PressOptions options;
    options.source = golden.source(row);
    const Captioner captioner(press_to(options), kNative);
    EXPECT_EQ(captioner.engine().name, "LoraPress");
    GenerateOptions asked;
    asked.max_new_tokens = golden.json.at("max_new_tokens");
    std::vector<std::vector<float>> pixels;
    std::vector<Ids> expected;
    for (const Json& wanted : row.at("captions")) {
      pixels.push_back(golden.row("pixel_values", wanted.at("image")));
      expected.push_back(wanted.at("ids").get<Ids>());
      EXPECT_EQ(captioner.caption_pixels(pixels.back(), asked).ids, expected.back());
    }
    const std::vector<Caption> batch = captioner.caption_batch(pixels, asked);
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(batch[i].ids, expected[i]) << "image " << i << " of a batch";
    }
  }
}

TEST_P(EngineGolden, SearchesWithAPrefix) {
  for (const Json& part : test::searches().at("checkpoints")) {
    const Golden golden(part.at("checkpoint").get<std::string>());
    const test::Pictures pictures(golden);
    PressOptions options;
    options.source = golden.source(golden.cases().at(0));
    const fs::path folder = press_to(options);
    Json manifest =
        read_json(folder / kManifestName);  // the searches were made with other end tokens
    manifest.at("generation").at("eos_token_id") = part.at("eos_token_ids");
    fs::remove(folder / kManifestName);
    write_text(folder / kManifestName, manifest.dump(2));
    const Captioner captioner(folder, kNative);
    for (const Json& row : part.at("searches")) {
      SCOPED_TRACE(row.dump());
      const GenerateOptions asked = test::to_options(row.at("options"), part.at("max_new_tokens"));
      EXPECT_EQ(captioner.caption_pixels(pictures.at(row), asked).ids, row.at("ids").get<Ids>());
    }
  }
}

TEST_P(EngineGolden, CaptionsAndBeamsWithCrossAttention) {
  for (const std::string& name : test::cross_golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name, test::cross_folder());
    const Json& row = golden.cases().at(0);
    const Captioner captioner(press_to(test::cross_press_options(golden, {})), kNative);
    GenerateOptions asked;
    asked.max_new_tokens = golden.json.at("max_new_tokens");
    for (const Json& wanted : row.at("captions")) {
      EXPECT_EQ(captioner.caption(golden.image(wanted.at("image")), asked).ids,
                wanted.at("ids").get<Ids>());
    }
    for (const Json& search : row.at("beams")) {
      GenerateOptions beams;
      beams.num_beams = search.at("options").at("num_beams");
      beams.max_new_tokens = search.at("options").at("max_new_tokens");
      for (const Json& result : search.at("results")) {
        EXPECT_EQ(captioner.caption(golden.image(result.at("image")), beams).ids,
                  result.at("ids").at(0).get<Ids>());
      }
    }
  }
}

TEST_P(EngineGolden, CaptionsAndBeamsWithPlaceholders) {
  for (const std::string& name : test::kPlaceholderGoldens) {
    SCOPED_TRACE(name);
    const PlaceholderGolden golden(name);
    const Captioner captioner(press_to(test::press_options(golden.source(), {})), kNative);
    for (const Json& row : golden.json.at("captions")) {
      GenerateOptions asked = golden.raw();
      EXPECT_EQ(captioner.caption(golden.image(row), asked).ids, row.at("ids").get<Ids>());
      asked.num_beams = 3;
      EXPECT_EQ(captioner.caption(golden.image(row), asked).ids, row.at("beams").get<Ids>());
    }
  }
}

TEST_P(EngineGolden, TextsOfADecoderAlone) {
  for (const char* name : {"llama", "qwen2"}) {
    SCOPED_TRACE(name);
    const fs::path folder = test::source_path("tests/goldens/text") / name;
    const Json golden = read_json(folder / "golden.json");
    PressOptions options;
    const bool adapted = fs::exists(folder / "adapter");
    options.source.checkpoint = folder / (adapted ? "adapter" : "merged");
    if (adapted) {
      options.source.bases = {folder / "base"};
    }
    const TextGenerator generator(press_to(options), {"", 2, "native"});
    for (const Json& row : golden.at("prompts")) {
      GenerateOptions asked;
      asked.prompt = row.at("prompt").get<std::string>();
      asked.system = row.value("system", "");
      asked.raw_prompt = row.value("raw_prompt", false);
      EXPECT_EQ(generator.generate(asked).ids, row.at("ids").get<Ids>()) << asked.prompt;
      asked.num_beams = 3;
      EXPECT_EQ(generator.generate(asked).ids, row.at("beams").at("ids").get<Ids>());
    }
  }
}

// Every dtype of a folder: mean KL divergence of the next token's distribution along ONNX Runtime's own
// tokens of the same file.
double mean_divergence(const fs::path& folder, const std::string& dtype, const Golden& golden) {
  const Manifest manifest = read_manifest(folder);
  const GraphChoice choice = choose_graphs(manifest, folder, dtype);
  const auto ort = open_decoder("ort", folder, manifest, choice, 1).decoder;
  const auto native = open_decoder("native", folder, manifest, choice, 2).decoder;
  double sum = 0.0;
  int64_t count = 0;
  for (size_t image = 0; image < 2; ++image) {
    const std::vector<float> pixels = golden.row("pixel_values", image);
    const Ids ids{manifest.decoder_start_token_id};
    const int64_t prefix = manifest.cross() ? 1 : manifest.image_tokens;
    const auto expected = ort->start({1, 1, prefix, 8});
    const auto found = native->start({1, 1, prefix, 8});
    expected->prefill(0, *ort->encode(pixels), ids);
    found->prefill(0, *native->encode(pixels), ids);
    for (int step = 0; step < 8; ++step) {
      const auto p = expected->logits(0);
      const auto q = found->logits(0);
      const auto log_sum = [](std::span<const float> logits) {
        const double most = *std::ranges::max_element(logits);
        double total = 0.0;
        for (const float logit : logits) {
          total += std::exp(static_cast<double>(logit) - most);
        }
        return most + std::log(total);
      };
      const double log_p = log_sum(p);
      const double log_q = log_sum(q);
      for (size_t i = 0; i < p.size(); ++i) {
        const double own = static_cast<double>(p[i]) - log_p;
        sum += std::exp(own) * (own - (static_cast<double>(q[i]) - log_q));
      }
      ++count;
      const Ids parents{0};
      const Ids next{std::ranges::max_element(p) - p.begin()};
      expected->step(parents, next);
      found->step(parents, next);
    }
  }
  return sum / static_cast<double>(count);
}

TEST_P(EngineGolden, DtypesAreCloseToOnnxRuntime) {
  for (const char* name : {"base", "clip", "gpt2", "qwen2", "vitgpt2"}) {
    const bool cross = std::string(name) == "vitgpt2";
    const Golden golden = cross ? Golden(name, test::cross_folder()) : Golden(name);
    PressOptions options;
    options.source = golden.source(golden.cases().at(0));
    options.dtypes = {"fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"};
    const fs::path folder = press_to(options);
    for (const std::string& dtype : options.dtypes) {
      SCOPED_TRACE(std::string(name) + " " + dtype);
      const bool exact = dtype == "fp32" || dtype == "bnb4";
      const double divergence = mean_divergence(folder, dtype, golden);
      RecordProperty(std::string(name) + "_" + dtype, std::to_string(divergence));
      EXPECT_LT(divergence, exact ? 1e-6 : 0.02) << divergence;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects,
                         EngineGolden,
                         testing::Values(OpDialect::kOrt, OpDialect::kStandard),
                         [](const auto& row) {
                           return row.param == OpDialect::kOrt ? "Fused" : "Standard";
                         });

TEST(Engine, WordsForEnginesAreRefusedByName) {
  const Golden golden("base");
  const TempFolder temp;
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = temp / "out";
  export_bundle(options);
  const std::string message = test::message_of(
      ErrorCode::kInvalidArgument, [&] { const Captioner captioner(options.out, {"", 1, "gpu"}); });
  EXPECT_NE(message.find("native"), std::string::npos) << message;
  EXPECT_EQ(Captioner(options.out, {"", 1, "auto"}).engine().name, "LoraPress");
  EXPECT_EQ(Captioner(options.out, {"", 1}).engine().name, "LoraPress");
}

}  // namespace
}  // namespace lorapress
