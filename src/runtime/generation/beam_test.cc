#include "runtime/generation/beam.h"

#include "runtime/generation/generation_test_util.h"
#include "runtime/generation/sampling.h"

namespace lorapress {
namespace {

using generation_test::golden;
using generation_test::to_scores;
using Ids = std::vector<int64_t>;

EarlyStopping early_stopping_of(const Json& value) {
  if (value.is_string()) {
    return EarlyStopping::kNever;
  }
  return value.get<bool>() ? EarlyStopping::kFirst : EarlyStopping::kHeuristic;
}

// A model whose logits hang on the step and the last token alone.
class Table {
 public:
  explicit Table(const Json& json) : json_(&json) {}

  [[nodiscard]] std::vector<float> log_probs(const Ids& ids) const {
    const int64_t last = ids.empty() ? json_->at("start").get<int64_t>() : ids.back();
    std::vector<float> scores =
        to_scores(json_->at("logits").at(ids.size()).at(static_cast<size_t>(last)));
    log_softmax(scores);
    return scores;
  }

 private:
  const Json* json_;
};

// `first_rows`: whether the first step gets one row or all of them.
BeamSearch search(const Json& table, const Json& options, bool one_first_row) {
  const Table model(table);
  BeamSearch found({options.at("num_beams"),
                    table.at("max_new_tokens"),
                    options.at("length_penalty"),
                    early_stopping_of(options.at("early_stopping")),
                    table.at("eos_token_ids").get<Ids>()});
  for (int64_t step = 0; !found.done(); ++step) {
    std::vector<std::vector<float>> rows;
    for (const BeamSearch::Hypothesis& beam : found.running()) {
      EXPECT_EQ(std::ssize(beam.ids), step);
      rows.push_back(model.log_probs(beam.ids));
    }
    std::vector<std::span<const float>> spans(rows.begin(), rows.end());
    if (step == 0 && one_first_row) {
      spans.resize(1);
    }
    const std::vector<BeamSearch::Hypothesis> before = found.running();
    found.advance(spans);
    for (size_t beam = 0; beam < before.size(); ++beam) {
      Ids ids = before[static_cast<size_t>(found.parents()[beam])].ids;
      ids.push_back(found.running()[beam].ids.back());
      EXPECT_EQ(ids, found.running()[beam].ids);
    }
  }
  return found;
}

TEST(BeamSearch, EqualsTransformers) {
  const Json file = golden("beams.json");
  size_t runs = 0;
  for (const Json& table : file.at("tables")) {
    for (const Json& run : table.at("runs")) {
      SCOPED_TRACE(run.dump());
      for (const bool one_first_row : {true, false}) {
        const BeamSearch found = search(table, run.at("options"), one_first_row);
        ASSERT_EQ(found.finished().size(), run.at("ids").size());
        for (size_t i = 0; i < run.at("ids").size(); ++i) {
          EXPECT_EQ(found.finished()[i].ids, run.at("ids").at(i).get<Ids>()) << i;
          EXPECT_NEAR(found.finished()[i].score, run.at("scores").at(i).get<float>(), 1e-4) << i;
        }
      }
      ++runs;
    }
  }
  EXPECT_GT(runs, 90U);
}

}  // namespace
}  // namespace lorapress
