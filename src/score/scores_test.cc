// Words, stems and metrics against pycocoevalcap's own (tests/oracle/make_score.py).
#include "score/scores.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "score/bootstrap.h"
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

// The interval of a difference is around it, the same in every run, and tells a spoiled set from the same one.
TEST(CaptionScores, DifferencesHaveIntervals) {
  std::vector<std::vector<std::string>> references;
  std::vector<std::string> captions;
  const Json golden = score_golden("metrics.json");
  for (const Json& image : golden.at("sets")[1].at("images")) {
    references.push_back(image.at("references"));
    captions.push_back(image.at("references")[0]);
  }
  const References counted(references);
  const std::vector<CaptionCounts> base = counted.count(captions);
  const MetricDifferences none = paired_differences(base, base);
  EXPECT_EQ(none.cider.value, 0.0);
  EXPECT_EQ(none.bleu_4.low, 0.0);
  EXPECT_EQ(none.meteor.high, 0.0);

  std::vector<std::string> one = captions;
  one[3] = "something else";
  const MetricDifference small = paired_differences(base, counted.count(one)).cider;
  EXPECT_LT(small.value, 0.0);
  EXPECT_LT(small.low, small.value);
  EXPECT_EQ(small.high, 0.0);  // of some draws the image is not one

  for (size_t i = 0; i < captions.size(); i += 2) {
    captions[i] = captions[i].substr(0, captions[i].size() / 2);
  }
  const std::vector<CaptionCounts> spoiled = counted.count(captions);
  const MetricDifferences worse = paired_differences(base, spoiled);
  const CaptionMetrics better = metrics_of(base);
  const CaptionMetrics other = metrics_of(spoiled);
  EXPECT_EQ(worse.bleu_4.value, other.bleu[3] - better.bleu[3]);
  EXPECT_EQ(worse.meteor.value, other.meteor - better.meteor);
  for (const MetricDifference& difference :
       {worse.cider, worse.bleu_4, worse.rouge_l, worse.meteor, worse.words}) {
    EXPECT_LT(difference.low, difference.value);
    EXPECT_LT(difference.value, difference.high);
    EXPECT_LT(difference.high, 0.0);
  }
  EXPECT_EQ(paired_differences(base, spoiled).cider.low, worse.cider.low);
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
