// Checkpoints with a generation_config.json, pressed: what is written, and that captions without
// options are those of transformers' generate() with the same file.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/press.h"
#include "lorapress/verify.h"

#include "bundles/manifest.h"
#include "golden_util.h"
#include "single_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

const Json& files() {
  static const Json kFile = read_json(test::source_path("tests/goldens/generation/files.json"));
  return kFile;
}

// A golden checkpoint with a generation_config.json beside its files.
class WithFile {
 public:
  WithFile(const std::string& name, const Json& file) : golden_(name) {
    const fs::path from = golden_.folder / golden_.json.at("checkpoint").get<std::string>();
    fs::create_directory(checkpoint());
    for (const auto& entry : fs::directory_iterator(from)) {
      if (entry.is_regular_file()) {
        fs::copy_file(entry.path(), checkpoint() / entry.path().filename());
      }
    }
    write_text(checkpoint() / "generation_config.json", file.dump());
  }

  [[nodiscard]] fs::path checkpoint() const { return folder_ / "checkpoint"; }
  [[nodiscard]] fs::path out() const { return folder_ / "out"; }
  [[nodiscard]] const Golden& golden() const { return golden_; }

  PressReport press_to(const fs::path& out, const std::string& bundle = "transformers.js") const {
    PressOptions options;
    options.source.checkpoint = checkpoint();
    options.out = out;
    options.bundle = bundle;
    return press(options);
  }
  PressReport press_it() const { return press_to(out()); }

 private:
  TempFolder folder_;
  Golden golden_;
};

TEST(GenerationFiles, CaptionsWithoutOptionsEqualTransformers) {
  size_t captions = 0;
  for (const Json& part : files().at("checkpoints")) {
    for (const Json& row : part.at("searches")) {
      const WithFile made(part.at("checkpoint"), row.at("file"));
      made.press_it();
      const Captioner captioner(made.out(), CaptionerOptions{"", 1});
      for (const Json& wanted : row.at("captions")) {
        SCOPED_TRACE(part.at("checkpoint").dump() + row.at("file").dump() + wanted.dump());
        const Caption found =
            captioner.caption_pixels(made.golden().row("pixel_values", wanted.at("image")));
        EXPECT_EQ(found.ids, wanted.at("ids").get<Ids>());
        if (wanted.contains("score")) {
          EXPECT_NEAR(found.score, wanted.at("score").get<double>(), 1e-3);
        }
        ++captions;
      }
    }
  }
  EXPECT_GT(captions, 60U);
}

TEST(GenerationFiles, SamplesEqualNumpysDraws) {
  size_t captions = 0;
  for (const Json& part : files().at("checkpoints")) {
    for (const Json& row : part.at("samples")) {
      const WithFile made(part.at("checkpoint"), row.at("file"));
      made.press_it();
      const Captioner captioner(made.out(), CaptionerOptions{"", 1});
      GenerateOptions options;
      options.seed = row.at("seed");
      for (const Json& wanted : row.at("captions")) {
        SCOPED_TRACE(row.at("file").dump() + wanted.dump());
        EXPECT_EQ(
            captioner.caption_pixels(made.golden().row("pixel_values", wanted.at("image")), options)
                .ids,
            wanted.at("ids").get<Ids>());
        ++captions;
      }
    }
  }
  EXPECT_GT(captions, 10U);
}

Json everything() {
  return Json::parse(R"({
    "repetition_penalty": 1.25, "no_repeat_ngram_size": 2, "bad_words_ids": [[7], [8, 9], [274]],
    "suppress_tokens": [5], "begin_suppress_tokens": [6], "min_length": 19, "max_length": 28,
    "num_beams": 3, "length_penalty": 0.5, "early_stopping": true, "eos_token_id": 274,
    "pad_token_id": 3, "bos_token_id": 4, "house_rule": {"kept": true}, "typical_p": 0.5,
    "exponential_decay_length_penalty": [4, 1.5], "return_dict_in_generate": true})");
}

// The base checkpoint has 16 image tokens.
TEST(GenerationFiles, AreWrittenWholeWithLengthsOfNewTokens) {
  const WithFile made("base", everything());
  const PressReport report = made.press_it();
  EXPECT_EQ(read_json(made.out() / "generation_config.json"), Json::parse(R"({
    "repetition_penalty": 1.25, "no_repeat_ngram_size": 2, "bad_words_ids": [[7], [8, 9]],
    "suppress_tokens": [5], "begin_suppress_tokens": [6], "min_new_tokens": 3, "max_new_tokens": 12,
    "num_beams": 3, "length_penalty": 0.5, "early_stopping": true, "eos_token_id": 274,
    "pad_token_id": 3, "bos_token_id": 4, "decoder_start_token_id": 4, "house_rule": {"kept": true},
    "typical_p": 0.5, "exponential_decay_length_penalty": [4, 1.5]})"));
  EXPECT_EQ(read_json(made.out() / kManifestName).at("generation"), Json::parse(R"({
    "repetition_penalty": 1.25, "no_repeat_ngram_size": 2, "bad_words_ids": [[7], [8, 9], [274]],
    "suppress_tokens": [5], "begin_suppress_tokens": [6], "min_length": 19, "max_length": 28,
    "num_beams": 3, "length_penalty": 0.5, "early_stopping": true, "eos_token_id": [274],
    "pad_token_id": 3, "bos_token_id": 4, "decoder_start_token_id": 4, "max_new_tokens": 12})"));
  EXPECT_EQ(std::ranges::count_if(report.notes,
                                  [](const std::string& note) {
                                    return contains(note, "exponential_decay_length_penalty") &&
                                           !contains(note, "typical_p");
                                  }),
            1);
}

TEST(GenerationFiles, AreUnchangedWhereNothingIsSet) {
  const WithFile made("base", Json::parse(R"({"_from_model_config": true, "num_beams": 1})"));
  made.press_it();
  EXPECT_EQ(read_text(made.out() / "generation_config.json"),
            "{\n  \"bos_token_id\": 1,\n  \"decoder_start_token_id\": 0,\n  \"eos_token_id\": 0,\n"
            "  \"max_new_tokens\": 30,\n  \"num_beams\": 1,\n  \"pad_token_id\": 0\n}\n");
  EXPECT_EQ(read_json(made.out() / kManifestName).at("generation").size(), 5U);
}

TEST(GenerationFiles, GenaiGetsWhatItsSearchKnows) {
  const WithFile made("base", everything());
  const PressReport report = made.press_to(made.out(), "genai");
  EXPECT_EQ(read_json(made.out() / "genai_config.json").at("search"), Json::parse(R"({
    "do_sample": false, "num_beams": 1, "max_length": 28, "min_length": 19,
    "repetition_penalty": 1.25, "no_repeat_ngram_size": 2, "past_present_share_buffer": false})"));
  const auto note = std::ranges::find_if(
      report.notes, [](const std::string& text) { return contains(text, "genai"); });
  ASSERT_NE(note, report.notes.end());
  for (const char* name :
       {"bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "num_beams"}) {
    EXPECT_TRUE(contains(*note, name)) << *note;
  }
}

TEST(GenerationFiles, TheSingleGraphEqualsTransformers) {
  size_t captions = 0;
  for (const Json& part : files().at("checkpoints")) {
    for (const Json& row : part.at("searches")) {
      const WithFile made(part.at("checkpoint"), row.at("file"));
      made.press_to(made.out(), "single");
      const test::Single single(made.out());
      std::vector<std::vector<float>> images;
      for (const Json& wanted : row.at("captions")) {
        SCOPED_TRACE(part.at("checkpoint").dump() + row.at("file").dump() + wanted.dump());
        images.push_back(made.golden().row("pixel_values", wanted.at("image")));
        EXPECT_EQ(single.caption({images.back()}, 0),
                  std::vector<Ids>{wanted.at("ids").get<Ids>()});
        ++captions;
      }
      // Together, the shorter ones are padded.
      const std::vector<Ids> together = single.caption(images, 0);
      for (size_t i = 0; i < together.size(); ++i) {
        const Ids alone = row.at("captions").at(i).at("ids");
        EXPECT_TRUE(std::ranges::equal(alone, together[i] | std::views::take(alone.size())))
            << row.at("file").dump();
      }
    }
  }
  EXPECT_GT(captions, 60U);
}

TEST(GenerationFiles, TheSingleGraphNamesWhatItLeavesOut) {
  Json file = everything();
  file["num_beams"] = 1;
  file["do_sample"] = true;
  const WithFile made("base", file);
  const PressReport report = made.press_to(made.out(), "single");
  EXPECT_EQ(std::ranges::count(report.notes, "the loop inside the graph does not follow do_sample"),
            1);
}

TEST(GenerationFiles, OptionsOverrideTheFolder) {
  const WithFile made("base", everything());
  made.press_it();
  const Captioner captioner(made.out(), CaptionerOptions{"", 1});
  const std::vector<float> pixels = made.golden().row("pixel_values", 0);
  // All of it off: the plain greedy caption.
  GenerateOptions off;
  off.max_new_tokens = 14;
  off.min_new_tokens = 0;
  off.repetition_penalty = 1.0;
  off.no_repeat_ngram_size = 0;
  off.bad_words_ids.emplace();
  off.suppress_tokens.emplace();
  off.begin_suppress_tokens.emplace();
  off.num_beams = 1;
  const Json& plain = made.golden().cases().at(0).at("captions").at(0).at("ids");
  const Ids found = captioner.caption_pixels(pixels, off).ids;
  ASSERT_LE(found.size(), plain.size());
  EXPECT_TRUE(std::ranges::equal(found, plain.get<Ids>() | std::views::take(found.size())));
  // Sampling displaces the folder's beams.
  GenerateOptions sampled;
  sampled.do_sample = true;
  EXPECT_EQ(captioner.settings(sampled).num_beams, 1);
  EXPECT_EQ(captioner.settings().num_beams, 3);
  EXPECT_EQ(captioner.caption_pixels(pixels, sampled).score, 0.0);
  // The prompt counts in max_length and min_length, as for generate().
  GenerateOptions prompted;
  prompted.num_beams = 1;
  prompted.prompt = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
  try {
    captioner.caption_pixels(pixels, prompted);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(contains(error.what(), "max_length 28 counts")) << error.what();
  }
}

TEST(GenerationFiles, BeamsOfTheFolderAreDisplacedTheOtherWayToo) {
  const WithFile made("base", Json::parse(R"({"do_sample": true, "eos_token_id": 274})"));
  made.press_it();
  const Captioner captioner(made.out(), CaptionerOptions{"", 1});
  GenerateOptions beams;
  beams.num_beams = 2;
  EXPECT_EQ(captioner.settings(beams).do_sample, false);
  EXPECT_NE(captioner.caption_pixels(made.golden().row("pixel_values", 0), beams).score, 0.0);
}

TEST(GenerationFiles, RulesThatForbidEveryTokenAreAnErrorOfBeamsToo) {
  Ids all(320);
  for (size_t id = 0; id < all.size(); ++id) {
    all[id] = static_cast<int64_t>(id);
  }
  const WithFile made("base", Json::object());
  made.press_it();
  const Captioner captioner(made.out(), CaptionerOptions{"", 1});
  GenerateOptions options;
  options.suppress_tokens = all;
  for (const int64_t beams : {1, 3}) {
    options.num_beams = beams;
    try {
      captioner.caption_pixels(made.golden().row("pixel_values", 0), options);
      FAIL() << beams;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kRuntime);
      EXPECT_TRUE(contains(error.what(), "forbid every token")) << error.what();
    }
  }
  options.suppress_tokens = Ids{320};
  EXPECT_THROW(captioner.caption_pixels(made.golden().row("pixel_values", 0), options), Error);
}

VerifyReport verified(const WithFile& made) {
  VerifyOptions options;
  options.source.checkpoint = made.checkpoint();
  options.model = made.out();
  options.threads = 1;
  return verify(options);
}

TEST(GenerationFiles, VerifyCaptionsByTheSameRules) {
  const Json& part = files().at("checkpoints").at(0);
  const Json& row = part.at("searches").at(9);  // all rules, one beam
  const WithFile made(part.at("checkpoint"), row.at("file"));
  made.press_it();
  VerifyReport report = verified(made);
  EXPECT_TRUE(report.passed);
  ASSERT_FALSE(report.images.empty());
  const Json& suppressed = row.at("file").at("suppress_tokens");
  for (size_t i = 0; i < report.images.size(); ++i) {
    EXPECT_TRUE(report.dtypes.at(0).images.at(i).caption_equal);
    EXPECT_GE(report.images[i].ids.size(), 6U);  // min_new_tokens
    for (const int64_t id : report.images[i].ids) {
      EXPECT_EQ(std::ranges::find(suppressed, Json(id)), suppressed.end());
    }
  }
  // A folder that lost a setting is not this checkpoint's.
  Json manifest = read_json(made.out() / kManifestName);
  manifest.at("generation").erase("repetition_penalty");
  fs::remove(made.out() / kManifestName);
  write_text(made.out() / kManifestName, manifest.dump(2));
  report = verified(made);
  EXPECT_FALSE(report.passed);
  ASSERT_EQ(report.faults.size(), 1U);
  EXPECT_TRUE(contains(report.faults[0], "repetition_penalty is not set, expected 1.2"))
      << report.faults[0];
}

TEST(GenerationFiles, VerifySaysThatItsCaptionsAreGreedy) {
  const WithFile made("base", Json::parse(R"({"num_beams": 3})"));
  made.press_it();
  const VerifyReport report = verified(made);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(std::ranges::count_if(
                report.notes, [](const std::string& note) { return contains(note, "3 beams"); }),
            1);
}

}  // namespace
}  // namespace lorapress
