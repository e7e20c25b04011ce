// Beam search of one sequence, as transformers 5 does it (GenerationMixin._beam_search), on plain
// log-probabilities: the caller runs the model.
#ifndef LORAPRESS_RUNTIME_GENERATION_BEAM_H_
#define LORAPRESS_RUNTIME_GENERATION_BEAM_H_

#include <cstdint>
#include <span>
#include <vector>

#include "lorapress/generation_settings.h"

namespace lorapress {

struct BeamOptions {
  int64_t num_beams = 1;
  int64_t max_new_tokens = 1;
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::kHeuristic;
  std::vector<int64_t> eos_token_ids;
};

class BeamSearch {
 public:
  struct Hypothesis {
    std::vector<int64_t> ids;
    float score = 0.0F;  // sum of log-probabilities, over length ^ length_penalty once finished
    bool finished = false;
  };

  explicit BeamSearch(const BeamOptions& options);

  // One step: a row of log-probabilities, rules applied, per running beam, in their order. In the
  // first step all beams are one, and a single row is enough. REQUIRES: not done().
  void advance(std::span<const std::span<const float>> log_probs);

  [[nodiscard]] bool done() const { return done_; }
  // The beams to run next, best first; the last of ids is the token to feed.
  [[nodiscard]] const std::vector<Hypothesis>& running() const { return running_; }
  // For each running beam, the beam before the last step that it continues.
  [[nodiscard]] const std::vector<int64_t>& parents() const { return parents_; }
  // Best first. Once done(), the first is the result.
  [[nodiscard]] const std::vector<Hypothesis>& finished() const { return finished_; }

 private:
  struct Candidate {
    float score = 0.0F;
    int64_t parent = 0;
    int64_t token = 0;
    bool stops = false;
  };

  [[nodiscard]] std::vector<Candidate> best_continuations(
      std::span<const std::span<const float>> log_probs) const;
  [[nodiscard]] Hypothesis extended(const Candidate& candidate, float score) const;
  void collect_finished(const std::vector<Candidate>& candidates);
  void choose_running(const std::vector<Candidate>& candidates);
  void decide_whether_done(const std::vector<Candidate>& candidates);
  [[nodiscard]] bool is_full() const;

  BeamOptions options_;
  int64_t length_ = 0;
  bool can_improve_ = true;
  bool done_ = false;
  std::vector<Hypothesis> running_;
  std::vector<Hypothesis> finished_;
  std::vector<int64_t> parents_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_BEAM_H_
