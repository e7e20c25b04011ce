// Decoders alone against transformers' generate(input_ids), through the folder that press() writes.
#include <gtest/gtest.h>

#include "lorapress/generate.h"
#include "lorapress/press.h"

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/generation_settings.h"
#include "golden_util.h"
#include "rules_util.h"
#include "runtime/generation/chat_template.h"
#include "runtime/generation/prompt.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;
using test::contains;
using test::TempFolder;

const fs::path kGoldens = test::source_path("tests/goldens/text");

// A PEFT folder with its base, or a merged folder.
PressOptions press_options(const std::string& name, const fs::path& out) {
  PressOptions options;
  const fs::path folder = kGoldens / name;
  const bool adapted = fs::exists(folder / "adapter");
  options.source.checkpoint = folder / (adapted ? "adapter" : "merged");
  if (adapted) {
    options.source.bases = {folder / "base"};
  }
  options.out = out;
  return options;
}

GenerateOptions options_of(const Json& prompt) {
  GenerateOptions options;
  options.prompt = prompt.at("prompt").get<std::string>();
  options.system = prompt.value("system", "");
  options.raw_prompt = prompt.value("raw_prompt", false);
  return options;
}

class GoldenText : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] const Json& prompts() const { return golden_.at("prompts"); }

  // Settings of the golden's variants, which do not follow the folder's.
  [[nodiscard]] GenerateOptions plain(const Json& prompt, const Json& settings) const {
    GenerateOptions options = options_of(prompt);
    static_cast<GenerationSettings&>(options) =
        parse_generation_settings(settings, int64_t{1} << 20, "golden");
    options.repetition_penalty = options.repetition_penalty.value_or(1.0);
    if (!options.min_new_tokens && !options.min_length) {
      options.min_new_tokens = 0;
    }
    if (!options.max_length) {
      options.max_new_tokens = golden_.at("max_new_tokens").get<int64_t>();
    }
    return options;
  }

  Json golden_ = read_json(kGoldens / GetParam() / "golden.json");
};

TEST_P(GoldenText, PromptsHaveTheIdsOfTheTokenizerAndItsChatTemplate) {
  const TempFolder temp;
  const PressOptions options = press_options(GetParam(), temp.path() / "model");
  export_bundle(options);
  const Tokenizer tokenizer = Tokenizer::from_file(options.out / "tokenizer.json");
  std::optional<ChatTemplate> chat;
  if (fs::exists(options.out / "chat_template.jinja")) {
    chat = read_chat_template(options.out, "chat_template.jinja");
  }
  for (const Json& row : prompts()) {
    const GenerateOptions asked = options_of(row);
    EXPECT_EQ(text_ids(tokenizer, chat ? &*chat : nullptr, asked, asked.prompt),
              row.at("input_ids").get<Ids>())
        << asked.prompt;
  }
}

// Without options: generation_config.json is followed.
TEST_P(GoldenText, TextsAreThoseOfGenerateGreedyAndWithBeams) {
  const TempFolder temp;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    PressOptions options =
        press_options(GetParam(), temp.path() / (ops == OpDialect::kOrt ? "a" : "b"));
    options.ops = ops;
    const PressReport report = press(options);
    EXPECT_EQ(report.bundle, "text-generation");
    EXPECT_FALSE(report.takes_images);
    ASSERT_TRUE(report.caption);
    EXPECT_FALSE(report.caption->ids.empty());
    const TextGenerator generator(options.out);
    for (const Json& row : prompts()) {
      GenerateOptions asked = options_of(row);
      const GeneratedText greedy = generator.generate(asked);
      EXPECT_EQ(greedy.ids, row.at("ids").get<Ids>()) << asked.prompt;
      EXPECT_EQ(greedy.text, row.at("text").get<std::string>());
      EXPECT_EQ(greedy.prompt_tokens, std::ssize(row.at("input_ids")));
      asked.num_beams = 3;
      const GeneratedText best = generator.generate(asked);
      EXPECT_EQ(best.ids, row.at("beams").at("ids").get<Ids>()) << asked.prompt;
      EXPECT_NEAR(best.score, row.at("beams").at("score").get<double>(), 1e-3);
    }
  }
}

TEST_P(GoldenText, RulesCountThePromptAsGenerateDoes) {
  const TempFolder temp;
  const PressOptions options = press_options(GetParam(), temp.path() / "model");
  export_bundle(options);
  const TextGenerator generator(options.out);
  for (const Json& row : golden_.at("variants")) {
    const Json& prompt = prompts().at(row.at("prompt").get<size_t>());
    EXPECT_EQ(generator.generate(plain(prompt, row.at("options"))).ids, row.at("ids").get<Ids>())
        << row.at("options");
  }
}

TEST_P(GoldenText, RulesInsideTheDecoderCountThePromptAsGenerateDoes) {
  size_t variants = 0;
  for (const Json& row : golden_.at("variants")) {
    if (!test::only_graph_rules(row.at("options"))) {
      continue;
    }
    SCOPED_TRACE(row);
    const TempFolder temp;
    PressOptions options = test::with_rules_inside(press_options(GetParam(), temp.path() / "model"),
                                                   row.at("options"));
    options.ops = variants % 2 == 0 ? OpDialect::kOrt : OpDialect::kStandard;
    export_bundle(options);
    GenerateOptions asked = options_of(prompts().at(row.at("prompt").get<size_t>()));
    asked.min_new_tokens = 0;
    asked.max_new_tokens = golden_.at("max_new_tokens").get<int64_t>();
    EXPECT_EQ(TextGenerator(options.out).generate(asked).ids, row.at("ids").get<Ids>());
    ++variants;
  }
  EXPECT_GE(variants, 3U);
}

TEST_P(GoldenText, SamplesAreThoseOfTransformersWarpersAndNumpysDraws) {
  const TempFolder temp;
  const PressOptions options = press_options(GetParam(), temp.path() / "model");
  export_bundle(options);
  const TextGenerator generator(options.out);
  for (const Json& row : golden_.at("samples")) {
    GenerateOptions asked = plain(prompts().at(row.at("prompt").get<size_t>()), row.at("options"));
    asked.do_sample = true;
    asked.seed = row.at("seed").get<uint32_t>();
    EXPECT_EQ(generator.generate(asked).ids, row.at("ids").get<Ids>()) << row.at("options");
  }
}

TEST_P(GoldenText, PiecesThatAreStreamedAreTheText) {
  const TempFolder temp;
  const PressOptions options = press_options(GetParam(), temp.path() / "model");
  export_bundle(options);
  const TextGenerator generator(options.out);
  for (const int64_t beams : {1, 3}) {
    GenerateOptions asked = options_of(prompts().at(0));
    asked.num_beams = beams;
    std::string text;
    size_t pieces = 0;
    const GeneratedText generated = generator.generate(asked, [&](std::string_view piece) {
      text += piece;
      ++pieces;
    });
    EXPECT_EQ(text, generated.text);
    EXPECT_EQ(pieces == 1, beams == 3);
  }
}

// Other dtypes are other models, but each has to load, and float16 keeps the first token.
TEST_P(GoldenText, EveryDtypeRuns) {
  const TempFolder temp;
  PressOptions options = press_options(GetParam(), temp.path() / "model");
  options.dtypes = {"fp32", "fp16", "q8", "q4", "q4f16", "bnb4"};
  export_bundle(options);
  for (const std::string& dtype : options.dtypes) {
    const TextGenerator generator(options.out, {dtype, 1});
    const Json& row = prompts().at(0);
    const Ids ids = generator.generate(options_of(row)).ids;
    ASSERT_FALSE(ids.empty()) << dtype;
    if (dtype == "fp32" || dtype == "fp16") {
      EXPECT_EQ(ids[0], row.at("ids").at(0).get<int64_t>()) << dtype;
    }
  }
  const TextGenerator mixed(options.out, {"prefill=q8,decoder=q4", 1});
  EXPECT_EQ(mixed.dtypes().prefill, "q8");
  EXPECT_EQ(mixed.dtypes().decoder, "q4");
  EXPECT_TRUE(mixed.dtypes().encoder.empty());
  EXPECT_FALSE(mixed.generate(options_of(prompts().at(0))).ids.empty());
  const std::string text = test::message_of(ErrorCode::kInvalidArgument,
                                            [&] { TextGenerator(options.out, {"encoder=q8", 1}); });
  EXPECT_TRUE(contains(text, "has no encoder")) << text;
}

TEST_P(GoldenText, ExternalDataIsReadBack) {
  const TempFolder temp;
  PressOptions options = press_options(GetParam(), temp.path() / "model");
  options.external_data = true;
  export_bundle(options);
  EXPECT_TRUE(fs::exists(options.out / "onnx/model.onnx_data"));
  const Json config = read_json(options.out / "config.json");
  EXPECT_EQ(config.at("transformers.js_config").at("use_external_data_format"),
            (Json{{"model.onnx", 1}}));
  const Json& row = prompts().at(0);
  EXPECT_EQ(TextGenerator(options.out).generate(options_of(row)).ids, row.at("ids").get<Ids>());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenText, testing::Values("llama", "qwen2", "gpt2", "opt"));

TEST(TextFolder, HasWhatThePipelineReads) {
  const TempFolder temp;
  export_bundle(press_options("llama", temp.path() / "llama"));
  const Json config = read_json(temp.path() / "llama/config.json");
  EXPECT_EQ(config.at("model_type"), "llama");
  EXPECT_EQ(config.at("architectures"), Json({"LlamaForCausalLM"}));
  EXPECT_EQ(config.at("head_dim"), 16);
  EXPECT_EQ(config.at("num_key_value_heads"), 1);
  // The pipeline adds the tokenizer's first token only where this says so.
  EXPECT_EQ(read_json(temp.path() / "llama/tokenizer_config.json").at("add_bos_token"), true);
  const Json lengths = read_json(temp.path() / "llama/generation_config.json");
  EXPECT_EQ(lengths.at("max_new_tokens"), 12);
  EXPECT_FALSE(lengths.contains("decoder_start_token_id"));
  EXPECT_FALSE(fs::exists(temp.path() / "llama/preprocessor_config.json"));

  export_bundle(press_options("qwen2", temp.path() / "qwen2"));
  const Json tokenizer = read_json(temp.path() / "qwen2/tokenizer_config.json");
  EXPECT_EQ(tokenizer.at("chat_template"), read_text(temp.path() / "qwen2/chat_template.jinja"));
  EXPECT_FALSE(tokenizer.contains("add_bos_token"));
  EXPECT_EQ(read_json(temp.path() / "qwen2/generation_config.json").at("repetition_penalty"), 1.2);
}

// max_length counts the prompt in the checkpoint, in what is written and in what runs.
TEST(TextFolder, LengthsOfTheCheckpointCountThePrompt) {
  const TempFolder temp;
  const Json golden = read_json(kGoldens / "llama/golden.json");
  const Json& row = golden.at("prompts").at(1);
  const fs::path base = temp.path() / "base";
  fs::copy(kGoldens / "llama/base", base);
  Json settings = read_json(base / "generation_config.json");
  settings.erase("max_new_tokens");
  settings["max_length"] = std::ssize(row.at("input_ids")) + 3;
  fs::remove(base / "generation_config.json");
  write_text(base / "generation_config.json", settings.dump());
  PressOptions options = press_options("llama", temp.path() / "model");
  options.source.bases = {base};
  export_bundle(options);
  const Json written = read_json(options.out / "generation_config.json");
  EXPECT_EQ(written.at("max_length"), settings.at("max_length"));
  EXPECT_FALSE(written.contains("max_new_tokens"));
  const Ids ids = row.at("ids").get<Ids>();
  EXPECT_EQ(TextGenerator(options.out).generate(options_of(row)).ids,
            Ids(ids.begin(), ids.begin() + 3));
}

TEST(TextFolder, PromptsBeyondThePositionsAreRefusedAndTheFoldersLengthEndsThere) {
  const TempFolder temp;
  const PressOptions options = press_options("llama", temp.path() / "model");
  export_bundle(options);
  const TextGenerator generator(options.out);
  GenerateOptions asked;
  for (int i = 0; i < 90; ++i) {
    asked.prompt += "!";  // a token each, behind the first one
  }
  asked.min_new_tokens = 5;
  EXPECT_EQ(generator.generate(asked).ids.size(), 5U);  // 12 are the folder's, 96 the positions
  asked.max_new_tokens = 6;
  std::string text =
      test::message_of(ErrorCode::kInvalidArgument, [&] { (void)generator.generate(asked); });
  EXPECT_TRUE(contains(text, "91 prompt tokens and 6 new tokens do not fit the model's 96"))
      << text;
  asked.max_new_tokens.reset();
  asked.min_new_tokens.reset();
  asked.prompt += "!!!!!!";
  text = test::message_of(ErrorCode::kInvalidArgument, [&] { (void)generator.generate(asked); });
  EXPECT_TRUE(contains(text, "97 prompt tokens")) << text;
}

TEST(TextFolder, PromptsThatTheModelCannotTakeAreRefused) {
  const TempFolder temp;
  export_bundle(press_options("llama", temp.path() / "llama"));
  export_bundle(press_options("qwen2", temp.path() / "qwen2"));
  const auto refusal = [&](const char* folder, ErrorCode code, const GenerateOptions& asked) {
    return test::message_of(code,
                            [&] { (void)TextGenerator(temp.path() / folder).generate(asked); });
  };
  GenerateOptions asked;
  asked.prompt = "a";
  asked.system = "Be brief.";
  EXPECT_TRUE(contains(refusal("llama", ErrorCode::kInvalidArgument, asked), "chat template"));
  asked.raw_prompt = true;
  EXPECT_TRUE(contains(refusal("qwen2", ErrorCode::kInvalidArgument, asked), "chat template"));
  asked.system.clear();
  asked.prompt.clear();
  EXPECT_TRUE(contains(refusal("qwen2", ErrorCode::kInvalidArgument, asked), "no tokens"));
}

TEST(TextFolder, FoldersOfTheOtherKindAreRefusedByName) {
  const TempFolder temp;
  export_bundle(press_options("llama", temp.path() / "text"));
  PressOptions images;
  images.source.checkpoint = test::checkpoints_folder() / "base";
  images.out = temp.path() / "images";
  export_bundle(images);
  std::string text =
      test::message_of(ErrorCode::kUnsupported, [&] { Captioner(temp.path() / "text"); });
  EXPECT_TRUE(contains(text, "\"text-generation\"") && contains(text, "lorapress generate"))
      << text;
  text = test::message_of(ErrorCode::kUnsupported, [&] { TextGenerator(temp.path() / "images"); });
  EXPECT_TRUE(contains(text, "\"transformers.js\"") && contains(text, "lorapress caption")) << text;
}

TEST(TextFolder, BundlesOfTheOtherKindAreRefusedByName) {
  const TempFolder temp;
  PressOptions options = press_options("llama", temp.path() / "model");
  options.bundle = "transformers.js";
  std::string text = test::message_of(ErrorCode::kMismatch, [&] { export_bundle(options); });
  EXPECT_TRUE(contains(text, "decoder alone")) << text;
  options.bundle.clear();
  options.dtypes = {"q4"};
  options.scheme.rounding = Rounding::kSearch;
  options.calibrate = test::source_path("models/demo/images");
  text = test::message_of(ErrorCode::kUnsupported, [&] { export_bundle(options); });
  EXPECT_TRUE(contains(text, "options.calibrate does not take a text-only model")) << text;
  PressOptions images;
  images.source.checkpoint = test::checkpoints_folder() / "base";
  images.out = temp.path() / "images";
  images.bundle = "text-generation";
  text = test::message_of(ErrorCode::kUnsupported, [&] { export_bundle(images); });
  EXPECT_TRUE(contains(text, "does not take a prefix_conditioning_vlm model")) << text;
}

TEST(TextFolder, CheckpointWithoutTokenizerIsRefusedByName) {
  const TempFolder temp;
  fs::copy(kGoldens / "qwen2/merged", temp.path() / "bare");
  fs::remove(temp.path() / "bare/tokenizer.json");
  PressOptions options;
  options.source.checkpoint = temp.path() / "bare";
  options.out = temp.path() / "model";
  const std::string text = test::message_of(ErrorCode::kNotFound, [&] { export_bundle(options); });
  EXPECT_TRUE(contains(text, "no tokenizer.json here or in a base")) << text;
}

}  // namespace
}  // namespace lorapress
