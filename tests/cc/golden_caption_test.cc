// Pressed folders run by ONNX Runtime, against transformers' generate() on the same checkpoint.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

#include "lorapress/caption.h"
#include "lorapress/press.h"

#include "golden_util.h"
#include "pressed.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {
namespace {

using test::Golden;
using test::largest_difference;
using test::Pressed;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

// Goldens whose prompt has halves of characters, which no text gives; the others are compared as text, too.
const std::set<std::string> kPromptsWithoutText = {"ddp",
                                                   "dinov2",
                                                   "mistral",
                                                   "phi3",
                                                   "qwen2window",
                                                   "registers",
                                                   "ropelinear",
                                                   "ropescale",
                                                   "rslora",
                                                   "sharded",
                                                   "so400m",
                                                   "visionlora"};

struct Param {
  std::string name;
  OpDialect ops = OpDialect::kOrt;
  int opset = 17;
  bool external_data = false;
};

std::ostream& operator<<(std::ostream& out, const Param& param) {
  return out << param.name << ", opset " << param.opset;
}

std::vector<Param> params() {
  std::vector<Param> all;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    for (const std::string& name : test::golden_names()) {
      all.push_back({name, ops});
    }
    for (int opset = 18; opset <= 23; ++opset) {
      all.push_back({"base", ops, opset});
    }
    all.push_back({"base", ops, 17, true});
  }
  return all;
}

PressOptions options_of(const Param& param,
                        const Golden& golden,
                        const Json& row,
                        const fs::path& out) {
  PressOptions options;
  options.source = golden.source(row);
  options.out = out;
  options.ops = param.ops;
  options.opset = param.opset;
  options.external_data = param.external_data;
  return options;
}

void expect_captions(const fs::path& folder, const Golden& golden, const Json& row) {
  const Captioner captioner(folder);
  EXPECT_EQ(captioner.height(), golden.json.at("image_size"));
  EXPECT_EQ(captioner.width(), golden.json.at("image_size"));
  GenerateOptions options;
  options.max_new_tokens = golden.json.at("max_new_tokens");
  for (const Json& wanted : row.at("captions")) {
    const size_t image = wanted.at("image");
    const Caption caption = captioner.caption(golden.image(image), options);
    EXPECT_EQ(caption.ids, wanted.at("ids").get<Ids>()) << "image " << image;
    EXPECT_EQ(caption.text, wanted.at("text").get<std::string>()) << "image " << image;
    std::string streamed;
    const TextFn append = [&](std::string_view piece) { streamed += piece; };
    const Caption again =
        captioner.caption_pixels(golden.row("pixel_values", image), options, append);
    EXPECT_EQ(again.ids, caption.ids);
    EXPECT_EQ(streamed, caption.text);
  }
  const Json& prompt = row.at("prompt");
  options.prompt = prompt.at("prompt_text");
  const Ids ids = Tokenizer::from_file(folder / "tokenizer.json").encode(options.prompt);
  const bool has_text = ids == prompt.at("prompt_ids").get<Ids>();
  EXPECT_EQ(has_text, !kPromptsWithoutText.contains(golden.folder.filename()));
  if (has_text) {
    EXPECT_EQ(captioner.caption(golden.image(prompt.at("image")), options).ids,
              prompt.at("ids").get<Ids>());
  }
}

// Compares numbers and keeps the largest difference, for the record.
class Differences {
 public:
  void expect(const std::vector<float>& got,
              const std::vector<float>& wanted,
              const std::string& what) {
    const double most =
        largest_difference({got.begin(), got.end()}, {wanted.begin(), wanted.end()});
    EXPECT_LE(most, 1e-4) << what;
    most_ = std::max(most_, most);
  }
  [[nodiscard]] std::string most() const { return fmt::format("{:.2e}", most_); }

 private:
  double most_ = 0.0;
};

void expect_first_numbers(const Pressed& pressed,
                          const Golden& golden,
                          const Json& row,
                          Differences& differences) {
  const bool first_case = row == golden.cases().at(0);  // the one whose prefix is stored
  const std::string name = row.at("name");
  for (size_t image = 0; image < golden.json.at("images").size(); ++image) {
    const OrtTensor prefix = pressed.encode({golden.row("pixel_values", image)});
    if (first_case) {
      const auto found = prefix.as_floats();
      differences.expect({found.begin(), found.end()}, golden.row("prefix", image), "prefix");
    }
    std::vector<OrtTensor> cache = pressed.empty_cache(1);
    const auto logits = pressed.step({pressed.start()}, prefix, cache);
    differences.expect(logits.at(0), golden.row(name + "/first_logits", image), "first logits");
  }
}

void expect_step_numbers(const Pressed& pressed, const Golden& golden, Differences& differences) {
  const Json& ids = golden.cases().at(0).at("captions").at(0).at("ids");
  const OrtTensor prefix = pressed.encode({golden.row("pixel_values", 0)});
  std::vector<OrtTensor> cache = pressed.empty_cache(1);
  Ids next = pressed.start();
  const auto steps = static_cast<size_t>(golden.tensors.at("step_logits")->rows());
  for (size_t step = 0; step < steps; ++step) {
    const auto logits = pressed.step({next}, prefix, cache);
    differences.expect(logits.at(0), golden.row("step_logits", step), fmt::format("step {}", step));
    next = {ids.at(step).get<int64_t>()};
  }
}

void expect_prompt(const Pressed& pressed, const Golden& golden, const Json& row) {
  const Json& prompt = row.at("prompt");
  Ids ids = pressed.start();
  for (const Json& id : prompt.at("prompt_ids")) {
    ids.push_back(id);
  }
  const OrtTensor prefix = pressed.encode({golden.row("pixel_values", prompt.at("image"))});
  std::vector<OrtTensor> cache = pressed.empty_cache(1);
  for (const Json& wanted : prompt.at("ids")) {
    const auto logits = pressed.step({ids}, prefix, cache);
    ids = {test::argmax(logits.at(0))};
    ASSERT_EQ(ids[0], wanted.get<int64_t>()) << "after a prompt";
  }
}

// Text in the same call as the image and text in a call of its own are the same to the model.
void expect_split_prompt(const Pressed& pressed,
                         const Golden& golden,
                         const Json& row,
                         Differences& differences) {
  const Ids prompt = row.at("prompt").at("prompt_ids").get<Ids>();
  Ids together = pressed.start();
  together.insert(together.end(), prompt.begin(), prompt.end());
  const OrtTensor prefix = pressed.encode({golden.row("pixel_values", 0)});
  std::vector<OrtTensor> one = pressed.empty_cache(1);
  std::vector<OrtTensor> two = pressed.empty_cache(1);
  const auto wanted = pressed.step({together}, prefix, one);
  pressed.step({pressed.start()}, prefix, two);
  const auto got = pressed.step({prompt}, prefix, two);
  differences.expect(got.at(0), wanted.at(0), "split prompt");
}

// Two images in one call: every row as by itself, and transformers' own ids.
void expect_batch(const Pressed& pressed, const Golden& golden, const Json& row) {
  const std::vector<std::vector<float>> pixels{golden.row("pixel_values", 0),
                                               golden.row("pixel_values", 1)};
  const OrtTensor both = pressed.encode(pixels);
  std::vector<OrtTensor> cache = pressed.empty_cache(2);
  std::vector<OrtTensor> alone;
  std::vector<std::vector<OrtTensor>> alone_caches;
  for (const std::vector<float>& image : pixels) {
    alone.push_back(pressed.encode({image}));
    alone_caches.push_back(pressed.empty_cache(1));
  }
  const auto wanted = row.at("batch").at("ids").get<std::vector<Ids>>();
  std::vector<Ids> ids(2, pressed.start());
  std::vector<bool> ended(2);
  for (size_t step = 0; step < wanted[0].size(); ++step) {
    const auto logits = pressed.step(ids, both, cache);
    for (size_t i = 0; i < 2; ++i) {
      const auto single = pressed.step({ids[i]}, alone[i], alone_caches[i]);
      for (size_t j = 0; j < single[0].size(); ++j) {
        ASSERT_NEAR(logits[i][j], single[0][j], 1e-5) << "row " << i << " of step " << step;
      }
      const int64_t token = wanted[i][step];
      if (!ended[i]) {  // else it is padding
        EXPECT_EQ(test::argmax(logits[i]), token) << "row " << i << " of step " << step;
      }
      ended[i] = ended[i] || pressed.is_end(token);
      ids[i] = {token};
    }
  }
}

class GoldenCaption : public ::testing::TestWithParam<Param> {};

TEST_P(GoldenCaption, EqualsTransformers) {
  const Golden golden(GetParam().name);
  Differences differences;
  for (const Json& row : golden.cases()) {
    SCOPED_TRACE(row.at("name"));
    const TempFolder folder;
    const PressReport report = press(options_of(GetParam(), golden, row, folder / "out"));
    ASSERT_TRUE(report.caption);
    EXPECT_FALSE(report.caption->ids.empty());
    const bool data_file = fs::exists(folder / "out/onnx/decoder_model_merged.onnx_data");
    EXPECT_EQ(data_file, GetParam().external_data);
    expect_captions(folder / "out", golden, row);
    const Pressed pressed(folder / "out");
    expect_first_numbers(pressed, golden, row, differences);
    if (row == golden.cases().at(0)) {
      expect_step_numbers(pressed, golden, differences);
    }
    expect_prompt(pressed, golden, row);
    expect_split_prompt(pressed, golden, row, differences);
    expect_batch(pressed, golden, row);
  }
  RecordProperty("largest_difference", differences.most());
}

std::string param_name(const ::testing::TestParamInfo<Param>& row) {
  const Param& param = row.param;
  return param.name + (param.ops == OpDialect::kOrt ? "_ort" : "_standard") +
         (param.opset == 17 ? "" : std::to_string(param.opset)) +
         (param.external_data ? "_external" : "");
}

INSTANTIATE_TEST_SUITE_P(All, GoldenCaption, ::testing::ValuesIn(params()), param_name);

TEST(GoldenCaptionGpt2, IsRefusedByName) {
  for (const std::string& name : test::kUnsupportedGoldens) {
    const Golden golden(name);
    const TempFolder folder;
    const Param param{name};
    const std::string text = test::message_of(ErrorCode::kUnsupported, [&] {
      press(options_of(param, golden, golden.cases().at(0), folder / "out"));
    });
    EXPECT_TRUE(test::contains(text, "\"vit\"") || test::contains(text, "\"gpt2\"")) << text;
    EXPECT_TRUE(folder.names().empty());
  }
}

}  // namespace
}  // namespace lorapress
