#include "checkpoint/generation_config.h"

#include <gtest/gtest.h>

#include "checkpoint/generation_settings.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;
using Ids = std::vector<int64_t>;

// A checkpoint of a trainer with 4 image tokens and a vocabulary of 10.
class ReadGenerationConfig : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_ / "base");
    checkpoint_.folder = folder_.path();
    checkpoint_.folders = {folder_.path(), folder_ / "base"};
    checkpoint_.vision =
        VisionConfig{.model_type = "siglip_vision_model", .image_size = 32, .patch_size = 16};
    checkpoint_.text = TextConfig{};
    checkpoint_.text->vocab_size = 10;
    checkpoint_.text->max_position_embeddings = 64;
    checkpoint_.composite = composite_model_types()[0];
  }
  void put(const std::string& name, const std::string& text) {
    std::filesystem::remove(folder_ / name);
    write_text(folder_ / name, text);
  }
  GenerationConfig read(const std::string& text) {
    put("generation_config.json", text);
    return read_generation_config(checkpoint_);
  }
  // What is followed, as JSON.
  Json followed(const std::string& text) { return generation_settings_json(read(text).settings); }
  std::string refused(const std::string& text) {
    return message_of(ErrorCode::kInvalidFile, [&] { read(text); });
  }

  TempFolder folder_;
  Checkpoint checkpoint_;
};

TEST_F(ReadGenerationConfig, TakesEverySettingThatIsFollowed) {
  const std::string text = R"({
    "min_new_tokens": 3, "repetition_penalty": 1.25, "no_repeat_ngram_size": 2,
    "bad_words_ids": [[1], [2, 3]], "suppress_tokens": [4], "begin_suppress_tokens": [5, 6],
    "forced_bos_token_id": 7, "forced_eos_token_id": [8, 9], "num_beams": 4, "length_penalty": 0.5,
    "early_stopping": "never", "temperature": 0.5, "top_k": 7, "top_p": 0.75})";
  EXPECT_EQ(followed(text), Json::parse(text));
  const GenerationConfig config = read(R"({"max_new_tokens": 12, "max_length": 40,
    "eos_token_id": [1, 2], "bos_token_id": 3, "pad_token_id": 4, "forced_eos_token_id": 5})");
  EXPECT_EQ(config.max_new_tokens, 12);
  EXPECT_FALSE(config.settings.max_length);  // max_new_tokens goes before
  EXPECT_EQ(config.eos_token_ids, (Ids{1, 2}));
  EXPECT_EQ(config.bos_token_id, 3);
  EXPECT_EQ(config.pad_token_id, 4);
  EXPECT_EQ(config.settings.forced_eos_token_id, Ids{5});
  EXPECT_TRUE(config.notes.empty());
}

TEST_F(ReadGenerationConfig, LeavesOutWhatChangesNothing) {
  EXPECT_EQ(followed(R"({"min_length": 0, "min_new_tokens": 0, "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0, "bad_words_ids": [], "suppress_tokens": [], "num_beams": 1,
    "begin_suppress_tokens": [], "length_penalty": 1, "early_stopping": false, "do_sample": false,
    "temperature": 1.0, "top_p": 1.0, "top_k": null, "forced_bos_token_id": null,
    "_from_model_config": true, "transformers_version": "5.0.0", "use_cache": true})"),
            Json::object());
  // Without sampling nobody reads these, and a temperature of 0 is common.
  EXPECT_EQ(followed(R"({"do_sample": false, "temperature": 0.0, "top_p": 0, "top_k": -1})"),
            Json::object());
}

TEST_F(ReadGenerationConfig, SamplesAsGenerateDoes) {
  EXPECT_EQ(followed(R"({"do_sample": true})"), Json::parse(R"({"do_sample": true, "top_k": 50})"));
  EXPECT_EQ(followed(R"({"do_sample": true, "top_k": 0})"),
            Json::parse(R"({"do_sample": true, "top_k": 0})"));
  const GenerationConfig both = read(R"({"do_sample": true, "num_beams": 3})");
  EXPECT_EQ(generation_settings_json(both.settings), Json::parse(R"({"num_beams": 3})"));
  ASSERT_EQ(both.notes.size(), 1U);
  EXPECT_TRUE(contains(both.notes[0], "do_sample with num_beams 3"));
  EXPECT_TRUE(both.kept.contains("do_sample"));
}

// generate(inputs_embeds=...) counts them in both.
TEST_F(ReadGenerationConfig, CountsTheImageTokensInLengths) {
  const GenerationConfig config = read(R"({"max_length": 20, "min_length": 11})");
  EXPECT_EQ(config.max_new_tokens, 16);
  EXPECT_EQ(config.settings.max_length, 20);
  EXPECT_EQ(config.settings.min_length, 11);
  EXPECT_FALSE(read(R"({"min_length": 11, "min_new_tokens": 2})").settings.min_length);
  EXPECT_FALSE(read(R"({"min_length": 11, "min_new_tokens": 0})").settings.min_length);
  EXPECT_EQ(read(R"({"max_length": 4096})").max_new_tokens, 60);  // all positions
  const GenerationConfig tight = read(R"({"max_length": 4})");
  EXPECT_EQ(tight.max_new_tokens, 30);
  ASSERT_EQ(tight.notes.size(), 1U);
  EXPECT_TRUE(contains(tight.notes[0], "leaves no room"));
}

TEST_F(ReadGenerationConfig, NamesWhatIsNotFollowedAndKeepsIt) {
  const GenerationConfig config = read(R"({"penalty_alpha": 0.6, "sequence_bias": [[[1], 2.0]],
    "guidance_scale": 1.5, "num_beam_groups": 2, "typical_p": 0.9, "min_p": 0.05, "stop_strings": ["."],
    "num_return_sequences": 2, "house_rule": {"kept": [1]}, "output_scores": true, "num_beams": 4})");
  ASSERT_EQ(config.notes.size(), 1U);
  for (const char* name : {"penalty_alpha",
                           "sequence_bias",
                           "guidance_scale",
                           "num_beam_groups",
                           "stop_strings",
                           "num_return_sequences"}) {
    EXPECT_TRUE(contains(config.notes[0], name)) << name;
  }
  for (const char* name : {"typical_p", "min_p", "house_rule"}) {  // of sampling; unknown
    EXPECT_FALSE(contains(config.notes[0], name)) << name;
    EXPECT_TRUE(config.kept.contains(name)) << name;
  }
  for (const char* name : {"output_scores", "guidance_scale", "num_return_sequences"}) {
    EXPECT_FALSE(config.kept.contains(name)) << name;  // no client could run with them
  }
  EXPECT_TRUE(contains(read(R"({"do_sample": true, "min_p": 0.05})").notes.at(0), "min_p"));
  // transformers' defaults say nothing.
  EXPECT_TRUE(read(R"({"penalty_alpha": null, "num_beam_groups": 1, "diversity_penalty": 0.0,
    "do_sample": true, "typical_p": 1, "eta_cutoff": 0.0, "remove_invalid_values": false})")
                  .notes.empty());
}

TEST_F(ReadGenerationConfig, FallsBackToTheModelsConfig) {
  checkpoint_.config = Json::parse(
      R"({"max_length": 17, "repetition_penalty": 1.5, "num_beams": 2, "no_repeat_ngram_size": 0})");
  checkpoint_.max_new_tokens = 17;
  checkpoint_.text_json = Json::parse(
      R"({"num_beams": 5, "no_repeat_ngram_size": 3, "top_k": 50, "max_length": 20, "temperature": 1.0,
          "bad_words_ids": null, "typical_p": 0.5, "hidden_size": 64})");
  const GenerationConfig config = read_generation_config(checkpoint_);
  EXPECT_EQ(config.max_new_tokens, 17);  // the trainer's: new tokens
  const Json expected =
      Json::parse(R"({"repetition_penalty": 1.5, "num_beams": 2, "no_repeat_ngram_size": 3})");
  EXPECT_EQ(generation_settings_json(config.settings), expected);
  EXPECT_FALSE(config.kept.contains("hidden_size"));
  EXPECT_EQ(followed(R"({"repetition_penalty": 1.1, "num_beams": 1})"),
            Json::parse(R"({"repetition_penalty": 1.1, "no_repeat_ngram_size": 3})"));
}

TEST_F(ReadGenerationConfig, TakesABasesFileButNotItsLength) {
  put("base/generation_config.json", R"({"max_new_tokens": 512, "repetition_penalty": 1.5})");
  EXPECT_EQ(read_generation_config(checkpoint_).max_new_tokens, 512);
  checkpoint_.config = Json::parse(R"({"max_length": 17})");
  checkpoint_.max_new_tokens = 17;
  const GenerationConfig config = read_generation_config(checkpoint_);
  EXPECT_EQ(config.max_new_tokens, 17);
  EXPECT_EQ(config.settings.repetition_penalty, 1.5);
  EXPECT_EQ(read(R"({"max_new_tokens": 12})").max_new_tokens, 12);  // its own goes before both
}

TEST_F(ReadGenerationConfig, DropsTokensThatNoModelHas) {
  const GenerationConfig config =
      read(R"({"suppress_tokens": [-1, 3, 10, 51864], "begin_suppress_tokens": [220]})");
  EXPECT_EQ(config.settings.suppress_tokens, Ids{3});
  EXPECT_FALSE(config.settings.begin_suppress_tokens);
  ASSERT_EQ(config.notes.size(), 2U);
  EXPECT_TRUE(contains(config.notes[0], "3 of 4 \"suppress_tokens\""));
  EXPECT_EQ(config.kept.at("suppress_tokens"), Json::array({3}));
}

TEST_F(ReadGenerationConfig, RefusesWhatNoGenerateTakes) {
  for (const std::string value : {R"("max_new_tokens": 0)",
                                  R"("max_new_tokens": 1048577)",
                                  R"("max_new_tokens": 3.5)",
                                  R"("min_new_tokens": -1)",
                                  R"("repetition_penalty": 0)",
                                  R"("repetition_penalty": "1.2")",
                                  R"("no_repeat_ngram_size": -2)",
                                  R"("num_beams": 0)",
                                  R"("num_beams": 65)",
                                  R"("length_penalty": 1e300)",
                                  R"("early_stopping": 1)",
                                  R"("early_stopping": "always")",
                                  R"("do_sample": 1)",
                                  R"("do_sample": true, "temperature": 0.0)",
                                  R"("do_sample": true, "top_p": 1.5)",
                                  R"("do_sample": true, "top_k": -1)",
                                  R"("bad_words_ids": [1])",
                                  R"("bad_words_ids": [[]])",
                                  R"("bad_words_ids": [[10]])",
                                  R"("bad_words_ids": [[1.5]])",
                                  R"("bad_words_ids": {"1": 2})",
                                  R"("suppress_tokens": 3)",
                                  R"("suppress_tokens": ["3"])",
                                  R"("begin_suppress_tokens": [[3]])",
                                  R"("forced_bos_token_id": 10)",
                                  R"("forced_bos_token_id": [1, 2])",
                                  R"("forced_eos_token_id": [-1])",
                                  R"("forced_eos_token_id": [3, 4], "suppress_tokens": [4, 3])",
                                  R"("forced_bos_token_id": 3, "suppress_tokens": [3])",
                                  R"("eos_token_id": "</s>")"}) {
    const std::string said = refused("{" + value + "}");
    EXPECT_EQ(said.find('\n'), std::string::npos) << value;
    EXPECT_TRUE(contains(said, folder_.path().string())) << said;
  }
  EXPECT_TRUE(contains(refused("[]"), "not a JSON object"));
  EXPECT_TRUE(contains(refused(R"({"num_beams": 65})"), R"("num_beams" is 65, expected 1 to 64)"));
}

TEST_F(ReadGenerationConfig, BoundsEveryList) {
  const auto listed = [](size_t count, const std::string& item) {
    std::string text = item;
    for (size_t i = 1; i < count; ++i) {
      text += "," + item;
    }
    return "[" + text + "]";
  };
  const size_t most = kMostListedIds;
  EXPECT_NO_THROW(read("{\"suppress_tokens\": " + listed(most, "1") + "}"));
  refused("{\"suppress_tokens\": " + listed(most + 1, "1") + "}");
  refused("{\"bad_words_ids\": " + listed(most / 2 + 1, "[1,2]") + "}");
  refused("{\"bad_words_ids\": " + listed(most + 1, "[]") + "}");
  refused("{\"eos_token_id\": " + listed(1025, "1") + "}");
  refused("{\"house_rule\": \"" + std::string(9U << 20, 'x') + "\"}");
}

TEST(GenerationSettings, OptionsGoBeforeTheFolders) {
  GenerationSettings first;
  first.num_beams = 3;
  first.suppress_tokens = Ids();
  GenerationSettings second;
  second.num_beams = 5;
  second.suppress_tokens = Ids{1};
  second.bad_words_ids = {{1, 2}};
  second.early_stopping = EarlyStopping::kFirst;
  const GenerationSettings merged = merged_settings(first, second);
  EXPECT_EQ(merged.num_beams, 3);
  EXPECT_EQ(merged.suppress_tokens, Ids());  // none, and said so
  EXPECT_EQ(merged.bad_words_ids, second.bad_words_ids);
  EXPECT_EQ(merged.early_stopping, EarlyStopping::kFirst);
}

}  // namespace
}  // namespace lorapress
