// Models whose decoder attends to the encoder, VisionEncoderDecoderModel and
// BlipForConditionalGeneration: pressed folders against transformers' generate().
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/inspect.h"
#include "lorapress/merge.h"
#include "lorapress/press.h"

#include "checkpoint/generation_settings.h"
#include "cross_util.h"
#include "golden_util.h"
#include "pressed.h"
#include "verify/reference.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::largest_difference;
using test::message_of;
using test::Pressed;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

void expect_captions(const fs::path& folder, const Golden& golden) {
  const Json& row = golden.cases().at(0);
  const Captioner captioner(folder);
  GenerateOptions options;
  options.max_new_tokens = golden.json.at("max_new_tokens");
  for (const Json& wanted : row.at("captions")) {
    const Caption caption = captioner.caption(golden.image(wanted.at("image")), options);
    EXPECT_EQ(caption.ids, wanted.at("ids").get<Ids>());
    EXPECT_EQ(caption.text, wanted.at("text").get<std::string>());
  }
  const Json& prompt = row.at("prompt");
  GenerateOptions prompted = options;
  prompted.prompt = prompt.at("prompt_text");
  EXPECT_EQ(captioner.caption(golden.image(prompt.at("image")), prompted).ids,
            prompt.at("ids").get<Ids>());
  for (const Json& search : row.at("beams")) {
    GenerateOptions beams;
    beams.num_beams = search.at("options").at("num_beams");
    beams.max_new_tokens = search.at("options").at("max_new_tokens");
    for (const Json& result : search.at("results")) {
      ASSERT_TRUE(result.at("robust"));
      const Caption caption = captioner.caption(golden.image(result.at("image")), beams);
      EXPECT_EQ(caption.ids, result.at("ids").at(0).get<Ids>());
      EXPECT_NEAR(caption.score, result.at("scores").at(0).get<double>(), 1e-4);
    }
  }
}

// Rules of generation see the start token and the prompt.
void expect_variants(const fs::path& folder, const Golden& golden) {
  const Captioner captioner(folder);
  const Json& variants = golden.cases().at(0).at("variants");
  ASSERT_GE(variants.size(), 6U);
  for (const Json& row : variants) {
    SCOPED_TRACE(row.at("options").dump());
    GenerateOptions options;
    static_cast<GenerationSettings&>(options) = parse_generation_settings(
        row.at("options"), golden.json.at("vocab_size").get<int64_t>(), "variants");
    if (row.contains("prompt_ids")) {
      options.prompt = golden.cases().at(0).at("prompt").at("prompt_text");
      ASSERT_EQ(row.at("prompt_ids"), golden.cases().at(0).at("prompt").at("prompt_ids"));
    }
    EXPECT_EQ(captioner.caption(golden.image(row.at("image")), options).ids,
              row.at("ids").get<Ids>());
  }
}

// Images together give what each gives alone, also where their beams lie side by side in one cache.
void expect_batches(const fs::path& folder, const Golden& golden) {
  const Json& row = golden.cases().at(0);
  const Captioner captioner(folder);
  const std::vector<std::vector<float>> pixels{golden.row("pixel_values", 0),
                                               golden.row("pixel_values", 1)};
  GenerateOptions options;
  options.max_new_tokens = golden.json.at("max_new_tokens");
  const std::vector<Caption> greedy = captioner.caption_batch(pixels, options);
  const Json& search = row.at("beams").at(0);
  options.num_beams = search.at("options").at("num_beams");
  options.max_new_tokens = search.at("options").at("max_new_tokens");
  const std::vector<Caption> beams = captioner.caption_batch(pixels, options);
  for (size_t i = 0; i < pixels.size(); ++i) {
    EXPECT_EQ(greedy[i].ids, row.at("captions").at(i).at("ids").get<Ids>());
    EXPECT_EQ(beams[i].ids, search.at("results").at(i).at("ids").at(0).get<Ids>());
  }
}

void expect_near(const std::vector<float>& got,
                 const std::vector<float>& wanted,
                 const std::string& what) {
  EXPECT_LE(largest_difference({got.begin(), got.end()}, {wanted.begin(), wanted.end()}), 1e-4)
      << what;
}

// The graphs as clients call them.
void expect_numbers(const fs::path& folder, const Golden& golden) {
  const Pressed pressed(folder);
  for (size_t image = 0; image < golden.json.at("images").size(); ++image) {
    const OrtTensor states = pressed.encode({golden.row("pixel_values", image)});
    const auto found = states.as_floats();
    expect_near({found.begin(), found.end()}, golden.row("encoder_hidden_states", image), "states");
    std::vector<OrtTensor> cache = pressed.empty_cache(1);
    const auto logits = pressed.step({pressed.start()}, states, cache);
    expect_near(logits[0], golden.row("default/first_logits", image), "first logits");
  }
  const OrtTensor states = pressed.encode({golden.row("pixel_values", 0)});
  const Json& ids = golden.cases().at(0).at("captions").at(0).at("ids");
  std::vector<OrtTensor> cache = pressed.empty_cache(1);
  Ids next = pressed.start();
  for (size_t step = 0; step < static_cast<size_t>(golden.tensors.at("step_logits")->rows());
       ++step) {
    const auto logits = pressed.step({next}, states, cache);
    expect_near(logits[0], golden.row("step_logits", step), fmt::format("step {}", step));
    next = {ids.at(step).get<int64_t>()};
  }
}

struct Param {
  std::string name;
  OpDialect ops = OpDialect::kOrt;
  int opset = 17;
};

std::vector<Param> params() {
  std::vector<Param> all;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    for (const std::string& name : test::cross_golden_names()) {
      all.push_back({name, ops});
    }
    for (const int opset : {18, 21, 23}) {
      all.push_back({"trocrsin", ops, opset});
    }
  }
  return all;
}

class GoldenCross : public ::testing::TestWithParam<Param> {};

TEST_P(GoldenCross, EqualsTransformers) {
  const Golden golden = test::cross_golden(GetParam().name);
  const TempFolder folder;
  PressOptions options = test::cross_press_options(golden, folder / "out");
  options.ops = GetParam().ops;
  options.opset = GetParam().opset;
  const PressReport report = press(options);
  ASSERT_TRUE(report.caption);
  const Json manifest = read_json(folder / "out/lorapress.json");
  EXPECT_EQ(manifest.at("model").at("conditioning"), "cross");
  EXPECT_EQ(manifest.at("generation").at("decoder_start_token_id"),
            golden.json.at("decoder_start_token_id"));
  EXPECT_EQ(manifest.at("generation").at("eos_token_id"),
            Json::array({golden.json.at("eos_token_id")}));
  expect_captions(folder / "out", golden);
  expect_variants(folder / "out", golden);
  expect_batches(folder / "out", golden);
  expect_numbers(folder / "out", golden);
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenCross,
                         ::testing::ValuesIn(params()),
                         [](const ::testing::TestParamInfo<Param>& row) {
                           return row.param.name +
                                  (row.param.ops == OpDialect::kOrt ? "_ort" : "_standard") +
                                  std::to_string(row.param.opset);
                         });

// The same numbers under the names of an older transformers, and inside one file.
TEST(GoldenCrossLayouts, GiveTheSameCaptions) {
  const Golden golden = test::cross_golden("vitgpt2lora");
  const TempFolder folder;
  PressOptions old = test::cross_press_options(golden, folder / "old");
  old.source.adapters[0].folder = golden.folder / "adapter_old";
  press(old);
  expect_captions(folder / "old", golden);
  PressOptions wrapped = test::cross_press_options(golden, folder / "wrapped");
  wrapped.source = {};
  wrapped.source.checkpoint = golden.folder / "wrapped";
  wrapped.source.bases = {golden.folder / "base"};  // its tokenizer
  press(wrapped);
  expect_captions(folder / "wrapped", golden);
  PressOptions turned =
      test::cross_press_options(golden, folder / "turned");  // ADAPTER --base BASE
  turned.source = {};
  turned.source.checkpoint = golden.folder / "adapter";
  turned.source.bases = {golden.folder / "base"};
  press(turned);
  expect_captions(folder / "turned", golden);
}

TEST(GoldenCrossMerge, EqualsPeft) {
  size_t compared = 0;
  for (const std::string& name : test::cross_golden_names()) {
    const Golden golden = test::cross_golden(name);
    const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
    std::map<std::string, WeightPtr> by_file_name;
    for (const auto& [canonical, tensor] : checkpoint.tensors) {
      by_file_name[tensor.name] = tensor.weight;
    }
    for (const auto& [key, wanted] : golden.merged()) {
      const std::string prefix = "default/float32/";
      ASSERT_TRUE(key.starts_with(prefix)) << key;
      const auto got = test::read_doubles(*by_file_name.at(key.substr(prefix.size())));
      const auto peft = test::read_doubles(*wanted);
      EXPECT_LE(largest_difference(got, peft), 2.4e-7 * test::largest(peft)) << name << " " << key;
      ++compared;
    }
  }
  EXPECT_GT(compared, 8U);
}

// A merged folder is a checkpoint of the same class, and gives the same captions.
TEST(GoldenCrossMerge, WritesTheSameClass) {
  for (const std::string& name : test::cross_golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden = test::cross_golden(name);
    const TempFolder folder;
    MergeOptions merging;
    merging.source = golden.source(golden.cases().at(0));
    merging.out = folder / "merged";
    merging.dtype = "fp32";
    merge(merging);
    const bool blip = golden.json.at("model_type") == "blip";
    const Json config = read_json(folder / "merged/config.json");
    EXPECT_EQ(config.at("architectures"),
              Json::array({blip ? "BlipForConditionalGeneration" : "VisionEncoderDecoderModel"}));
    EXPECT_EQ(config.at("model_type"), golden.json.at("model_type"));
    EXPECT_FALSE(fs::exists(folder / "merged/language_model"));
    for (const auto& [tensor, weight] : open_safetensors(folder / "merged/model.safetensors")) {
      EXPECT_TRUE(tensor.starts_with(blip ? "vision_model." : "enc") ||
                  tensor.starts_with(blip ? "text_decoder." : "decoder."))
          << tensor;
    }
    PressOptions options;
    options.source.checkpoint = folder / "merged";
    options.out = folder / "out";
    press(options);
    expect_captions(folder / "out", golden);
    const Json found = parse_json(inspect(folder / "merged"), "inspect");
    EXPECT_EQ(found.at("text").at("model_type"),
              config.at(blip ? "text_config" : "decoder").at("model_type"));
  }
}

// Tokens that are padding have no position (fairseq's sinusoids); the reference forward is written
// from transformers' module and takes one token after the other, as generate() does.
TEST(GoldenCrossPositions, OfPaddingAreThoseOfTheReference) {
  const Golden golden = test::cross_golden("trocrsin");
  const TempFolder folder;
  export_bundle(test::cross_press_options(golden, folder / "out"));
  const Pressed pressed(folder / "out");
  const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
  const int64_t pad = checkpoint.text->pad_token_id;
  const Ids ids{41, pad, 55, pad, pad, 60};
  const std::vector<std::vector<float>> pixels{golden.row("pixel_values", 1)};
  ReferenceOptions options;
  options.threads = 1;
  options.decoder_start_token_id = pressed.start()[0];
  ReferenceModel reference(checkpoint, options);
  const Rows wanted = reference.logits(reference.encode(pixels), {ids}).at(0);
  const OrtTensor states = pressed.encode(pixels);
  std::vector<OrtTensor> cache = pressed.empty_cache(1);
  Ids call = pressed.start();
  for (size_t at = 0; at < ids.size(); ++at) {
    const auto logits = pressed.step({call}, states, cache);
    const auto row = wanted.row(static_cast<int64_t>(at));
    expect_near(logits[0], {row.begin(), row.end()}, fmt::format("token {}", at));
    call = {ids[at]};
  }
}

TEST(GoldenCrossVerify, PassesWhatPressWrote) {
  for (const std::string& name : test::cross_golden_names()) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(name + (ops == OpDialect::kOrt ? ", ort" : ", standard"));
      const Golden golden = test::cross_golden(name);
      const TempFolder folder;
      const Source source = golden.source(golden.cases().at(0));
      test::write_bundle(source, folder / "out", ops);
      VerifyOptions options = test::options_of(source, folder / "out");
      options.layers = true;
      const VerifyReport report = verify(options);
      EXPECT_TRUE(report.passed) << test::all_faults(report);
      const DtypeParity& fp32 = report.dtypes.at(0);
      EXPECT_EQ(fp32.captions_equal, std::ssize(report.images));
      EXPECT_EQ(fp32.forced.matched, fp32.forced.tokens);
      const Checkpoint checkpoint = open_checkpoint(source);
      EXPECT_EQ(std::ssize(fp32.layers),
                checkpoint.vision->num_hidden_layers + checkpoint.text->num_hidden_layers);
      for (const LayerError& layer : fp32.layers) {
        EXPECT_GT(layer.error, 0.0) << layer.layer;
        EXPECT_LT(layer.error, 1e-5) << layer.layer;
      }
    }
  }
}

}  // namespace
}  // namespace lorapress
