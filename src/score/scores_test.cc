// Words, stems and metrics against pycocoevalcap's own (tests/oracle/make_score.py).
#include "score/scores.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "score/caption_tokens.h"
#include "score/english_stem.h"

namespace lorapress {
namespace {

constexpr double kTolerance = 1e-6;

Json score_golden(const std::string& name) {
  return read_json(std::string(LORAPRESS_SOURCE_DIR) + "/tests/goldens/score/" + name);
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

TEST(CaptionTokens, AreThoseOfTheTokenizer) {
  size_t lines = 0;
  const Json golden = score_golden("tokens.json");
  for (const Json& line : golden.at("lines")) {
    const auto text = line.at("text").get<std::string>();
    EXPECT_EQ(joined(caption_tokens(text)), line.at("tokens").get<std::string>()) << text;
    ++lines;
  }
  EXPECT_GT(lines, 400U);
}

TEST(CaptionTokens, TakesAnyBytes) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes += static_cast<char>(byte);
    bytes += static_cast<char>(255 - byte);
  }
  EXPECT_FALSE(caption_tokens(bytes).empty());
  EXPECT_TRUE(caption_tokens("").empty());
  EXPECT_TRUE(caption_tokens(" \xF0\x9F\x98 ").empty());
}

TEST(EnglishStem, IsThatOfMeteor) {
  size_t words = 0;
  const Json golden = score_golden("stems.json");
  for (const auto& [word, stem] : golden.at("stems").items()) {
    EXPECT_EQ(english_stem(word), stem.get<std::string>()) << word;
    ++words;
  }
  EXPECT_GT(words, 1000U);
}

void expect_metrics(const CaptionMetrics& metrics, const Json& golden, const std::string& what) {
  EXPECT_NEAR(metrics.cider, golden.at("cider").get<double>(), kTolerance) << what;
  EXPECT_NEAR(metrics.rouge_l, golden.at("rouge_l").get<double>(), kTolerance) << what;
  EXPECT_NEAR(metrics.meteor, golden.at("meteor").get<double>(), kTolerance) << what;
  for (size_t n = 0; n < metrics.bleu.size(); ++n) {
    EXPECT_NEAR(metrics.bleu.at(n), golden.at("bleu")[n].get<double>(), kTolerance) << what;
  }
  if (golden.contains("words")) {
    EXPECT_EQ(metrics.words, golden.at("words").get<double>()) << what;
  }
}

TEST(CaptionScores, AreThoseOfPycocoevalcap) {
  const Json golden = score_golden("metrics.json");
  for (const Json& set : golden.at("sets")) {
    std::vector<CaptionToScore> captions;
    for (const Json& image : set.at("images")) {
      captions.push_back({image.at("image"), image.at("caption"), image.at("references")});
    }
    const ScoreReport report = score_captions(captions);
    const auto name = set.at("name").get<std::string>();
    expect_metrics(report.metrics, set.at("metrics"), name);
    ASSERT_EQ(report.captions.size(), captions.size());
    for (size_t i = 0; i < captions.size(); ++i) {
      expect_metrics(report.captions[i].metrics,
                     set.at("images")[i].at("metrics"),
                     name + ": " + captions[i].caption);
    }
  }
}

TEST(CaptionScores, RefuseCaptionsWithoutReferences) {
  EXPECT_THROW(score_captions({}), Error);
  const std::vector<CaptionToScore> alone{{"a.png", "a dog", {}}};
  EXPECT_THROW(score_captions(alone), Error);
  const std::vector<CaptionToScore> endless{{"a.png", std::string(5000, 'a'), {"a"}}};
  EXPECT_THROW(score_captions(endless), Error);
}

}  // namespace
}  // namespace lorapress
