#include "runtime/generation/beam.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lorapress {
namespace {

// transformers' stand-in for "never": added to a score, it outweighs every sum of
// log-probabilities.
constexpr float kNever = -1.0e9F;

// In transformers scores are float32, and so is the divisor.
float length_divisor(int64_t length, double penalty) {
  return static_cast<float>(std::pow(static_cast<double>(length), penalty));
}

// The `count` highest scores' places, highest first, the first place first among equal ones.
template <typename Row>
std::vector<size_t> highest(const std::vector<Row>& rows, size_t count) {
  std::vector<size_t> order(rows.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::ranges::stable_sort(order,
                           [&](size_t a, size_t b) { return rows[a].score > rows[b].score; });
  order.resize(std::min(count, order.size()));
  return order;
}

}  // namespace

BeamSearch::BeamSearch(const BeamOptions& options) : options_(options) {
  const auto beams = static_cast<size_t>(options.num_beams);
  running_.assign(beams, {{}, kNever, false});
  running_[0].score = 0.0F;  // the beams are still one
  finished_.assign(beams, {{}, kNever, false});
}

void BeamSearch::advance(std::span<const std::span<const float>> log_probs) {
  const std::vector<Candidate> candidates = best_continuations(log_probs);
  collect_finished(candidates);  // before choose_running(), which replaces what they continue
  choose_running(candidates);
  ++length_;
  decide_whether_done(candidates);
}

// Enough candidates that num_beams of them do not end, best first.
std::vector<BeamSearch::Candidate> BeamSearch::best_continuations(
    std::span<const std::span<const float>> log_probs) const {
  const size_t ends = options_.eos_token_ids.size();
  const size_t wanted = std::max<size_t>(2, 1 + ends) * running_.size();
  const auto worse = [](const Candidate& a, const Candidate& b) { return a.score > b.score; };
  std::vector<Candidate> best;  // a heap with the worst candidate first
  for (size_t beam = 0; beam < log_probs.size(); ++beam) {
    const float before = running_[beam].score;
    for (size_t token = 0; token < log_probs[beam].size(); ++token) {
      const float score = log_probs[beam][token] + before;
      if (best.size() == wanted && !(score > best.front().score)) {
        continue;
      }
      if (best.size() == wanted) {
        std::ranges::pop_heap(best, worse);
        best.pop_back();
      }
      best.push_back({score, static_cast<int64_t>(beam), static_cast<int64_t>(token)});
      std::ranges::push_heap(best, worse);
    }
  }
  std::ranges::sort(best, [](const Candidate& a, const Candidate& b) {
    return a.score != b.score     ? a.score > b.score
           : a.parent != b.parent ? a.parent < b.parent
                                  : a.token < b.token;
  });
  for (Candidate& candidate : best) {
    candidate.stops =
        length_ + 1 >= options_.max_new_tokens ||
        std::ranges::find(options_.eos_token_ids, candidate.token) != options_.eos_token_ids.end();
  }
  return best;
}

BeamSearch::Hypothesis BeamSearch::extended(const Candidate& candidate, float score) const {
  Hypothesis hypothesis{running_[static_cast<size_t>(candidate.parent)].ids, score, false};
  hypothesis.ids.push_back(candidate.token);
  return hypothesis;
}

bool BeamSearch::is_full() const {
  return std::ranges::all_of(finished_, &Hypothesis::finished);
}

// Only the num_beams best candidates may finish; the others can only continue.
void BeamSearch::collect_finished(const std::vector<Candidate>& candidates) {
  const float divisor = length_divisor(length_ + 1, options_.length_penalty);
  const bool closed = is_full() && options_.early_stopping == EarlyStopping::kFirst;
  std::vector<Hypothesis> all = finished_;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const bool finishes = candidates[i].stops && i < running_.size();
    float score = candidates[i].score / divisor;
    score += closed ? kNever : 0.0F;
    score += can_improve_ ? 0.0F : kNever;
    score += finishes ? 0.0F : kNever;
    all.push_back(extended(candidates[i], score));
    all.back().finished = finishes;
  }
  std::vector<Hypothesis> kept;
  for (const size_t place : highest(all, running_.size())) {
    kept.push_back(std::move(all[place]));
  }
  finished_ = std::move(kept);
}

void BeamSearch::choose_running(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> open = candidates;
  for (Candidate& candidate : open) {
    candidate.score += candidate.stops ? kNever : 0.0F;
  }
  std::vector<Hypothesis> next;
  parents_.clear();
  for (const size_t place : highest(open, running_.size())) {
    next.push_back(extended(open[place], open[place].score));
    parents_.push_back(open[place].parent);
  }
  running_ = std::move(next);
}

// Could a running beam still beat the worst finished one? With "never" and a positive penalty, at
// the greatest length; otherwise estimated at the present length.
void BeamSearch::decide_whether_done(const std::vector<Candidate>& candidates) {
  const bool at_the_end =
      options_.early_stopping == EarlyStopping::kNever && options_.length_penalty > 0.0;
  const int64_t length = at_the_end ? options_.max_new_tokens : length_;
  const float possible = running_[0].score / length_divisor(length, options_.length_penalty);
  float worst = std::numeric_limits<float>::infinity();
  bool any_open = false;
  for (const Hypothesis& hypothesis : finished_) {
    worst = std::min(worst, hypothesis.score);
    any_open = any_open || !hypothesis.finished;
  }
  can_improve_ = can_improve_ && possible > (any_open ? std::min(worst, kNever) : worst);
  const bool first_are_enough = options_.early_stopping == EarlyStopping::kFirst && is_full();
  done_ = !can_improve_ || first_are_enough || std::ranges::all_of(candidates, &Candidate::stops);
}

}  // namespace lorapress
