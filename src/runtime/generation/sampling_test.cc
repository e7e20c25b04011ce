#include "runtime/generation/sampling.h"

#include "lorapress/error.h"

#include "checkpoint/generation_settings.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/generation_test_util.h"

namespace lorapress {
namespace {

using generation_test::expect_scores;
using generation_test::golden;
using generation_test::to_scores;
using Ids = std::vector<int64_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const Json& vectors() {
  static const Json kFile = golden("filters.json");
  return kFile;
}

TEST(Random, EqualsTheReferenceTwister) {
  for (const Json& row : vectors().at("random")) {
    const auto seed = row.at("seed").get<uint32_t>();
    std::mt19937 engine(seed);
    for (const Json& raw : row.at("raw")) {
      EXPECT_EQ(engine(), raw.get<uint32_t>()) << "seed " << seed;
    }
    RandomNumbers numbers(seed);
    for (int i = 0; i < row.at("skipped").get<int>(); ++i) {
      numbers.next();
    }
    for (const Json& uniform : row.at("uniform")) {
      EXPECT_EQ(numbers.next(), uniform.get<double>()) << "seed " << seed;
    }
  }
}

TEST(Sampling, FiltersAndDrawsEqualTransformersAndNumpy) {
  const Json& cases = vectors().at("filters");
  EXPECT_GT(cases.size(), 100U);
  for (const Json& row : cases) {
    SCOPED_TRACE(row.at("logits").get<std::string>() + row.at("options").dump());
    const Json& options = row.at("options");
    std::vector<float> scores = to_scores(vectors().at("logits").at(row.at("logits")));
    apply_filters({options.at("temperature"), options.at("top_k"), options.at("top_p")}, scores);
    RandomNumbers numbers(row.at("seed"));
    Ids tokens;
    for (size_t i = 0; i < row.at("tokens").size(); ++i) {
      tokens.push_back(sample(scores, numbers.next()));
    }
    EXPECT_EQ(tokens, row.at("tokens").get<Ids>());
    log_softmax(scores);
    expect_scores(scores, to_scores(row.at("log_probs")));
  }
}

TEST(Sampling, RulesEqualTransformers) {
  for (const Json& row : vectors().at("rules")) {
    SCOPED_TRACE(row.dump());
    const GenerationContext context{row.at("eos").get<Ids>(),
                                    std::ssize(vectors().at("rule_scores")),
                                    row.value("max_new_tokens", int64_t{100}),
                                    0};
    const TokenRules rules =
        token_rules(parse_generation_settings(row.at("options"), context.vocab_size, "x"), context);
    std::vector<float> scores = to_scores(vectors().at("rule_scores"));
    apply_rules(rules, row.at("generated").get<Ids>(), scores);
    expect_scores(scores, to_scores(row.at("scores")));
  }
  EXPECT_GT(vectors().at("rules").size(), 80U);
}

TEST(Sampling, ArgmaxIsTheFirstOfEqualScores) {
  for (size_t size : {1, 2, 15, 16, 17, 40, 1000}) {
    for (size_t place = 0; place < size; place += 1 + size / 9) {
      std::vector<float> scores(size, -2.0F);
      scores[place] = -1.0F;
      scores.back() = -1.0F;
      EXPECT_EQ(argmax(scores), static_cast<int64_t>(place)) << size;
    }
  }
}

TEST(Sampling, LogSoftmaxIsAccurateAtEveryScale) {
  std::mt19937 engine(7);
  for (const float scale : {1e-6F, 1.0F, 20.0F, 1e4F, 1e30F}) {
    for (const size_t size : {1, 31, 49152}) {
      std::vector<float> scores(size);
      for (float& score : scores) {
        score = (static_cast<float>(engine()) / 4294967296.0F - 0.5F) * scale;
      }
      const std::vector<float> before = scores;
      log_softmax(scores);
      const double largest = *std::ranges::max_element(before);
      double sum = 0.0;
      for (const float score : before) {
        sum += std::exp(static_cast<double>(score) - largest);
      }
      for (size_t i = 0; i < size; ++i) {
        const double wanted = static_cast<double>(before[i]) - largest - std::log(sum);
        ASSERT_NEAR(scores[i], wanted, 2e-6 + 2e-7 * std::fabs(wanted)) << scale << " " << size;
      }
    }
  }
}

TEST(Sampling, ADrawNeverTakesWhatIsForbidden) {
  const std::vector<float> scores{-kInfinity, 1.0F, -kInfinity, 1.0F, -kInfinity};
  EXPECT_EQ(sample(scores, 0.0), 1);
  EXPECT_EQ(sample(scores, 0.4999), 1);
  EXPECT_EQ(sample(scores, 0.5), 3);
  EXPECT_EQ(sample(scores, std::nextafter(1.0, 0.0)), 3);
}

TEST(Sampling, TopPKeepsOneTokenAtLeast) {
  std::vector<float> scores{0.0F, 3.0F, 1.0F};
  apply_filters({1.0, 0, 1e-3}, scores);
  expect_scores(scores, {-kInfinity, 3.0F, -kInfinity});
}

TEST(Sampling, RefusesWhatIsNotANumber) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    for (const size_t place : {0, 5, 17, 39}) {
      std::vector<float> scores(40, 1.0F);
      scores[place] = bad;
      EXPECT_THROW(argmax(scores), Error);
      EXPECT_THROW(log_softmax(scores), Error);
      EXPECT_THROW(sample(scores, 0.5), Error);
    }
  }
  EXPECT_THROW(argmax(std::vector<float>(3, -kInfinity)), Error);
}

// GenerationMixin with decoder_input_ids: the processors see them, and the first id of one is the start.
TEST(RulesBehindIds, SeeTheIdsBeforeTheGeneratedOnes) {
  TokenRules rules;
  rules.before = {4, 1, 2};
  rules.repetition_penalty = 2.0;
  std::vector<float> scores{1.0F, 1.0F, -1.0F, 1.0F, 1.0F, 1.0F};
  apply_rules(rules, std::vector<int64_t>{5}, scores);
  EXPECT_EQ(scores, (std::vector<float>{1.0F, 0.5F, -2.0F, 1.0F, 0.5F, 0.5F}));
  rules.repetition_penalty = 1.0;
  rules.no_repeat_ngram_size = 2;
  EXPECT_EQ(likeliest(rules, std::vector<int64_t>{1}, std::vector<float>{0, 0, 3, 2, 0, 0}), 3);
  rules.no_repeat_ngram_size = 0;
  rules.bad_words_ids = {{2, 3}};
  EXPECT_EQ(likeliest(rules, {}, std::vector<float>{0, 0, 1, 2, 0, 0}), 2);
}

TEST(RulesBehindIds, ForceTheTokenBehindOneId) {
  TokenRules rules;
  rules.forced_bos_token_id = 3;
  rules.begin_suppress_tokens = {0};
  rules.max_new_tokens = 5;
  const std::vector<float> logits{5, 4, 3, 2};
  const auto next = [&](const std::vector<int64_t>& before, const std::vector<int64_t>& generated) {
    rules.before = before;
    return likeliest(rules, generated, logits);
  };
  EXPECT_EQ(next({}, {}), 0);  // behind embeddings: the second
  EXPECT_EQ(next({}, {0}), 3);
  EXPECT_EQ(next({7}, {}), 3);  // behind a start token: the first, and suppressed is the next
  EXPECT_EQ(next({7}, {3}), 1);
  EXPECT_EQ(next({7, 8}, {}), 1);  // behind a prompt: none, and suppressed is the first
  EXPECT_EQ(next({7, 8}, {1}), 0);
}

}  // namespace
}  // namespace lorapress
